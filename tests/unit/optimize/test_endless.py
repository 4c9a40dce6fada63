"""A network that does not end: each run while it is opened, proved and lowered is bounded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from components.backends import describe_onnx, save_onnx
from components.backends.onnx_file import INPUT
from components.contracts import ModelArtifact, Precision
from components.errors import ModelError, PassError
from components.optimize import ModelOptions, get_pass, open_model
from components.optimize.context import PassContext
from components.optimize.graph.features import add_embedding
from components.optimize.graph.structure import EMBEDDING_PREFIX
from components.optimize.verify import require_lowered
from tests.loops import endless_body, endless_where_bright, run_apart

HERE = "tests.unit.optimize.test_endless"
IMAGES = np.random.default_rng(5).integers(0, 256, (4, 32, 32, 3), np.uint8)


@pytest.fixture
def opened(write_network: Callable[..., Path], tmp_path: Path) -> ModelArtifact:
    return open_model(write_network(), ModelOptions(), workdir=tmp_path / "work", images=IMAGES)


def endless(artifact: ModelArtifact) -> Any:
    """The model with a loop for ever in front of its pooling."""
    model = onnx.load(artifact.path)
    pool = next(node for node in model.graph.node if node.op_type == "GlobalAveragePool")
    loop = helper.make_node(
        "Loop", ["", "true", pool.input[0]], ["looped"], "loop", body=endless_body()
    )
    pool.input[0] = "looped"
    model.graph.node.insert(list(model.graph.node).index(pool), loop)
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "true"))
    return model


@pytest.mark.timeout(300)
def test_looking_for_an_embedding_ends(opened: ModelArtifact) -> None:
    model = endless(opened)
    rest = [node for node in model.graph.node if not node.name.startswith(EMBEDDING_PREFIX)]
    del model.graph.node[:], model.graph.output[1:]
    model.graph.node.extend(rest)
    with pytest.raises(ModelError, match="still running"):
        add_embedding(model, "classify", IMAGES, limit_s=0.2)


@pytest.mark.timeout(300)
def test_the_proof_of_a_lowered_model_ends(opened: ModelArtifact, tmp_path: Path) -> None:
    context = PassContext(tmp_path, calibration=list(IMAGES))
    with pytest.raises(PassError, match=r"a product that runs.*still running"):
        require_lowered(endless(opened), opened, context, Precision.FP32, limit_s=2)


def calibrate(path: str, name: str) -> list[ModelArtifact]:
    """Apply a pass to a model that ends on a black image only, with others behind it."""
    black = np.zeros((32, 32, 3), np.uint8)
    context = PassContext(Path(path).parent, [black, black, *IMAGES], calibration_s=5)
    return [get_pass(name).apply(describe_onnx(Path(path)), context)]


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("name", "quantizer"), [("int8", "NNCF"), ("int8_conv", "onnxruntime")])
def test_calibration_on_an_image_without_an_end_ends(
    opened: ModelArtifact, tmp_path: Path, name: str, quantizer: str
) -> None:
    model = onnx.load(opened.path)
    pool = next(node for node in model.graph.node if node.op_type == "GlobalAveragePool")
    at = list(model.graph.node).index(pool)
    for node in reversed(endless_where_bright(INPUT, pool.input[0], "looped")):
        model.graph.node.insert(at, node)
    pool.input[0] = "looped"
    path = save_onnx(model, tmp_path / "bright.onnx", opened.spec, opened.history).path
    done = run_apart(HERE, f"calibrate({str(path)!r}, {name!r})")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"components.errors.PassError: expected a model that {quantizer} quantizes, found "
        "bright.onnx: TimeoutError: no answer within 5 s"
    )
