"""What onnxruntime writes by itself: no warnings, while its errors are raised."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from components.backends.onnxruntime import import_onnxruntime

ONES = numpy_helper.from_array(np.ones((2, 2), np.float32), "ones")


def model(inputs: list[str], operator: str = "MatMul") -> bytes:
    """A product with a constant, which onnxruntime warns of where it is an input as well."""
    described = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 2]) for name in inputs]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 2])
    node = helper.make_node(operator, ["x", "ones"], ["y"])
    graph = helper.make_graph([node], "g", described, [out], [ONES])
    made: onnx.ModelProto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    return made.SerializeToString()


def test_sessions_of_other_libraries_warn_of_nothing_and_raise_what_is_wrong(
    capfd: pytest.CaptureFixture[str],
) -> None:
    runtime = import_onnxruntime()
    session = runtime.InferenceSession(model(["x", "ones"]), providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.eye(2, dtype=np.float32)})[0].sum() == 4
    assert "onnxruntime" not in capfd.readouterr().err
    with pytest.raises(Exception, match="NoSuchOperator"):
        runtime.InferenceSession(model(["x"], "NoSuchOperator"), providers=["CPUExecutionProvider"])
