"""Accuracy against ground truth: COCO average precision and top-k."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from components import telemetry
from components.contracts import Classification, Detections, Prediction
from components.errors import DatasetError, IncompatibleError
from components.printing import counted

Kind = TypeVar("Kind", bound=Prediction)


def only(kind: type[Kind], predictions: Sequence[Prediction]) -> list[Kind]:
    """The predictions, all of one kind.

    Raises:
        IncompatibleError: one is of another kind, as when a detector meets a classification
            dataset.
    """
    for prediction in predictions:
        if not isinstance(prediction, kind):
            raise IncompatibleError(
                f"{kind.__name__} only",
                found=type(prediction).__name__,
                hint="pair a model with a dataset of its own task",
            )
    return [prediction for prediction in predictions if isinstance(prediction, kind)]


def average_precision(
    predictions: Sequence[Detections],
    truths: Sequence[Detections],
    *,
    classes: int,
    max_detections: int,
) -> dict[str, float]:
    """Mean average precision as COCO defines it (https://cocodataset.org/#detection-eval).

    Arguments:
        predictions: one a image, down to a confidence of about 0.001: a curve that is cut off
            scores too low.
        truths: ground truth of the same images, in the same order.
        classes: how many classes there are.
        max_detections: how many detections an image and class count, best first.

    Returns:
        `map50_95` (mean over the IoU thresholds 0.50, 0.55 … 0.95), `map50` and `map75`, each the
        mean over the classes that the ground truth holds.

    Raises:
        DatasetError: the ground truth holds no object: there is nothing to measure.
        IncompatibleError: the ground truth has a class that the model does not know.
        ValueError: the two differ in length.
    """
    _check_truths(predictions, truths, classes)
    telemetry.switch_off()
    from faster_coco_eval import COCO, COCOeval_faster

    evaluation = COCOeval_faster(
        COCO(_coco_dataset(truths, classes)),
        COCO(_coco_dataset(predictions, classes)),
        "bbox",
        print_function=lambda *_: None,  # it reports its progress
    )
    evaluation.params.maxDets = [max_detections]
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, math.inf]], ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    # (IoU thresholds, recall levels, classes); −1 where a class has no ground truth.
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, 0]
    measured = precision[:, :, (precision > -1).all(axis=(0, 1))]
    return {
        "map50_95": float(measured.mean()),
        "map50": float(measured[0].mean()),
        "map75": float(measured[5].mean()),
    }


def _check_truths(
    predictions: Sequence[Detections], truths: Sequence[Detections], classes: int
) -> None:
    if len(predictions) != len(truths):
        raise ValueError(
            f"expected one prediction for each of {len(truths)} images, found {len(predictions)}"
        )
    objects = sum(len(truth) for truth in truths)
    if not objects:
        raise DatasetError(
            "ground truth with at least one object",
            found=f"{counted(len(truths), 'image')} without any",
            hint="check the label files of this split: there is nothing to measure accuracy on",
        )
    largest = max(int(truth.class_ids.max()) for truth in truths if len(truth))
    if largest >= classes:
        raise IncompatibleError(
            f"ground truth of the model's {classes} classes",
            found=f"class id {largest}",
            hint="evaluate on a dataset with the class names that the model was trained with",
        )


def _coco_dataset(images: Sequence[Detections], classes: int) -> dict[str, object]:
    """The detections as COCO's JSON structure, all ids from 1."""
    annotations = []
    for image_id, detections in enumerate(images, start=1):
        corners = detections.xyxy.astype(np.float64)
        extents = corners[:, 2:] - corners[:, :2]
        boxes = np.concatenate([corners[:, :2], extents], axis=1).tolist()
        rows = zip(
            boxes,
            extents.prod(axis=1).tolist(),
            detections.scores.tolist(),
            detections.class_ids.tolist(),
            strict=True,
        )
        annotations += [
            {
                "image_id": image_id,
                "category_id": class_id + 1,
                "bbox": box,
                "area": area,
                "score": score,
                "iscrowd": 0,
            }
            for box, area, score, class_id in rows
        ]
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    return {
        "images": [{"id": image_id} for image_id in range(1, len(images) + 1)],
        "categories": [{"id": class_id + 1, "name": str(class_id)} for class_id in range(classes)],
        "annotations": annotations,
    }


def top_accuracy(
    predictions: Sequence[Classification], truths: Sequence[Classification]
) -> dict[str, float]:
    """Share of images whose true class is the most probable one, or among the five most probable.

    Of equally probable classes the first ranks higher. With fewer than five classes `top5` counts
    all of them.

    Arguments:
        predictions: one an image.
        truths: ground truth of the same images, one-hot, in the same order.

    Raises:
        DatasetError: there are no images: there is nothing to measure.
        IncompatibleError: the numbers of classes differ.
        ValueError: the two differ in length.
    """
    if len(predictions) != len(truths):
        raise ValueError(
            f"expected one prediction for each of {len(truths)} images, found {len(predictions)}"
        )
    if not truths:
        raise DatasetError(
            "at least one labelled image", found="none", hint="check the path and the split"
        )
    sizes = {len(found.probs) for found in (*predictions, *truths)}
    if len(sizes) > 1:
        raise IncompatibleError(
            "predictions and ground truth over the same classes",
            found=f"{min(sizes)} and {max(sizes)} classes",
            hint="evaluate on a dataset with the class names that the model was trained with",
        )
    ranking = np.argsort(
        -np.stack([prediction.probs for prediction in predictions]), axis=1, kind="stable"
    )
    hits = ranking == np.array([[truth.class_id] for truth in truths])
    return {"top1": float(hits[:, 0].mean()), "top5": float(hits[:, :5].any(axis=1).mean())}
