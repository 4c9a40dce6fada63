from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from components.contracts import ModelArtifact

SIZE = 32


def network(
    *,
    batch: int | str = "n",
    size: int | str = SIZE,
    channels_last: bool = False,
    softmax: bool = False,
    half: bool = False,
    classes: int = 3,
) -> onnx.ModelProto:
    """Build a small classifier as other tools export it: float input, convolution, pool, linear."""
    rng = np.random.default_rng(0)
    kind, number = (TensorProto.FLOAT16, np.float16) if half else (TensorProto.FLOAT, np.float32)
    weights = {
        "kernel": rng.normal(size=(8, 3, 3, 3)) * 0.3,
        "matrix": rng.normal(size=(8, classes)),
        "bias": rng.normal(size=classes),
    }
    nodes = (
        [helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2])]
        if channels_last
        else []
    )
    nodes += [
        helper.make_node(
            "Conv", ["planes" if channels_last else "pixels", "kernel"], ["features"], pads=[1] * 4
        ),
        helper.make_node("Relu", ["features"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
        helper.make_node("Reshape", ["pooled", "flat"], ["vector"]),
        helper.make_node("Gemm", ["vector", "matrix", "bias"], ["logits"]),
    ]
    nodes += [helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1)] if softmax else []
    rows = batch if isinstance(batch, int) else 0
    graph = helper.make_graph(
        nodes,
        "classifier",
        [
            helper.make_tensor_value_info(
                "pixels", kind, [batch, size, size, 3] if channels_last else [batch, 3, size, size]
            )
        ],
        [
            helper.make_tensor_value_info(
                "probabilities" if softmax else "logits", kind, [batch, classes]
            )
        ],
        [numpy_helper.from_array(array.astype(number), name) for name, array in weights.items()]
        + [numpy_helper.from_array(np.array([rows, 8], np.int64), "flat")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def write_network(tmp_path: Path) -> Callable[..., Path]:
    """Write `network(...)` to a file."""

    def write(**options: object) -> Path:
        path = tmp_path / "outside.onnx"
        onnx.save(network(**options), path)
        return path

    return write


def write_yolo(name: str, folder: Path, *, spread: float = 0.1) -> Path:
    """An untrained detector with scores all over 0–1, as an Ultralytics checkpoint."""
    import torch

    from components.backends.yolo import import_ultralytics

    torch.manual_seed(0)
    ultralytics = import_ultralytics()
    described = ultralytics.YOLO(f"{name}.yaml").model.yaml
    narrow = folder / f"{name}.yaml"  # half as wide as the smallest: a quarter of the work
    narrow.write_text(
        yaml.safe_dump({**described, "scales": {"n": [0.5, 0.125, 1024]}, "yaml_file": str(narrow)})
    )
    model = ultralytics.YOLO(str(narrow))
    for module in model.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        # see some noise and lift the scores, so that comparing the outputs means something
        model.model.train()(torch.rand(8, 3, 128, 128))
        model.model.eval()
        head = model.model.model[-1]
        for branch in [*head.cv3, *(getattr(head, "one2one_cv3", None) or [])]:
            branch[-1].bias.fill_(-3)
            # else classes tie, and the last bit of a sum decides between them
            branch[-1].weight.normal_(std=spread)
    model.save(str(folder / f"{name}.pt"))
    return folder / f"{name}.pt"


def _open(path: Path, *, end_to_end: bool = False) -> ModelArtifact:
    from components.optimize import ModelOptions, open_model

    return open_model(
        path,
        ModelOptions(image_size=128, trust_pickle=True, end_to_end=end_to_end),
        workdir=path.parent,
    )


@pytest.fixture(scope="session")
def yolo11(tmp_path_factory: pytest.TempPathFactory) -> ModelArtifact:
    """An untrained detector whose output needs NMS."""
    return _open(write_yolo("yolo11n", tmp_path_factory.mktemp("yolo11")))


@pytest.fixture(scope="session")
def yolo26(tmp_path_factory: pytest.TempPathFactory) -> ModelArtifact:
    """An untrained end-to-end detector."""
    return _open(write_yolo("yolo26n", tmp_path_factory.mktemp("yolo26")), end_to_end=True)


@pytest.fixture(scope="session")
def photos() -> list[np.ndarray]:
    """Six model inputs for calibration, (128, 128, 3) uint8 BGR."""
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (128, 128, 3), np.uint8) for _ in range(6)]
