"""ONNX graphs: inputs, outputs, precision, and walks over nested graphs and constants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSequence
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, TypeVar

from components.contracts import Precision, TensorSpec

if TYPE_CHECKING:
    import onnx

M = TypeVar("M")

_QUANTIZED = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger"}
)


def tensor_specs(model: onnx.ModelProto) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs (weights aside) and outputs of an `onnx.ModelProto`."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = tuple(_tensor_spec(value) for value in model.graph.input if value.name not in weights)
    return inputs, tuple(_tensor_spec(value) for value in model.graph.output)


def _tensor_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    import onnx

    tensor = value.type.tensor_type
    shape = tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?"
        for dim in tensor.shape.dim
    )
    known = tensor.elem_type in onnx.helper.get_all_tensor_dtypes()
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name if known else "unknown"
    return TensorSpec(value.name, shape, dtype)


def precision_of(model: onnx.ModelProto) -> Precision:
    """The precision of an `onnx.ModelProto`, read from its nodes and weights."""
    import onnx

    if any(node.op_type in _QUANTIZED for graph in graphs(model) for node in graph.node):
        return Precision.INT8
    if any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in tensors(model)):
        return Precision.FP16
    return Precision.FP32


def graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto | onnx.FunctionProto]:
    """Yield an `onnx.ModelProto`'s graph, its branch and loop bodies, and its local functions."""
    waiting: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        yield graph
        for attribute in _attributes(graph):
            waiting += [attribute.g] if attribute.HasField("g") else attribute.graphs


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every constant tensor of an `onnx.ModelProto`: weights, and those inside nodes."""
    for graph in graphs(model):
        for attribute in _attributes(graph):
            yield from [attribute.t] if attribute.HasField("t") else attribute.tensors
            sparse = (
                [attribute.sparse_tensor]
                if attribute.HasField("sparse_tensor")
                else attribute.sparse_tensors
            )
            yield from (part for tensor in sparse for part in (tensor.values, tensor.indices))
        if hasattr(graph, "initializer"):  # a local function has none
            yield from graph.initializer
            yield from (
                part
                for tensor in graph.sparse_initializer
                for part in (tensor.values, tensor.indices)
            )


def _attributes(graph: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.AttributeProto]:
    return (attribute for node in graph.node for attribute in node.attribute)


def replace_items(field: MutableSequence[M], items: Iterable[M]) -> None:
    """Replace the messages of a repeated field; the new ones may be among the old ones."""
    kept = list(items)
    del field[:]
    field.extend(kept)


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Put the nodes of a graph behind those that they read from, if they are not."""
    producers = {
        output: position
        for position, node in enumerate(graph.node)
        for output in node.output
        if output
    }
    needs = [
        {producers[name] for name in _read_by(node) if name in producers} for node in graph.node
    ]
    if all(position > max(needed, default=-1) for position, needed in enumerate(needs)):
        return
    order = TopologicalSorter(dict(enumerate(needs))).static_order()
    replace_items(graph.node, [graph.node[position] for position in order])


def _read_by(node: onnx.NodeProto) -> Iterator[str]:
    """Names that a node reads, those inside its branches and loops included."""
    yield from node.input
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            for inner in graph.node:
                yield from _read_by(inner)
