"""Score of a prediction of one image, in 0–1, by which two versions are compared image by image."""

from __future__ import annotations

from components.contracts import Prediction
from components.errors import IncompatibleError
from components.vision.tasks import task_kind


def score_image(prediction: Prediction, truth: Prediction) -> float:
    """A classifier's answer is right (1) or wrong (0); a detector's has an F1 score at IoU 0.5.

    Detections are matched with objects of their class as COCO does
    (https://cocodataset.org/#detection-eval): the most confident first, each to the free object
    that it overlaps most, by 0.5 at least. F1 = 2 × matched / (detections + objects); 1 where
    nothing is to be found and nothing is. It judges the detections that the version shows at its
    own confidence threshold; unlike mean average precision it is defined for a single image.

    Arguments:
        prediction: of the image.
        truth: its ground truth, or another version's prediction, for how far the two agree.

    Raises:
        IncompatibleError: one is a detection and the other a classification.
    """
    if prediction.task == truth.task:
        return task_kind(truth.task).score_image(prediction, truth)
    raise IncompatibleError(
        f"{type(prediction).__name__} to compare with",
        found=type(truth).__name__,
        hint="pair a model with labels of its own task",
    )


def shown_at(prediction: Prediction, confidence: float) -> Prediction:
    """Reduce a prediction made with evaluation's thresholds to what a version shows in use.

    Detections above its own confidence remain, and of one box that several classes were found in
    the surest.

    Arguments:
        prediction: a classification stays as it is.
        confidence: detections must score more than this, 0–1.
    """
    reduced: Prediction = task_kind(prediction.task).shown_at(prediction, confidence)
    return reduced


def score_name(task: str) -> str:
    """Return the name of an image's score."""
    return task_kind(task).score_name
