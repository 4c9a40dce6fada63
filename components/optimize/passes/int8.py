"""INT8 by NNCF: weights and activations of all layers, ranges learned on the user's own images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from components.backends.onnx_file import read_onnx, save_onnx
from components.backends.session import translated
from components.contracts import Format, ModelArtifact, PassRecord, Precision
from components.errors import PassError
from components.optimize.context import PassContext, product_path, require
from components.optimize.graph.structure import decoding_nodes, preprocessing_nodes
from components.optimize.passes.calibrating import calibrated
from components.optimize.quiet import quiet
from components.optimize.verify import require_lowered
from components.telemetry import import_library

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class QuantizeInt8:
    """Post-training quantization to a Q/DQ ONNX file that every ONNX backend runs.

    The decoding of the outputs stays in float32, found from the graph's structure (see
    `decoding_nodes`). A network with layer normalisation gets NNCF's settings for transformers.

    Arguments:
        samples: how many calibration images at most.
        preset: ``"mixed"`` fits asymmetric ranges to activations and stores them as uint8, which
            CPUs run best; ``"performance"`` fits symmetric ones and stores them as int8, the only
            form that TensorRT takes.
        overflow_fix: where weights get 7 bits, so that 16-bit sums cannot overflow on CPUs without
            VNNI.
    """

    samples: int = 300
    preset: Literal["mixed", "performance"] = "mixed"
    overflow_fix: Literal["enable", "first_layer_only", "disable"] = "enable"
    name: ClassVar[str] = "int8"
    accepts: ClassVar[frozenset[Format]] = frozenset({Format.ONNX})
    produces: ClassVar[Format] = Format.ONNX

    def apply(self, artifact: ModelArtifact, context: PassContext) -> ModelArtifact:
        require(artifact, self, Precision.FP32)
        samples = context.samples_for(artifact, self.samples)
        source = read_onnx(artifact.path)
        transformer = any(node.op_type == "LayerNormalization" for node in source.graph.node)
        ignored = [*preprocessing_nodes(source), *decoding_nodes(source)]
        with translated(PassError, "a model that NNCF quantizes", artifact.path.name), quiet():
            nncf = import_library("nncf", "NNCF, which quantizes to INT8", "pip install nncf")
            advanced = nncf.AdvancedQuantizationParameters(
                overflow_fix=nncf.OverflowFix(self.overflow_fix)
            )
            model = calibrated(
                lambda feeds: nncf.quantize(
                    source,
                    nncf.Dataset(samples, feeds.of),
                    preset=nncf.QuantizationPreset(self.preset),
                    subset_size=len(samples),
                    model_type=nncf.ModelType.TRANSFORMER if transformer else None,
                    # NNCF drops nodes on integers
                    ignored_scope=nncf.IgnoredScope(names=ignored, validate=False),
                    advanced_parameters=advanced,
                ),
                context.calibration_s,
            )
        if self.preset == "mixed":
            _make_activations_unsigned(model)
        require_lowered(model, artifact, context, Precision.INT8)
        _require_float(model, set(ignored))
        record = PassRecord(
            self.name,
            {
                "samples": len(samples),
                "calibration_sha256": context.calibration_hash(),
                "preset": self.preset,
                "overflow_fix": self.overflow_fix,
                "float32_nodes": len(ignored),
                "transformer": transformer,
                "nncf": nncf.__version__,
            },
        )
        return save_onnx(
            model,
            product_path(artifact, context, "int8.onnx"),
            artifact.spec,
            (*artifact.history, record),
        )


def _make_activations_unsigned(model: onnx.ModelProto) -> None:
    """Store quantized activations as uint8 instead of int8: the same steps, all shifted by 128.

    OpenVINO's kernels for CPUs without VNNI are wrong on int8 activations: on a detector of
    handwritten digits they took mAP50-95 from 0.71 to 0.36, while the same numbers as uint8 kept
    0.71 and ran faster on onnxruntime as well.
    """
    from onnx import TensorProto, numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    shifted: dict[str, onnx.TensorProto] = {}
    for node in model.graph.node:
        if node.op_type not in {"QuantizeLinear", "DequantizeLinear"} or node.input[0] in constants:
            continue
        zero = constants.get(node.input[2]) if len(node.input) > 2 else None
        if zero is not None and zero.data_type == TensorProto.INT8:
            name = f"{zero.name}/unsigned"
            numbers = (numpy_helper.to_array(zero).astype(np.int16) + 128).astype(np.uint8)
            shifted[name] = numpy_helper.from_array(numbers, name)
            node.input[2] = name
    model.graph.initializer.extend(shifted.values())
    del model.graph.value_info[:]  # it declares the old types


def _require_float(model: onnx.ModelProto, names: set[str]) -> None:
    """Refuse a product in which a node that was to stay in float32 reads quantized numbers.

    Raises:
        PassError: there is one.
    """
    quantized = {
        output
        for node in model.graph.node
        if node.op_type == "DequantizeLinear"
        for output in node.output
    }
    for node in model.graph.node:
        if node.name in names and node.op_type != "Shape" and quantized.intersection(node.input):
            raise PassError(
                "a decoding of the outputs in float32", found=f"INT8 in front of {node.name}"
            )
