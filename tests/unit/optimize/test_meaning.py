from __future__ import annotations

import numpy as np
import pytest

from components.contracts import Fit
from components.errors import ModelError
from components.optimize.meaning import StatedMeaning, settle
from components.vision import TASKS
from components.vision.heads import HEADS


def _settle(shape, values=None, **stated):
    def network(_):
        found = np.random.default_rng(0).random(shape, dtype=np.float32)
        found[:, :4] *= 64
        return [found if values is None else np.asarray(values, np.float32)]

    return settle(StatedMeaning(input_size=(64, 64), **stated), network, "m.onnx")[0]


@pytest.mark.parametrize(
    ("shape", "classes", "head"),
    [
        ((1, 84, 8400), 80, "yolo"),
        ((1, 6, 84), 2, "yolo"),
        ((1, 300, 6), 80, "yolo_end2end"),
        ((1, 84, 6), 80, "yolo_end2end"),
    ],
)
def test_a_detectors_head_is_seen_from_its_output(shape, classes, head):
    spec = _settle(shape, class_names=tuple(map(str, range(classes))))
    assert (spec.task, spec.head) == ("detect", head)


def test_a_detectors_classes_are_counted_when_nobody_names_them():
    assert _settle((1, 7, 84)).class_names == ("class_0", "class_1", "class_2")


@pytest.mark.parametrize("shape", [(1, 25200, 85), (1, 84), (1, 2, 3, 4), (1, 90, 8400)])
def test_outputs_of_no_known_detector_are_refused(shape):
    with pytest.raises(ModelError, match="detector's output"):
        _settle(shape, task="detect", class_names=tuple(map(str, range(80))))


def test_a_network_that_fails_at_the_size_asks_for_another():
    def network(_):
        raise RuntimeError("sizes of tensors must match\nmore")

    with pytest.raises(ModelError, match="another image size") as caught:
        settle(StatedMeaning(input_size=(50, 50)), network, "m.onnx")
    assert "more" not in str(caught.value)


@pytest.fixture
def toy(monkeypatch):
    """The toy task and head, a line in each table."""
    monkeypatch.setitem(TASKS, "count", "tests.toy.plugins:CountThings")
    monkeypatch.setitem(HEADS, "log_count", "tests.toy.plugins:LogCount")


def test_head_of_another_task_is_seen_from_the_shape_of_its_output(toy):
    spec = _settle((1, 1), task="count", class_names=("square",))
    assert (spec.task, spec.head, spec.fit) == ("count", "log_count", Fit.STRETCH)


def test_output_of_no_head_of_another_task_is_refused(toy):
    with pytest.raises(
        ModelError, match=r"an output to count, .*log_count.*found \(1, 2\) from m\.onnx"
    ):
        _settle((1, 2), task="count", class_names=("square",))
    with pytest.raises(ModelError, match="class names"):
        _settle((1, 1), task="count")
