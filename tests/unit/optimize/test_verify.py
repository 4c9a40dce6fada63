from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from components.errors import ModelError, PassError
from components.optimize.verify import OnnxNetwork, deviation, require_same


def _rows(scores):
    scores = np.asarray(scores, np.float32)
    boxes = np.arange(len(scores) * 4, dtype=np.float32).reshape(-1, 4)
    return np.hstack([boxes, scores[:, None], np.zeros((len(scores), 1), np.float32)])[None]


def test_end_to_end_rows_may_come_in_any_order():
    rows = _rows([0.9, 0.8, 0.7, 0.1])
    assert deviation(rows, rows[:, ::-1], "yolo_end2end") == 0


def test_an_end_to_end_box_that_moved_is_seen():
    rows = _rows([0.9, 0.8, 0.7, 0.1])
    moved = rows.copy()
    moved[0, 1, 0] += 5
    assert deviation(rows, moved, "yolo_end2end") > 0.1


def test_which_of_the_tied_last_rows_make_the_list_does_not_matter():
    rows = _rows([0.9, 0.1, 0.1])
    other = rows.copy()
    other[0, 2, :4] = 77
    assert deviation(rows, other, "yolo_end2end") == 0


def test_a_small_change_of_the_scores_is_not_hidden_by_large_coordinates():
    expected = np.concatenate([np.full((1, 4, 10), 640.0), np.full((1, 2, 10), 0.01)], axis=1)
    found = expected.copy()
    found[0, 5] = 0.005
    assert deviation(expected, found, "yolo") == pytest.approx(0.005)


def test_what_is_not_a_number_is_never_the_same():
    good, bad = np.ones((1, 3)), np.array([[1.0, np.nan, 1.0]])
    with pytest.raises(PassError):
        require_same([good], [bad], "logits", "model.onnx", 1e9)


def test_another_shape_is_never_the_same():
    with pytest.raises(PassError, match="shape"):
        require_same([np.ones((2, 3))], [np.ones((1, 3))], "logits", "model.onnx", 1)


def test_the_last_digits_of_tiny_scores_say_nothing():
    expected = np.full((1, 6, 5), 100.0)
    expected[:, 4:] = 1e-6
    found = expected.copy()
    found[:, 4:] = 2e-6
    assert deviation(expected, found, "yolo") < 1e-5


def test_a_graph_that_does_not_end_is_ended():
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["on"], ["still on"]),
            helper.make_node("Add", ["total", "step"], ["more"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("total", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("still on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]),
        ],
        [numpy_helper.from_array(np.ones(1, np.float32), "step")],
    )
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Loop", ["", "true", "mean"], ["scores"], body=body),
    ]
    graph = helper.make_graph(
        nodes,
        "endless",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(np.array(True), "true")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    network = OnnxNetwork(model, "endless.onnx", limit_s=1)
    with pytest.raises(ModelError, match="still running"):
        network(np.zeros((1, 3, 8, 8), np.float32))
