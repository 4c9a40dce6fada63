"""How right a prediction of one image is, in 0–1: what two versions are compared by, image by image."""

from __future__ import annotations

import numpy as np

from components.contracts import Classification, Detections, Prediction, TaskType
from components.errors import IncompatibleError
from components.vision.boxes import iou_matrix

MATCH_IOU = 0.5


def score_image(prediction: Prediction, truth: Prediction) -> float:
    """A classifier's answer is right (1) or wrong (0); a detector's has an F1 score at IoU 0.5.

    Detections are matched with objects of their class as COCO does (https://cocodataset.org/#detection-eval): the
    most confident first, each to the free object that it overlaps most, by 0.5 at least. F1 = 2 × matched /
    (detections + objects); 1 where nothing is to be found and nothing is. It judges the detections that the version
    shows at its own confidence threshold; unlike mean average precision it is defined for a single image.

    Arguments:
        prediction: of the image.
        truth: its ground truth, or another version's prediction, for how far the two agree.

    Raises:
        IncompatibleError: one is a detection and the other a classification.
    """
    if isinstance(prediction, Classification) and isinstance(truth, Classification):
        return float(prediction.class_id == truth.class_id)
    if isinstance(prediction, Detections) and isinstance(truth, Detections):
        total = len(prediction) + len(truth)
        return 2 * _matched(prediction, truth) / total if total else 1.0
    raise IncompatibleError(
        f"{type(prediction).__name__} to compare with",
        found=type(truth).__name__,
        mend="pair a model with labels of its own task",
    )


def shown_at(prediction: Prediction, confidence: float) -> Prediction:
    """Reduce a prediction that was made with the thresholds of evaluation to what a version shows in use.

    Detections above its own confidence remain, and of one box that several classes were found in the surest.

    Arguments:
        prediction: a classification stays as it is.
        confidence: detections must score more than this, 0–1.
    """
    if isinstance(prediction, Classification):
        return prediction
    order = np.argsort(-prediction.scores, kind="stable")
    order = order[prediction.scores[order] > confidence]
    _, first = np.unique(prediction.xyxy[order], axis=0, return_index=True)
    kept = order[np.sort(first)]
    return Detections(prediction.xyxy[kept], prediction.scores[kept], prediction.class_ids[kept])


def score_name(task: TaskType) -> str:
    """What the score of an image is called."""
    return f"F1 at IoU {MATCH_IOU:g}" if task is TaskType.DETECT else "top-1"


def _matched(found: Detections, truth: Detections) -> int:
    if not len(found) or not len(truth):
        return 0
    overlap = iou_matrix(found.xyxy, truth.xyxy)
    overlap[found.class_ids[:, None] != truth.class_ids[None]] = 0.0
    matched = 0
    for row in np.argsort(-found.scores, kind="stable"):
        best = int(overlap[row].argmax())
        if overlap[row, best] >= MATCH_IOU:
            overlap[:, best] = 0.0
            matched += 1
    return matched
