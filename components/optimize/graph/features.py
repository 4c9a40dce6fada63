"""Second output: what the network's backbone saw of an image, as a vector for drift monitoring."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

from components.backends.onnx_file import INPUT
from components.backends.onnxruntime import quiet_session, run_within
from components.backends.session import LIMIT_S
from components.contracts import EMBEDDING
from components.contracts.arrays import Image
from components.optimize.graph.structure import EMBEDDING_PREFIX, decoding_nodes
from components.optimize.graph.tidy import rename_values
from components.vision import task_kind

if TYPE_CHECKING:
    import onnx

_UPSAMPLING = frozenset({"Resize", "Upsample", "ConvTranspose"})
_WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
_FLATTENING = frozenset({"Flatten", "Reshape", "Squeeze", "Identity", "Dropout"})


def add_embedding(
    model: onnx.ModelProto,
    task: str,
    images: Image,
    *,
    batch: int | str = "batch",
    limit_s: float = LIMIT_S,
) -> None:
    """Give an `onnx.ModelProto` the output ``embedding``, (batch, c) float32, of a fitting tensor.

    It is the mean over height and width of a deep feature map that is computed anyway, see
    `embedding_source`, so it costs next to nothing, and the predictions stay what they are bit by
    bit. A graph without such a tensor is left as it is.

    Arguments:
        model: tidy, with pre-processing inside; changed in place.
        task: of the model, its name in `TASKS`.
        images: (n, height, width, 3) uint8, to see whether the tensor has one row an image; n ≥ 2
            where the batch axis is free.
        batch: the name of the free batch axis, or 1.
        limit_s: how long one image may take.

    Raises:
        ModelError: it takes longer.
    """
    from onnx import TensorProto, helper

    rename_values(model, {EMBEDDING: f"{EMBEDDING_PREFIX}renamed"})
    source = embedding_source(model, task)
    if source is None:
        return
    nodes = [
        helper.make_node("Flatten", [source], [EMBEDDING], f"{EMBEDDING_PREFIX}flatten", axis=1)
    ]
    if _ranks(model).get(source) == 4:
        pooled = f"{EMBEDDING_PREFIX}pooled"
        nodes[0].input[0] = pooled
        nodes.insert(
            0, helper.make_node("GlobalAveragePool", [source], [pooled], f"{EMBEDDING_PREFIX}pool")
        )
    extended = deepcopy(model)
    extended.graph.node.extend(nodes)
    extended.graph.output.append(
        helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, [batch, None])
    )
    session = quiet_session(extended.SerializeToString())
    (seen,) = run_within(session, {INPUT: images}, limit_s * len(images), [EMBEDDING])
    if len(seen) == len(images):
        declared = helper.make_tensor_value_info(
            EMBEDDING, TensorProto.FLOAT, [batch, seen.shape[1]]
        )
        extended.graph.output[-1].CopyFrom(declared)
        model.CopyFrom(extended)


def embedding_source(model: onnx.ModelProto, task: str) -> str | None:
    """Name the value that describes an image best and is computed anyway; None if there is none.

    Detectors gather detail by enlarging the deepest feature map, so it is what the first upsampling
    reads. In a classifier it is what the last global average pooling in front of a layer gives;
    where there is none, what the last layer reads, or the feature map that this is a flattening of.
    Poolings and layers in side branches, such as the gates of squeeze-and-excitation, do not count:
    all that the prediction depends on must pass through them.

    Arguments:
        model: a tidy `onnx.ModelProto` with its nodes in topological order.
        task: of the model, its name in `TASKS`.
    """
    live = _reached(model.graph.node, {INPUT})
    nodes = [node for node in model.graph.node if node.input and node.input[0] in live]
    ranks = _ranks(model)
    if task_kind(task).finds_objects:
        deep = _reached(
            nodes, {output for node in nodes if node.op_type == "Conv" for output in node.output}
        )
        sources = (node.input[0] for node in nodes if node.op_type in _UPSAMPLING)
        return next((name for name in sources if name in deep and ranks.get(name) == 4), None)
    decoding = set(decoding_nodes(model))
    pools = [node for node in nodes if _pools(node, model, ranks) and node.name not in decoding]
    if pool := _last_on_every_path(pools, model):
        return str(pool.output[0])
    layers = [node for node in nodes if node.op_type in _WEIGHTED and node.input[1] not in live]
    layer = _last_on_every_path(layers, model)
    if layer is None or ranks.get(layer.input[0]) not in (2, 4):
        return None
    return _unflattened(layer.input[0], nodes, ranks)


def _pools(node: onnx.NodeProto, model: onnx.ModelProto, ranks: dict[str, int]) -> bool:
    """Tell whether a node averages over the two spatial axes of feature maps."""
    if node.op_type == "GlobalAveragePool":
        return True
    if node.op_type != "ReduceMean" or ranks.get(node.input[0]) != 4:
        return False
    return len(_axes(node, model)) == 2


def _axes(node: onnx.NodeProto, model: onnx.ModelProto) -> Sequence[int]:
    """The axes of a reduction: an attribute up to opset 17, an input from 18 on."""
    from onnx import numpy_helper

    for attribute in node.attribute:
        if attribute.name == "axes":
            return list(attribute.ints)
    wanted = list(node.input[1:2])
    return [
        int(axis)
        for tensor in model.graph.initializer
        if tensor.name in wanted
        for axis in numpy_helper.to_array(tensor).ravel()
    ]


def _last_on_every_path(
    candidates: Sequence[onnx.NodeProto], model: onnx.ModelProto
) -> onnx.NodeProto | None:
    """The last of some nodes without which the input would not reach output 0."""
    prediction = model.graph.output[0].name
    for node in reversed(candidates):
        others = [other for other in model.graph.node if other.name != node.name]
        if prediction not in _reached(others, {INPUT}):
            return node
    return None


def _reached(nodes: Sequence[onnx.NodeProto], start: Collection[str]) -> set[str]:
    """Values that depend on those of `start`, and these themselves."""
    found = set(start)
    for node in nodes:
        if not found.isdisjoint(node.input):
            found.update(node.output)
    return found


def _unflattened(name: str, nodes: Sequence[onnx.NodeProto], ranks: dict[str, int]) -> str:
    """The feature map that a vector is a flattening of, else the vector itself."""
    producers = {output: node for node in nodes for output in node.output}
    source = name
    while ranks.get(source) != 4:
        node = producers.get(source)
        if node is None or node.op_type not in _FLATTENING:
            return name
        source = node.input[0]
    return source


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    """Value → its number of axes, where that can be told without running."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    return {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in values
        if value.type.tensor_type.HasField("shape")
    }
