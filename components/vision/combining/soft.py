"""Soft non-maximum suppression, on arrays.

N. Bodla, B. Singh, R. Chellappa, L. S. Davis: Soft-NMS - improving object detection with one line
of code. ICCV 2017. https://arxiv.org/abs/1704.04503
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from components.contracts.arrays import Floats
from components.vision.boxes import iou_matrix

Decay = Callable[[Floats], Floats]  # overlaps to the factors that lower scores


def linear(iou: float) -> Decay:
    """Return the decay by 1 - overlap of boxes that overlap by `iou` or more."""

    def decay(overlaps: Floats) -> Floats:
        return np.where(overlaps >= iou, 1 - overlaps, 1.0)

    return decay


def gaussian(sigma: float) -> Decay:
    """Return the decay by exp(-overlap² / sigma)."""

    def decay(overlaps: Floats) -> Floats:
        return np.asarray(np.exp(-(overlaps**2) / sigma))

    return decay


def soften(
    xyxy: Floats, scores: Floats, weights: Floats, *, decay: Decay, floor: float, limit: int
) -> Floats:
    """Lower the score of each box of a class by those that overlap it and count more.

    The box that counts most is taken and lowers the others, until none is left.

    Arguments:
        xyxy: (n, 4) float64.
        scores: (n,) float64.
        weights: (n,) float64: score times weight says how much a box counts.
        decay: see `linear` and `gaussian`.
        floor: a box whose score falls to it is out, and lowers none.
        limit: how many boxes are taken at most.

    Returns:
        (n,) float64 scores; 0 for those that were not taken.
    """
    softened, scores = np.zeros_like(scores), scores.copy()
    left = np.flatnonzero(scores > floor)
    for _ in range(limit):
        if not len(left):
            break
        best = int((scores[left] * weights[left]).argmax())
        taken = left[best]
        softened[taken] = scores[taken]
        left = np.delete(left, best)
        scores[left] *= decay(iou_matrix(xyxy[taken][None], xyxy[left])[0])
        left = left[scores[left] > floor]
    return softened
