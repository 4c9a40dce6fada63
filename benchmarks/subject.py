"""Bench subject: the shipped detector, as a user's checkpoint, on the demo's validation scenes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.backends.yolo import load_yolo
from components.contracts import Detections, ModelArtifact
from components.datasets.dataset import LabelledDataset, load_dataset
from components.datasets.scenes import write_detection_dataset
from components.images.reading import read_image
from components.optimize.opening.source import ModelOptions, open_model
from flows.config.demo import COUNTS, MODEL

Image = npt.NDArray[np.uint8]


class Subject:
    """The checkpoint, its FP32 export and the decoded validation images.

    Arguments:
        folder: scratch space that outlives the subject.
    """

    def __init__(self, folder: Path) -> None:
        self.data = write_detection_dataset(folder / "digits", counts=COUNTS)
        self.workdir = folder / "work"
        self.source: ModelArtifact = open_model(
            MODEL, ModelOptions(trust_pickle=True), workdir=self.workdir
        )
        self.image_size = self.source.spec.input_size[0]
        self.yolo: Any = load_yolo(MODEL, trust=True)
        self.dataset: LabelledDataset = load_dataset(self.data, "val")
        self.images: list[Image] = [read_image(image.path) for image in self.dataset.images]

    def predict(self, image: Image, **options: Any) -> Detections:
        """Ultralytics' own prediction of one image, with its defaults for the rest."""
        options = {
            "imgsz": self.image_size,
            "conf": 0.25,
            "iou": 0.7,
            "device": "cpu",
            "verbose": False,
        } | options
        boxes = self.yolo.predict(image, **options)[0].boxes
        return Detections(
            boxes.xyxy.numpy(), boxes.conf.numpy(), boxes.cls.numpy().astype(np.int64)
        )


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for one bench."""
    return tempfile.TemporaryDirectory(prefix="foveal-bench-")
