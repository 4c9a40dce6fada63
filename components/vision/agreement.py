"""Agreement of two models, or of two ways to run one, on the same images."""

from __future__ import annotations

from collections.abc import Sequence

from components.contracts import Prediction
from components.vision.tasks import task_kind


def agreement(one: Sequence[Prediction], other: Sequence[Prediction]) -> tuple[int, int]:
    """Count the predictions of both sides, and those among them that the other side has as well.

    A detection has a counterpart in one of the same class that overlaps it by half or more, each
    used once; a classification in the same best class.

    Arguments:
        one: a prediction for each image.
        other: of the same images.

    Returns:
        (with a counterpart, all), over both sides.
    """
    matched = total = 0
    for a, b in zip(one, other, strict=True):
        found, every = task_kind(a.task).counterparts(a, b) if a.task == b.task else (0, 2)
        matched, total = matched + found, total + every
    return matched, total
