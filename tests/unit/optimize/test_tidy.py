from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from components.optimize.graph.tidy import tidy


def _untidy():
    """Build opset 11: weight behind Identity, Constant, initialiser among inputs, unnamed nodes."""
    weight = numpy_helper.from_array(np.arange(9, dtype=np.float32).reshape(3, 3), "weight")
    two = numpy_helper.from_array(np.array(2, np.float32))
    nodes = [
        helper.make_node("Identity", ["weight"], ["alias"]),
        helper.make_node("Constant", [], ["two"], value=two),
        helper.make_node("MatMul", ["x", "alias"], ["y"]),
        helper.make_node("Mul", ["y", "two"], ["z"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in "xz"]
    inputs = [values[0], helper.make_tensor_value_info("weight", TensorProto.FLOAT, [3, 3])]
    graph = helper.make_graph(nodes, "untidy", inputs, [values[1]], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)


def _run(model, x):
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    ).run(None, {"x": x})


def test_a_tidy_graph_computes_the_same_in_plain_form():
    before = _untidy()
    after = tidy(before, "model.onnx")
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    np.testing.assert_array_equal(_run(before, x)[0], _run(after, x)[0])
    assert [node.op_type for node in after.graph.node] == ["MatMul", "Mul"]
    assert [value.name for value in after.graph.input] == ["x"]
    assert len({node.name for node in after.graph.node}) == 2
    assert max(entry.version for entry in after.opset_import) >= 13
    onnx.checker.check_model(after)


@pytest.mark.parametrize("attribute", [{"value_float": 2.0}, {"value_floats": [2.0, 2.0, 2.0]}])
def test_plain_constants_become_initialisers_too(attribute):
    model = _untidy()
    model.opset_import[0].version = 13
    constant = next(node for node in model.graph.node if node.op_type == "Constant")
    constant.CopyFrom(helper.make_node("Constant", [], ["two"], **attribute))
    x = np.ones((1, 3), np.float32)
    np.testing.assert_array_equal(_run(model, x)[0], _run(tidy(model, "model.onnx"), x)[0])
