"""What a release says of the shape of its input."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from components.contracts import Fit, Format, ModelArtifact, Precision, VisionSpec
from flows.tasks.components import shape_of_input
from flows.tasks.steps import Split


def test_the_validation_images_suggest_a_shape(tmp_path):
    for folder in ("images/val", "labels/val"):
        (tmp_path / folder).mkdir(parents=True)
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"images/val/{number}.png"), np.zeros((60, 80, 3), np.uint8))
        (tmp_path / f"labels/val/{number}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "data.yaml").write_text(
        "path: .\ntrain: images/val\nval: images/val\nnames: [thing]\n"
    )
    spec = VisionSpec("detect", ("thing",), (640, 640), Fit.LETTERBOX, "yolo")
    artifact = ModelArtifact(Path("model.onnx"), Format.ONNX, Precision.FP32, "0", spec, (), ())
    shape = shape_of_input(artifact, Split(tmp_path / "data.yaml", "val"))
    assert shape is not None
    assert (shape.images, shape.padded, shape.suggested) == (3, 0.25, (480, 640))
