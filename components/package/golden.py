"""The golden set: real images with the inputs, outputs and predictions that the shipped model gave for them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.backends import Session
from components.contracts import Classification, ImageFrame, Precision, Prediction
from components.errors import ConfigError
from components.files import write_json
from components.images.reading import read_image
from components.package.run_template import TOP_CLASSES, Finding, Item, check_golden
from components.vision import VisionTask

FOLDER = "golden"
PIXELS = 1.0  # mean grey levels: releases of libjpeg and ways to interpolate differ by less

# What another release of the runtime, another CPU or another backend may change. A detector on onnxruntime and
# OpenVINO differed in outputs by 0.0005 (FP32), 0.0013 (FP16), 0.14 (INT8) and in confidence by 0.085 (INT8): integers
# are rounded at other places, and a weak score moves by whole steps.
TOLERANCES = {
    Precision.FP32: {"pixels": PIXELS, "outputs": 0.005, "confidence": 0.02, "iou": 0.9},
    Precision.FP16: {"pixels": PIXELS, "outputs": 0.02, "confidence": 0.03, "iou": 0.9},
    Precision.INT8: {"pixels": PIXELS, "outputs": 0.25, "confidence": 0.15, "iou": 0.8},
}


def write_golden(
    folder: Path, images: Sequence[Path], session: Session, task: VisionTask, *, precision: Precision, confidence: float
) -> None:
    """Run the model on the golden images and keep all of it in `folder`/golden.

    The encoded images are copied byte for byte; beside each lies an `.npz` with the fitted input and the raw outputs.

    Arguments:
        folder: of the bundle.
        images: encoded images.
        session: of the bundle's own model.
        task: its meaning, with the bundle's thresholds.
        precision: of the model, which decides the tolerances.
        confidence: threshold of detections.

    Raises:
        ConfigError: there are no images.
        ImageError: one cannot be read.
        ModelError: the model fails on one.
    """
    if not images:
        raise ConfigError("at least one golden image", found="none", mend="name images that show what the model sees")
    (folder / FOLDER).mkdir()
    entries = []
    for number, image in enumerate(images, start=1):
        fitted, frame = task.preprocess(read_image(image))
        outputs = session.run(fitted[None])
        name = f"{FOLDER}/{number:04d}"
        copy = f"{name}{image.suffix.lower()}"
        shutil.copyfile(image, folder / copy)
        arrays: dict[str, Any] = {f"output_{k}": output for k, output in enumerate(outputs)}
        np.savez(folder / f"{name}.npz", input=fitted, **arrays)
        items = to_items(task.postprocess(outputs, [frame])[0], task.spec.class_names)
        entries.append({"image": copy, "arrays": f"{name}.npz", "source": image.name, "items": items})
    golden = {
        "tolerance": TOLERANCES[precision],
        "head": task.spec.head,
        "confidence": confidence,
        "images": entries,
    }
    write_json(folder / FOLDER / "golden.json", golden)


def reproduce(folder: Path, session: Session, task: VisionTask) -> tuple[list[Finding], float]:
    """Run the golden set of an unpacked bundle again; see `check_golden` for what comes back."""

    def decode(outputs: Sequence[npt.NDArray[Any]], frame: ImageFrame) -> list[Item]:
        return to_items(task.postprocess(outputs, [frame])[0], task.spec.class_names)

    infer: Callable[[npt.NDArray[np.uint8]], Sequence[npt.NDArray[Any]]] = session.run
    return check_golden(folder, lambda path: task.preprocess(read_image(path)), infer, decode)


def to_items(prediction: Prediction, class_names: Sequence[str]) -> list[Item]:
    """A prediction as the runner writes it: detections with a box, or the five most probable classes, best first."""
    if isinstance(prediction, Classification):
        best = np.argsort(-prediction.probs, kind="stable")[:TOP_CLASSES]
        return [_item(int(k), class_names, float(prediction.probs[k])) for k in best]
    return [
        {**_item(int(k), class_names, float(score)), "box": box.tolist()}
        for k, score, box in zip(prediction.class_ids, prediction.scores, prediction.xyxy, strict=True)
    ]


def _item(class_id: int, class_names: Sequence[str], confidence: float) -> Item:
    return {"class_id": class_id, "class_name": class_names[class_id], "confidence": confidence}
