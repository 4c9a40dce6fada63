"""Functions shared by the heads of detectors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from components.contracts.arrays import Array

BOX = 4  # numbers of a box, in front of the scores
SCORE_SLACK = 0.05  # a score of a quantized model may overshoot 1 by a step

Candidates = tuple[npt.NDArray[np.float64], npt.NDArray[np.float32], npt.NDArray[np.int64]]


class Suppression(NamedTuple):
    """Thresholds of decoding.

    Arguments:
        confidence: detections must score more than this, 0–1.
        iou: of two boxes of a class that overlap by more than this the weaker one goes, 0–1.
        max_detections: an image keeps at most so many.
        multi_label: a box may be several classes at once; otherwise it is its best class.
    """

    confidence: float
    iou: float
    max_detections: int
    multi_label: bool


def within(values: Array, high: float) -> npt.NDArray[np.bool_]:
    """Tell which of n blocks (n, …, …) lie between 0 and `high`; a NaN does not. (n,) bool."""
    low = values.min(axis=(1, 2), initial=0) >= -SCORE_SLACK
    return np.asarray(low & (values.max(axis=(1, 2), initial=0) <= high + SCORE_SLACK))
