"""A call that does not end is ended, also when only some images bring it about."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from components.backends import save_onnx
from components.backends.onnxruntime import OnnxRuntimeSession, quiet_session
from components.errors import ModelError
from tests.loops import endless_where_bright


@pytest.fixture
def bright_is_endless(tmp_path, spec, graph):
    """The classifier with a loop that goes on for ever where an image is not black."""
    nodes = graph.graph.node
    nodes[-1].output[0] = "scores"
    nodes.extend(endless_where_bright("images", "scores", "logits"))
    return save_onnx(graph, tmp_path / "endless.onnx", spec, ())


def watchdogs():
    return {thread for thread in threading.enumerate() if thread.name == "onnxruntime-watchdog"}


def test_a_call_that_does_not_end_is_ended_and_the_session_goes_on(bright_is_endless):
    black, before = np.zeros((2, 16, 16, 3), np.uint8), watchdogs()
    with OnnxRuntimeSession(
        bright_is_endless, quiet_session(bright_is_endless.path), limit_s=0.5
    ) as session:
        assert session.run(black)[0].shape == (2, 3)
        with pytest.raises(
            ModelError, match="answers within 1 s, found one that was still running"
        ):
            session.run(black + 200)
        assert session.run(black)[0].shape == (2, 3)
        (watchdog,) = watchdogs() - before
    watchdog.join(30)
    assert not watchdog.is_alive()


def test_a_session_that_nobody_closed_leaves_no_thread(bright_is_endless):
    before = watchdogs()
    session = OnnxRuntimeSession(
        bright_is_endless, quiet_session(bright_is_endless.path), limit_s=0.5
    )
    (watchdog,) = watchdogs() - before
    del session
    watchdog.join(30)
    assert not watchdog.is_alive()
