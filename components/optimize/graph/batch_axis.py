"""Exports with a fixed batch size become models for any batch, where the graph allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from components.backends.onnx_graph import replace_items
from components.optimize.graph.structure import PREFIX

if TYPE_CHECKING:
    import onnx


def free_batch_axis(model: onnx.ModelProto, fixed: int | None) -> None:
    """Let reshapes of a tidy `onnx.ModelProto` copy the batch size from their input, not state it.

    A shape that starts with the fixed batch size gets a 0 there, which copies that axis (ONNX
    Reshape, `allowzero` unset). That repairs the usual export, made for one image; whoever calls
    must check the outcome on a batch of two.

    Arguments:
        model: changed in place.
        fixed: the batch size that the model was exported for, or None when it is free.
    """
    from onnx import numpy_helper

    if fixed is None:
        return
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    batched = _values_with_batch_axis(model, fixed)
    for node in model.graph.node:
        if node.op_type != "Reshape" or node.input[0] not in batched or node.input[1] not in shapes:
            continue
        shape = shapes[node.input[1]]
        literal_zeros = any(
            attribute.name == "allowzero" and attribute.i for attribute in node.attribute
        )
        if len(shape) and shape[0] == fixed and not literal_zeros:
            freed = np.concatenate([[0], shape[1:]]).astype(np.int64)
            name = f"{node.name}/free_batch_shape"
            model.graph.initializer.append(numpy_helper.from_array(freed, name))
            node.input[1] = name


def fix_batch_axis(model: onnx.ModelProto, fixed: int | None) -> None:
    """Let a tidy `onnx.ModelProto` exported for several images take one, which fills its batch.

    The image is repeated in front of the network and the first row of each output is kept, so a
    call costs what the exported batch costs. A model whose batch is free or 1 stays as it is.

    Arguments:
        model: changed in place.
        fixed: the batch size that the model was exported for, or None when it is free.
    """
    from onnx import helper, numpy_helper

    if fixed in (None, 1):
        return
    graph, source = model.graph, model.graph.input[0]
    inner, image = source.name, f"{PREFIX}image"
    for name, numbers in {"copies": [fixed, 1, 1, 1], "first": [0], "second": [1]}.items():
        graph.initializer.append(
            numpy_helper.from_array(np.array(numbers, np.int64), f"{PREFIX}{name}")
        )
    nodes = [
        helper.make_node("Expand", [image, f"{PREFIX}copies"], [inner], f"{PREFIX}Expand"),
        *graph.node,
    ]
    source.name = image
    source.type.tensor_type.shape.dim[0].dim_value = 1
    renamed = {output.name: f"{PREFIX}all/{output.name}" for output in graph.output}
    for node in nodes:
        node.output[:] = [renamed.get(name, name) for name in node.output]
        node.input[:] = [renamed.get(name, name) for name in node.input]
    for name, whole in renamed.items():
        cut = [whole, f"{PREFIX}first", f"{PREFIX}second", f"{PREFIX}first"]
        nodes.append(helper.make_node("Slice", cut, [name], f"{PREFIX}Slice/{name}"))
    replace_items(graph.node, nodes)


def _values_with_batch_axis(model: onnx.ModelProto, fixed: int) -> set[str]:
    """Find values whose first axis is as long as a batch, or of a length known only on running."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    found = set()
    for value in (*graph.input, *graph.value_info):
        axes = value.type.tensor_type.shape.dim
        if axes and (not axes[0].HasField("dim_value") or axes[0].dim_value == fixed):
            found.add(value.name)
    return found
