"""Where a model is right and wrong on labelled images: confusions, precision against recall, and the worst images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.contracts import Classification, Detections, Prediction
from components.vision.boxes import iou_matrix
from components.vision.image_score import MATCH_IOU, score_image

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """Predictions of labelled images against the labels.

    Arguments:
        confusions: (n, n) counts of true class (row) and predicted class (column); of detectors (n + 1, n + 1), where
            the last row is what nothing was there for and the last column what was missed.
        curves: class id → (recall, precision) as confidence falls, both (m,), down to the version's own threshold.
        scores: image id → how right it was, 0–1, as `score_image` says; an image without an answer has 0.
    """

    confusions: Counts
    curves: Mapping[int, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]
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
        None where nothing is labelled, or a task is neither detection nor classification.
    """
    pairs = {name: (predictions[name], truths[name]) for name in sorted(predictions.keys() & truths.keys())}
    detects = any(isinstance(truth, Detections) for _, truth in pairs.values())
    if not pairs or not all(isinstance(truth, Detections | Classification) for _, truth in pairs.values()):
        return None
    confusions = np.zeros((classes + detects, classes + detects), np.int64)
    hits: dict[int, list[tuple[float, bool]]] = {}
    for found, truth in pairs.values():
        for true, predicted, score in _events(found, truth, classes):
            confusions[true, predicted] += 1
            if predicted < classes:
                hits.setdefault(predicted, []).append((score, true == predicted))
    totals = confusions[:classes].sum(axis=1)
    curves = {k: _curve(rows, int(totals[k])) for k, rows in sorted(hits.items()) if totals[k]}
    scores = {name: 0.0 if found is None else score_image(found, truth) for name, (found, truth) in pairs.items()}
    return Evaluation(confusions, curves, scores)


def _events(found: Prediction | None, truth: Prediction, nothing: int) -> list[tuple[int, int, float]]:
    """(true class, predicted class, confidence) of one image; `nothing` stands for no object or no detection."""
    if isinstance(truth, Classification):
        if not isinstance(found, Classification):
            return []
        return [(truth.class_id, found.class_id, float(found.probs[found.class_id]))]
    if not isinstance(truth, Detections):
        return []
    if not isinstance(found, Detections):
        return [(int(k), nothing, 0.0) for k in truth.class_ids]
    overlap = iou_matrix(found.xyxy, truth.xyxy) if len(found) and len(truth) else np.zeros((len(found), len(truth)))
    free, events = np.ones(len(truth), bool), []
    for row in np.argsort(-found.scores, kind="stable"):
        near = overlap[row] * (free & (overlap[row] >= MATCH_IOU))
        best = int((near * (1 + (truth.class_ids == found.class_ids[row]))).argmax()) if len(truth) else -1
        matched = best >= 0 and near[best] > 0  # an object of its class before a nearer one of another
        if matched:
            free[best] = False
        true = int(truth.class_ids[best]) if matched else nothing
        events.append((true, int(found.class_ids[row]), float(found.scores[row])))
    return [*events, *((int(k), nothing, 0.0) for k in truth.class_ids[free])]


def _curve(rows: list[tuple[float, bool]], objects: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Recall and precision as confidence falls; precision is the best at this recall or a higher one."""
    right = np.cumsum([hit for _, hit in sorted(rows, key=lambda row: -row[0])], dtype=np.float64)
    precision = right / np.arange(1, len(right) + 1)
    return right / objects, np.maximum.accumulate(precision[::-1])[::-1]
