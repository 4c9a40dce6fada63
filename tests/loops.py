"""ONNX models that do not end: loops for ever, and constants that take hours to compute."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).parents[1]
SIZE = 8


def endless_body() -> onnx.GraphProto:
    """Make the body of a `Loop` that goes on for ever and adds to what it is given."""
    return helper.make_graph(
        [
            helper.make_node("Identity", ["on"], ["still on"]),
            helper.make_node("Add", ["total", "step"], ["more"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("total", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", TensorProto.FLOAT, None),
        ],
        [numpy_helper.from_array(np.ones(1, np.float32), "step")],
    )


def endless_where_bright(image: str, value: str, looped: str) -> list[onnx.NodeProto]:
    """Make nodes that give `value` as `looped`, but go on for ever where an image is not black.

    Arguments:
        image: a tensor of pixels; the names of the nodes between are made from it.
        value: a float32 tensor.
        looped: the name of the result.
    """
    return [
        helper.make_node("Cast", [image], [f"{image}/float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", [f"{image}/float"], [f"{image}/brightest"], keepdims=0),
        helper.make_node("Cast", [f"{image}/brightest"], [f"{image}/on"], to=TensorProto.BOOL),
        helper.make_node("Loop", ["", f"{image}/on", value], [looped], body=endless_body()),
    ]


def endless_from_the_start(value: str, looped: str) -> list[onnx.NodeProto]:
    """Make nodes that add to `value` what an endless loop over constants gives."""
    true = numpy_helper.from_array(np.array(True))
    zero = numpy_helper.from_array(np.zeros(1, np.float32))
    return [
        helper.make_node("Constant", [], ["true"], value=true),
        helper.make_node("Constant", [], ["zero"], value=zero),
        helper.make_node("Loop", ["", "true", "zero"], ["number"], body=endless_body()),
        helper.make_node("Add", [value, "number"], [looped]),
    ]


def hours_of_constants(value: str, product: str) -> list[onnx.NodeProto]:
    """Make nodes that add to `value` what a thousand products of large constants give."""
    shape = numpy_helper.from_array(np.full(2, 4000, np.int64))
    small = numpy_helper.from_array(np.full(1, 1e-4, np.float32))
    return [
        helper.make_node("Constant", [], ["sides"], value=shape),
        helper.make_node("ConstantOfShape", ["sides"], ["product 0"], value=small),
        *(
            helper.make_node("MatMul", [f"product {k}", "product 0"], [f"product {k + 1}"])
            for k in range(1000)
        ),
        helper.make_node("ReduceMax", ["product 1000"], ["largest"], keepdims=0),
        helper.make_node("Add", [value, "largest"], [product]),
    ]


def run_apart(module: str, call: str) -> subprocess.CompletedProcess[str]:
    """Make a call of a test module in a process of its own, and print the lines that it gives.

    Without the limit that is tested it would not end within the five minutes here.
    """
    return subprocess.run(
        [sys.executable, "-c", f"from {module} import *; print(*{call}, sep='\\n')"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
