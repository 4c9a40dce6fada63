from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from components.backends import save_onnx
from components.contracts import Fit, PassRecord, VisionSpec

SIZE = 16
SPEC = VisionSpec("classify", ("cat", "dog", "owl"), (SIZE, SIZE), Fit.STRETCH, "logits")
HISTORY = (PassRecord("export_onnx", {"opset": 17}),)


def classifier_graph(classes: int = 3) -> onnx.ModelProto:
    """Mean colour → linear layer, with the pre-processing in front."""
    weight = np.random.default_rng(0).normal(size=(3, classes)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["colour"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["colour", "weight"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])],
        [numpy_helper.from_array(weight, "weight")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def graph() -> onnx.ModelProto:
    return classifier_graph()


@pytest.fixture
def spec() -> VisionSpec:
    return SPEC


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    return save_onnx(classifier_graph(), tmp_path / "model.onnx", SPEC, HISTORY).path
