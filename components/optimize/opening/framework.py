"""Predictions by a model's own framework, to compare with what Foveal reads from the same file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.backends.yolo import load_yolo
from components.contracts import Classification, Detections, Prediction, VisionSpec
from components.contracts.arrays import Image
from components.optimize.opening.checkpoint import (
    CLASSIFIER_KEY,
    is_torch_file,
    is_torchscript,
    weights_only,
)
from components.optimize.opening.source import ModelOptions
from components.optimize.quiet import quiet
from components.vision import task_kind
from components.vision.boxes import has_area

if TYPE_CHECKING:
    from ultralytics.engine.results import Results


def framework_predictions(
    path: Path,
    spec: VisionSpec,
    images: Sequence[Image],
    options: ModelOptions,
    *,
    confidence: float = 0.25,
    iou: float = 0.7,
) -> list[Prediction] | None:
    """Predict images with Ultralytics' own `predict`, at the model's input size.

    Arguments:
        path: the file that the model was opened from.
        spec: as Foveal reads it.
        images: (h, w, 3) uint8 BGR.
        options: that it was opened with.
        confidence: threshold of detections.
        iou: the overlap above which NMS keeps one box.

    Returns:
        One prediction an image, or None where no framework of its own can tell: for ONNX,
        TorchScript and torchvision's networks, whose very outputs the export is compared with, and
        where the user fits images in another way.
    """
    usual_fit = spec.fit is task_kind(spec.task).usual_fit and spec.resize is None
    if not options.trust_pickle or not is_torch_file(path) or is_torchscript(path) or not usual_fit:
        return None
    contents = weights_only(path)
    if isinstance(contents, Mapping) and CLASSIFIER_KEY in contents:
        return None
    yolo = load_yolo(path, trust=options.trust_pickle)
    height, width = spec.input_size
    size = height if height == width else [height, width]
    wanted: dict[str, object] = {"imgsz": size, "rect": False, "conf": confidence, "iou": iou}
    if options.end_to_end:
        wanted["nms"] = False
    with quiet():
        results = [
            yolo.predict(image, verbose=False, device="cpu", **wanted)[0] for image in images
        ]
    return [_prediction(result) for result in results]


def _prediction(result: Results) -> Prediction:
    if result.probs is not None:
        return Classification(result.probs.data.numpy())
    corners = result.boxes.xyxy.numpy()
    real = has_area(corners)  # boxes in the padding come back without an extent
    return Detections(
        corners[real], result.boxes.conf.numpy()[real], result.boxes.cls.numpy()[real]
    )
