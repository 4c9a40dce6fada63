"""How far two models, or two ways to run one, say the same of the same images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.contracts import Classification, Detections, Prediction
from components.vision import boxes

SAME_BOX = 0.5  # IoU from which two boxes show the same object
TIE = 0.05  # classes whose probabilities are closer than this may swap places


def agreement(one: Sequence[Prediction], other: Sequence[Prediction]) -> tuple[int, int]:
    """Count the predictions of both sides, and those among them that the other side has as well.

    A detection has a counterpart in one of the same class that overlaps it by half or more, each used once; a
    classification in the same best class.

    Arguments:
        one: a prediction for each image.
        other: of the same images.

    Returns:
        (with a counterpart, all), over both sides.
    """
    matched = total = 0
    for a, b in zip(one, other, strict=True):
        if isinstance(a, Detections) and isinstance(b, Detections):
            matched, total = matched + 2 * _pairs(a, b), total + len(a) + len(b)
        elif isinstance(a, Classification) and isinstance(b, Classification):
            matched, total = matched + 2 * _same_class(a, b), total + 2
        else:
            total += 2
    return matched, total


def _same_class(a: Classification, b: Classification) -> bool:
    return bool(a.probs[a.class_id] - a.probs[b.class_id] < TIE or b.probs[b.class_id] - b.probs[a.class_id] < TIE)


def _pairs(a: Detections, b: Detections) -> int:
    """How many detections can be paired, the best overlaps first."""
    if not len(a) or not len(b):
        return 0
    overlaps = np.where(a.class_ids[:, None] == b.class_ids[None], boxes.iou_matrix(a.xyxy, b.xyxy), 0.0)
    pairs = 0
    while overlaps.max() >= SAME_BOX:
        row, column = np.unravel_index(overlaps.argmax(), overlaps.shape)
        overlaps[row], overlaps[:, column] = 0.0, 0.0
        pairs += 1
    return pairs
