"""Half precision."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from components.backends.onnx_file import read_onnx, save_onnx
from components.backends.onnx_graph import graphs, replace_items
from components.backends.session import one_line
from components.contracts import Format, ModelArtifact, PassRecord, Precision
from components.errors import PassError
from components.optimize.context import PassContext, product_path, require
from components.optimize.graph.structure import decoding_nodes, preprocessing_nodes
from components.optimize.verify import require_lowered

if TYPE_CHECKING:
    import onnx

# Either their type is written in an attribute, or long sums and steep curves leave float16's range
# or precision.
_FLOAT32_OPERATORS = frozenset(
    {
        "Cast",
        "CastLike",
        "ConstantOfShape",
        "EyeLike",
        "Range",
        "CumSum",
        "TopK",
        "NonMaxSuppression",
        "RoiAlign",
    }
    | {"Exp", "Log", "Pow", "ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL2"}
    | {"If", "Loop", "Scan", "QuantizeLinear", "DequantizeLinear"}
)
_FLOAT32_INPUTS = {"Resize": {1, 2}}  # region and scales, by the ONNX standard


@dataclass(frozen=True)
class ToFp16:
    """Compute the network's layers in float16, which halves the file and suits GPUs and NPUs.

    Inputs and outputs keep their types. Pre-processing and the decoding of the outputs stay in
    float32, since pixel coordinates need more than float16's 11 bits, and so do sums that could
    overflow. CPUs without float16 arithmetic compute in float32 from the rounded weights: expect a
    smaller file there, not a faster one.
    """

    name: ClassVar[str] = "fp16"
    accepts: ClassVar[frozenset[Format]] = frozenset({Format.ONNX})
    produces: ClassVar[Format] = Format.ONNX

    def apply(self, artifact: ModelArtifact, context: PassContext) -> ModelArtifact:
        require(artifact, self, Precision.FP32)
        model = read_onnx(artifact.path)
        kept = {*preprocessing_nodes(model), *decoding_nodes(model)}
        try:
            lower(model, kept)
        except PassError:
            raise
        except Exception as error:
            raise PassError(
                "a model that can be computed in float16",
                found=f"{artifact.path.name}: {one_line(error)}",
            ) from error
        require_lowered(model, artifact, context, Precision.FP16)
        record = PassRecord(self.name, {"float32_nodes": len(kept)})
        history = (*artifact.history, record)
        return save_onnx(
            model, product_path(artifact, context, "fp16.onnx"), artifact.spec, history
        )


def lower(model: onnx.ModelProto, kept: Collection[str]) -> None:
    """Turn a tidy float32 `onnx.ModelProto` to float16 in place, casting where the two meet.

    Arguments:
        model: the model.
        kept: names of nodes that stay in float32.

    Raises:
        PassError: a weight is beyond float16's range.
    """
    work = _Lowering(model)
    nested = {
        name for graph in list(graphs(model))[1:] for node in graph.node for name in node.input
    }
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        free = (
            node.name not in kept
            and node.op_type not in _FLOAT32_OPERATORS
            and nested.isdisjoint(node.output)
        )
        half = free and all(output in work.types for output in node.output)
        nodes += work.convert(node, half)
    replace_items(model.graph.node, nodes)
    used = {name for graph in graphs(model) for node in graph.node for name in node.input}
    weights = [tensor for tensor in model.graph.initializer if tensor.name in used]
    replace_items(model.graph.initializer, [*weights, *work.halves.values()])


class _Lowering:
    """State of a graph's values while its nodes are turned to float16 one after the other."""

    def __init__(self, model: onnx.ModelProto) -> None:
        import onnx

        graph = onnx.shape_inference.infer_shapes(model).graph
        values = (*graph.input, *graph.value_info, *graph.output)
        self.types = {value.name: value.type.tensor_type.elem_type for value in values}
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self.halves: dict[str, onnx.TensorProto] = {}
        self._outputs = {value.name for value in model.graph.output}
        self._is_half: set[str] = set()
        self._casts: set[str] = set()

    def convert(self, node: onnx.NodeProto, half: bool) -> Iterator[onnx.NodeProto]:
        """The node, reading and writing float16 or float32, between the casts that it needs.

        A graph's output keeps its name and its float32, so a node that writes one is followed by a
        cast.
        """
        from onnx import TensorProto, helper

        copy = deepcopy(node)
        always_float = _FLOAT32_INPUTS.get(node.op_type, set())
        for position, name in enumerate(node.input):
            wants_half = half and position not in always_float
            if name in self.weights:
                copy.input[position] = self._half_weight(name) if wants_half else name
            elif self.types.get(name) == TensorProto.FLOAT and wants_half is not (
                name in self._is_half
            ):
                copy.input[position] = f"{name}/{'half' if wants_half else 'float'}"
                yield from self._cast(name, copy.input[position], half=wants_half)
        restored = []
        for position, name in enumerate(node.output) if half else ():
            if self.types[name] == TensorProto.FLOAT and name in self._outputs:
                copy.output[position] = f"{name}/half"
                self._casts.add(f"{name}/half")
                restored.append(
                    helper.make_node(
                        "Cast", [f"{name}/half"], [name], name=f"{name}/cast", to=TensorProto.FLOAT
                    )
                )
            elif self.types[name] == TensorProto.FLOAT:
                self._is_half.add(name)
        yield copy
        yield from restored

    def _cast(self, source: str, target: str, *, half: bool) -> Iterator[onnx.NodeProto]:
        from onnx import TensorProto, helper

        if target not in self._casts:
            self._casts.add(target)
            kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
            yield helper.make_node("Cast", [source], [target], name=f"{target}/cast", to=kind)

    def _half_weight(self, name: str) -> str:
        """The name of a weight's float16 copy, made once; other types are left alone."""
        from onnx import TensorProto, numpy_helper

        weight = self.weights[name]
        if weight.data_type != TensorProto.FLOAT:
            return name
        if name not in self.halves:
            with np.errstate(over="ignore"):
                numbers = numpy_helper.to_array(weight).astype(np.float16)
            if not np.isfinite(numbers).all():
                raise PassError(
                    "weights within float16's range",
                    found=f"larger ones in {name}",
                    hint="leave FP16 out",
                )
            self.halves[name] = numpy_helper.from_array(numbers, f"{name}/half")
        return f"{name}/half"
