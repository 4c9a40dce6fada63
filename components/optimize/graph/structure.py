"""Structure of a detector's graph: the network's end and the start of its outputs' decoding."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU"})
_SHAPE_ONLY = frozenset({"Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze", "Flatten"})


def decoding_nodes(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the nodes that only decode: no layer with weights comes after them.

    In a YOLO head that is everything behind the last convolutions of the box and class branches:
    the integral over the box distribution, anchors, strides, and the concatenation of pixel
    coordinates with scores. There scores in 0–1 and coordinates in hundreds share a tensor, so one
    INT8 scale for both erases the scores, and FP16 rounds coordinates above 1024 to whole pixels.
    The integral (a 1 × 1 convolution over a softmax, after Generalized Focal Loss,
    arXiv:2006.04388) counts as decoding although it is a convolution.

    Arguments:
        model: an `onnx.ModelProto` whose nodes have unique names and topological order.
    """
    producers = {output: node for node in model.graph.node for output in node.output}
    before_a_layer: set[str] = set()  # values that a layer with weights depends on
    decoding = []
    for node in reversed(model.graph.node):
        leads_on = any(output in before_a_layer for output in node.output)
        layer = node.op_type in _WEIGHTED and not _is_box_integral(node, producers)
        if leads_on or layer:
            before_a_layer.update(node.input)
        else:
            decoding.append(node.name)
    return tuple(reversed(decoding))


def last_layers(model: onnx.ModelProto) -> tuple[str, ...]:
    """Name the layers with weights whose outputs are decoded, such as a head's final convolutions.

    To be pooled into the embedding is not to be decoded.
    """
    decoding = set(decoding_nodes(model))
    decoded = {
        name
        for node in model.graph.node
        if node.name in decoding and not node.name.startswith(EMBEDDING_PREFIX)
        for name in node.input
    }
    results = {value.name for value in model.graph.output}
    return tuple(
        node.name
        for node in model.graph.node
        if node.op_type in _WEIGHTED
        and node.name not in decoding
        and (decoded | results).intersection(node.output)
    )


def _is_box_integral(node: onnx.NodeProto, producers: dict[str, onnx.NodeProto]) -> bool:
    """Tell whether a convolution reads a softmax, directly or by nodes that only move numbers."""
    if node.op_type != "Conv":
        return False
    source = producers.get(node.input[0])
    while source is not None and source.op_type in _SHAPE_ONLY:
        source = producers.get(source.input[0])
    return source is not None and source.op_type == "Softmax"


def preprocessing_nodes(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the nodes that `embed` put in front."""
    return tuple(node.name for node in model.graph.node if node.name.startswith(PREFIX))


# before the names of nodes that Foveal adds: pre-processing, and the output `embedding`
PREFIX = "foveal/"
EMBEDDING_PREFIX = "foveal_embedding/"
