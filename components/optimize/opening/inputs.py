"""Normalisation of pixels inside a network, before its first layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from components.contracts.arrays import Array
from components.optimize.meaning import BYTES, UNIT, Normalisation

if TYPE_CHECKING:
    import onnx

_PASSING = frozenset({"Cast", "Identity", "Transpose"})
_ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div"})
_LARGEST_UNIT_STD = 2.0  # a deviation above that is one of values to 255, not to 1


def expected_of_input(model: onnx.ModelProto) -> Normalisation | None:
    """Return the pixel range that a graph with its own normalisation takes: RGB in 0–1 or in 0–255.

    Only constants for all channels or for each of three count, right behind the input.

    Arguments:
        model: an `onnx.ModelProto` as it came; not changed.

    Returns:
        None where the graph does nothing of the kind, so that the normalisation is left to whoever
        calls it.
    """
    constants = _constants(model)
    value = next((one.name for one in model.graph.input if one.name not in constants), "")
    scale, found = 1.0, False
    while True:
        readers = [node for node in model.graph.node if value in node.input]
        if len(readers) != 1 or readers[0].op_type not in _PASSING | _ARITHMETIC:
            break
        (node,) = readers
        if node.op_type in _ARITHMETIC:
            operand = _operand(node, value, constants)
            if operand is None:
                break
            found = True
            scale *= {"Mul": operand, "Div": 1 / operand}.get(node.op_type, 1.0)
        value = node.output[0]
    if not found:
        return None
    return BYTES if 1 / max(scale, 1e-9) > _LARGEST_UNIT_STD else UNIT


def _constants(model: onnx.ModelProto) -> dict[str, Array]:
    """Value → array, of those with one or three numbers."""
    from onnx import numpy_helper

    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if (
            node.op_type == "Constant"
            and len(node.attribute) == 1
            and node.attribute[0].HasField("t")
        ):
            tensors[node.output[0]] = node.attribute[0].t
    return {
        name: numpy_helper.to_array(tensor)
        for name, tensor in tensors.items()
        if int(np.prod(tensor.dims)) in (1, 3)
    }


def _operand(node: onnx.NodeProto, value: str, constants: Mapping[str, Array]) -> float | None:
    """Return the mean size of the constant that a node combines a value with; None without one."""
    others = [name for name in node.input if name != value]
    if (
        len(others) != 1
        or others[0] not in constants
        or (node.op_type == "Div" and node.input[0] != value)
    ):
        return None
    size = float(np.abs(constants[others[0]]).mean())
    return size if size > 0 or node.op_type in {"Add", "Sub"} else None
