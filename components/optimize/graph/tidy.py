"""Bring ONNX graphs of all exporters into one plain form, the only one that passes must know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableSequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from components.backends.onnx_graph import graphs, replace_items, tensors
from components.backends.session import translated
from components.errors import ModelError

if TYPE_CHECKING:
    import onnx

M = TypeVar("M")

MIN_OPSET = 13  # the first with per-channel QuantizeLinear
_NUMBERS = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


def tidy(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """A copy of an `onnx.ModelProto` that computes the same in plain form.

    Local functions are inlined, float16 is widened to float32 (the same numbers; CPUs and INT8
    passes need it), constants are initialisers without aliases, initialisers are not inputs, every
    node has a name of its own, and the operator set is at least 13.

    Raises:
        ModelError: the operator set cannot be raised.
    """
    import onnx
    from onnx.inliner import inline_local_functions

    model = inline_local_functions(model)
    if _opset(model) < MIN_OPSET:
        newer, found = f"opset {MIN_OPSET} or newer", f"opset {_opset(model)} in {name}"
        with translated(
            ModelError, f"an ONNX model of {newer}", found, f"export it again with {newer}"
        ):
            model = onnx.version_converter.convert_version(model, MIN_OPSET)
    model.ir_version = max(model.ir_version, 8)  # older ones want every initialiser to be an input
    _widen(model)
    _initialisers_from_constants(model.graph)
    _drop_aliases(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    _keep(model.graph.input, lambda value: value.name not in weights)
    _name_nodes(model)
    del model.graph.value_info[:]
    return model


def _opset(model: onnx.ModelProto) -> int:
    return max(
        (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")),
        default=0,
    )


def rename_values(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    """Rename values of an `onnx.ModelProto` wherever nodes use them, in nested graphs too."""
    for graph in graphs(model):
        for node in graph.node:
            for ends in (node.input, node.output):
                ends[:] = [names.get(end, end) for end in ends]
        if hasattr(graph, "initializer"):
            for value in (*graph.initializer, *graph.input, *graph.output):
                value.name = names.get(value.name, value.name)


def _widen(model: onnx.ModelProto) -> None:
    """Turn float16 into float32 throughout: tensors, inputs, outputs and the targets of casts."""
    from onnx import TensorProto, numpy_helper

    half, full = TensorProto.FLOAT16, TensorProto.FLOAT
    for tensor in tensors(model):
        if tensor.data_type == half:
            wide = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    for graph in graphs(model):
        for value in (*graph.input, *graph.output):
            if value.type.tensor_type.elem_type == half:
                value.type.tensor_type.elem_type = full
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.name in {"to", "dtype", "output_dtype"} and attribute.i == half:
                    attribute.i = full


def _initialisers_from_constants(graph: onnx.GraphProto) -> None:
    from onnx import numpy_helper

    rest = []
    for node in graph.node:
        if node.op_type != "Constant" or len(node.attribute) != 1:
            rest.append(node)
            continue
        attribute = node.attribute[0]
        if attribute.name == "value":
            graph.initializer.append(attribute.t)
            graph.initializer[-1].name = node.output[0]
        elif attribute.name in _NUMBERS:
            field = {
                "value_float": "f",
                "value_floats": "floats",
                "value_int": "i",
                "value_ints": "ints",
            }[attribute.name]
            numbers = np.array(getattr(attribute, field), _NUMBERS[attribute.name])
            graph.initializer.append(numpy_helper.from_array(numbers, node.output[0]))
        else:
            rest.append(node)
    replace_items(graph.node, rest)


def _drop_aliases(model: onnx.ModelProto) -> None:
    """Let nodes read weights directly, not through exporters' Identity nodes over equal ones."""
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    outputs = {value.name for value in graph.output}
    aliases = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Identity" and node.input[0] in weights and node.output[0] not in outputs
    }
    _keep(graph.node, lambda node: not node.output or node.output[0] not in aliases)
    rename_values(model, aliases)


def _name_nodes(model: onnx.ModelProto) -> None:
    """Give every node a name that no other has."""
    taken: set[str] = set()
    for graph in graphs(model):
        for node in graph.node:
            name, number = node.name or node.op_type, 0
            while not node.name or node.name in taken:
                node.name, number = f"{name}_{number}", number + 1
            taken.add(node.name)


def _keep(field: MutableSequence[M], wanted: Callable[[M], bool]) -> None:
    replace_items(field, filter(wanted, field))
