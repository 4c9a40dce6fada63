"""Evaluation of a model on labelled images: confusions, precision against recall, worst images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from components.contracts import Prediction
from components.contracts.arrays import Floats, Ints
from components.vision.image_score import score_image
from components.vision.tasks import task_kind

Counts = Ints


@dataclass(frozen=True)
class Evaluation:
    """Predictions of labelled images against the labels.

    Arguments:
        confusions: (n, n) counts of true class (row) and predicted class (column); of detectors (n
            + 1, n + 1), where the last row is what nothing was there for and the last column what
            was missed.
        curves: class id → (recall, precision) as confidence falls, both (m,), down to the version's
            own threshold.
        scores: image id → how right it was, 0–1, as `score_image` says; an image without an answer
            has 0.
    """

    confusions: Counts
    curves: Mapping[int, tuple[Floats, Floats]]
    scores: Mapping[str, float]


def evaluate_images(
    predictions: Mapping[str, Prediction | None], truths: Mapping[str, Prediction], classes: int
) -> Evaluation | None:
    """Compare predictions with labels, image by image.

    Arguments:
        predictions: image id → what was found; None where there was no answer.
        truths: image id → label, of the same images or more.
        classes: how many classes the model knows.

    Returns:
        None where nothing is labelled.
    """
    pairs = {
        name: (predictions[name], truths[name])
        for name in sorted(predictions.keys() & truths.keys())
    }
    if not pairs:
        return None
    kind = task_kind(next(iter(pairs.values()))[1].task)
    size = classes + kind.finds_objects
    confusions = np.zeros((size, size), np.int64)
    hits: dict[int, list[tuple[float, bool]]] = {}
    for found, truth in pairs.values():
        for true, predicted, score in kind.events(found, truth, classes):
            confusions[true, predicted] += 1
            if predicted < classes:
                hits.setdefault(predicted, []).append((score, true == predicted))
    totals = confusions[:classes].sum(axis=1)
    curves = {k: _curve(rows, int(totals[k])) for k, rows in sorted(hits.items()) if totals[k]}
    scores = {
        name: 0.0 if found is None else score_image(found, truth)
        for name, (found, truth) in pairs.items()
    }
    return Evaluation(confusions, curves, scores)


def _curve(rows: list[tuple[float, bool]], objects: int) -> tuple[Floats, Floats]:
    """Return recall and precision as confidence falls.

    Precision is the best at this recall or a higher one.
    """
    right = np.cumsum([hit for _, hit in sorted(rows, key=lambda row: -row[0])], dtype=np.float64)
    precision = right / np.arange(1, len(right) + 1)
    return right / objects, np.maximum.accumulate(precision[::-1])[::-1]
