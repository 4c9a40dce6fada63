"""Small real models and images: a classifier naming a picture's strongest colour channel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from components.backends import save_onnx
from components.contracts import (
    Classification,
    Fit,
    LabelledImage,
    ModelArtifact,
    Precision,
    VisionSpec,
)

SIDE = 32
SPEC = VisionSpec("classify", ("blue", "green", "red"), (SIDE, SIDE), Fit.STRETCH, "logits")


@dataclass(frozen=True)
class Pictures:
    """A labelled dataset."""

    images: tuple[LabelledImage, ...]


class MakeClassifier(Protocol):
    def __call__(
        self,
        name: str,
        *,
        matmuls: int = 0,
        turned: bool = False,
        batch: int | str = "batch",
        precision: Precision = Precision.FP32,
        class_names: tuple[str, ...] = SPEC.class_names,
    ) -> ModelArtifact: ...


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    """Twelve noisy pictures, four of each colour."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    images = []
    for number in range(12):
        pixels = rng.integers(0, 60, (40, 50, 3), np.uint8)
        pixels[..., number % 3] += 150
        path = folder / f"{number:02d}.png"
        cv2.imwrite(str(path), pixels)
        images.append(
            LabelledImage(path.stem, path, Classification(np.eye(3, dtype=np.float32)[number % 3]))
        )
    return Pictures(tuple(images))


@pytest.fixture
def make_classifier(tmp_path: Path) -> MakeClassifier:
    """Write an ONNX classifier; `matmuls` make it slow, `turned` makes it wrong throughout.

    All of them compute in FP32; `precision` and `class_names` are only what the artifact says.
    """

    def make(
        name: str,
        *,
        matmuls: int = 0,
        turned: bool = False,
        batch: int | str = "batch",
        precision: Precision = Precision.FP32,
        class_names: tuple[str, ...] = SPEC.class_names,
    ) -> ModelArtifact:
        graph = _graph(matmuls, 1 if turned else 0, batch)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        return replace(
            save_onnx(model, tmp_path / f"{name}.onnx", replace(SPEC, class_names=class_names), ()),
            precision=precision,
        )

    return make


def _graph(matmuls: int, turn: int, batch: int | str) -> Any:
    weights = {
        "axes": np.array([1, 2], np.int64),
        "colours": np.roll(np.eye(3, dtype=np.float32), turn, axis=1) / 10,
        "ballast": np.zeros((400, 400), np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "colours"], ["scores"]),
        helper.make_node("ReduceMean", ["mean"], ["brightness"], keepdims=1),
        helper.make_node("Mul", ["ballast", "brightness"], ["work0"]),
        *(
            helper.make_node("MatMul", [f"work{k}", "ballast"], [f"work{k + 1}"])
            for k in range(matmuls)
        ),
        helper.make_node("ReduceMean", [f"work{matmuls}"], ["naught"], keepdims=0),
        helper.make_node("Add", ["scores", "naught"], ["logits"]),
    ]
    return helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, [batch, SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 3])],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
