"""Opening and calls that do not end are given up, and so does the process that made them end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from components.backends import describe_onnx, save_onnx
from components.backends.onnxruntime import quiet_session
from components.backends.openvino import Limits, OpenVinoSession
from components.contracts import ModelArtifact
from components.errors import ModelError
from tests.loops import (
    endless_from_the_start,
    endless_where_bright,
    hours_of_constants,
    run_apart,
)
from tests.unit.backends.conftest import SIZE, SPEC, classifier_graph

HERE = "tests.unit.backends.test_limits"


def write(nodes: Sequence[onnx.NodeProto], path: Path) -> ModelArtifact:
    """Write the classifier with nodes between its ``scores`` and its output."""
    graph = classifier_graph()
    graph.graph.node[-1].output[0] = "scores"
    graph.graph.node.extend(nodes)
    return save_onnx(graph, path, SPEC, ())


def opened(path: str, limits: Limits) -> OpenVinoSession:
    import openvino

    return OpenVinoSession(describe_onnx(Path(path)), openvino.Core(), "CPU", {}, limits)


def loaded(path: str) -> object:
    return quiet_session(Path(path), opening_s=1)


def predict_bright_images(path: str) -> list[str]:
    """Predict black, bright and black images again, and return what each call says."""
    black = np.zeros((2, SIZE, SIZE, 3), np.uint8)
    said = []
    with opened(path, Limits(image_s=1)) as session:
        for pixels in (black, black + 200, black, black[:1]):
            try:
                said.append(str(session.run(pixels)[0].shape))
            except ModelError as error:
                said.append(str(error))
    return said


@pytest.mark.timeout(400)
def test_a_call_of_openvino_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    artifact = write(endless_where_bright("images", "scores", "logits"), tmp_path / "m.onnx")
    done = run_apart(HERE, f"predict_bright_images({str(artifact.path)!r})")
    refused = (
        "expected a session whose calls end, found one whose earlier call is still running; open "
        "the model in another process, on onnxruntime"
    )
    assert done.stdout.splitlines() == [
        "(2, 3)",
        "expected a model that answers within 2 s, found one that was still running; export it "
        "again",
        refused,
        refused,
    ], done.stderr
    assert done.returncode == 1  # an orderly end would wait for the call


@pytest.mark.timeout(400)
def test_compiling_in_openvino_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    artifact = write(endless_from_the_start("scores", "logits"), tmp_path / "m.onnx")
    done = run_apart(HERE, f"[opened({str(artifact.path)!r}, Limits(opening_s=1))]")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "components.errors.ModelError: expected a model that OpenVINO compiles, found m.onnx: "
        "TimeoutError: no answer within 1 s"
    )


@pytest.mark.timeout(400)
def test_loading_in_onnxruntime_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    artifact = write(hours_of_constants("scores", "logits"), tmp_path / "m.onnx")
    done = run_apart(HERE, f"[loaded({str(artifact.path)!r})]")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "components.errors.ModelError: expected a model that onnxruntime loads, found m.onnx: "
        "TimeoutError: no answer within 1 s"
    )
