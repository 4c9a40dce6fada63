"""INT8 by onnxruntime: convolutions only, which is what onnxruntime runs fastest on AVX2."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from components.backends.onnx_file import read_onnx, save_onnx
from components.backends.onnxruntime import import_onnxruntime
from components.backends.session import translated
from components.contracts import Format, ModelArtifact, PassRecord, Precision
from components.contracts.arrays import Image
from components.errors import PassError
from components.optimize.context import PassContext, product_path, require
from components.optimize.graph.structure import decoding_nodes, last_layers
from components.optimize.passes.calibrating import calibrated
from components.optimize.quiet import quiet
from components.optimize.verify import require_lowered

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class QuantizeConvolutions:
    """Post-training quantization of the convolutions only, to a Q/DQ ONNX file.

    The last convolutions stay in float32 with the decoding: this quantizer rounds outputs too, and
    256 steps over all logits of an image would leave a handful of different scores.

    Arguments:
        samples: how many calibration images at most.
        reduce_range: 7-bit weights, so that 16-bit sums cannot overflow on CPUs without VNNI.
    """

    samples: int = 128
    reduce_range: bool = True
    name: ClassVar[str] = "int8_conv"
    accepts: ClassVar[frozenset[Format]] = frozenset({Format.ONNX})
    produces: ClassVar[Format] = Format.ONNX

    def apply(self, artifact: ModelArtifact, context: PassContext) -> ModelArtifact:
        require(artifact, self, Precision.FP32)
        samples = context.samples_for(artifact, self.samples)
        runtime = import_onnxruntime()
        source = read_onnx(artifact.path)
        with (
            translated(PassError, "a model that onnxruntime quantizes", artifact.path.name),
            quiet(),
            tempfile.TemporaryDirectory(prefix="foveal-int8-") as scratch,
        ):
            model = calibrated(
                lambda feeds: self._quantize(source, map(feeds.of, samples), Path(scratch)),
                context.calibration_s,
            )
        require_lowered(model, artifact, context, Precision.INT8)
        record = PassRecord(
            self.name,
            {
                "samples": len(samples),
                "calibration_sha256": context.calibration_hash(),
                "reduce_range": self.reduce_range,
                "onnxruntime": runtime.__version__,
            },
        )
        return save_onnx(
            model,
            product_path(artifact, context, "int8_conv.onnx"),
            artifact.spec,
            (*artifact.history, record),
        )

    def _quantize(
        self, source: onnx.ModelProto, feeds: Iterator[dict[str, Image]], scratch: Path
    ) -> onnx.ModelProto:
        import onnx
        from onnxruntime import quantization

        class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
            def get_next(self) -> dict[str, Image] | None:
                return next(feeds, None)

        target = scratch / "model.onnx"
        quantization.quantize_static(
            source,
            str(target),
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[*decoding_nodes(source), *last_layers(source)],
            per_channel=True,
            reduce_range=self.reduce_range,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return onnx.load(target)
