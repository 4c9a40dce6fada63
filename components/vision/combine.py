"""Combination of several models' predictions of one image into one prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np

from components.contracts import Classification, Detections, Prediction
from components.errors import IncompatibleError
from components.vision.boxes import non_max_suppression

P = TypeVar("P", Detections, Classification)


class Combine(Protocol):
    """Merges what several models said about the same image."""

    def __call__(self, predictions: Sequence[Prediction], weights: Sequence[float]) -> Prediction:
        """One prediction of the same kind.

        Arguments:
            predictions: one for each model, in pixels of the original image.
            weights: of the models, positive, in the same order.
        """


def nms(
    predictions: Sequence[Prediction],
    weights: Sequence[float],
    *,
    iou: float = 0.6,
    max_detections: int = 300,
) -> Detections:
    """Pool all models' detections and keep the best of every group that overlaps, class by class.

    Confidence times weight decides which one is best; what is kept has its model's own confidence,
    so thresholds go on meaning what they meant. Masks are kept if every model gives them.

    Arguments:
        predictions: one `Detections` for each model.
        weights: of the models.
        iou: of two detections of a class that overlap by more than this the weaker one goes.
        max_detections: how many are kept at most.

    Raises:
        IncompatibleError: a prediction is not of a detector.
    """
    found = _only(Detections, predictions)
    xyxy = np.concatenate([one.xyxy for one in found])
    scores = np.concatenate([one.scores for one in found])
    class_ids = np.concatenate([one.class_ids for one in found])
    ranks = scores * np.repeat(np.asarray(weights, np.float32), [len(one) for one in found])
    kept = non_max_suppression(xyxy, ranks, class_ids, iou=iou, limit=max_detections)
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    masks = [one.masks for one in found if one.masks is not None]
    joined = np.concatenate(masks)[kept] if len(masks) == len(found) else None
    return Detections(xyxy[kept], scores[kept], class_ids[kept], joined)


def average(predictions: Sequence[Prediction], weights: Sequence[float]) -> Classification:
    """The weighted mean of the models' probabilities.

    Raises:
        IncompatibleError: a prediction is not of a classifier.
    """
    probs = np.stack([one.probs for one in _only(Classification, predictions)])
    return Classification(np.average(probs, axis=0, weights=weights))


def _only(kind: type[P], predictions: Sequence[Prediction]) -> list[P]:
    for prediction in predictions:
        if not isinstance(prediction, kind):
            raise IncompatibleError(
                f"{kind.__name__} from every model", found=type(prediction).__name__
            )
    return [prediction for prediction in predictions if isinstance(prediction, kind)]
