"""Half precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from components.backends.onnx_file import read_onnx, save_onnx
from components.backends.onnxruntime import import_onnxruntime
from components.backends.session import one_line
from components.contracts import Format, ModelArtifact, PassRecord, Precision
from components.errors import PassError
from components.optimize.passes import PassContext, product_path, require
from components.optimize.quiet import quiet
from components.optimize.structure import decoding_nodes, preprocessing_nodes
from components.optimize.verify import require_finite


@dataclass(frozen=True)
class ToFp16:
    """Compute the network's layers in float16, which halves the file and suits GPUs and NPUs.

    Inputs and outputs keep their types. Pre-processing and the decoding of the outputs stay in float32: pixel
    coordinates need more than float16's 11 bits. CPUs without float16 arithmetic compute in float32 from the
    rounded weights, so expect a smaller file there, not a faster one.
    """

    name: ClassVar[str] = "fp16"
    accepts: ClassVar[frozenset[Format]] = frozenset({Format.ONNX})
    produces: ClassVar[Format] = Format.ONNX

    def apply(self, artifact: ModelArtifact, context: PassContext) -> ModelArtifact:
        require(artifact, self, Precision.FP32)
        import_onnxruntime()
        from onnxruntime.transformers.float16 import convert_float_to_float16

        source = read_onnx(artifact.path)
        kept = [*preprocessing_nodes(source), *decoding_nodes(source)]
        try:
            with quiet():
                model = convert_float_to_float16(source, keep_io_types=True, node_block_list=kept)
        except Exception as error:
            raise PassError(
                "a model that can be computed in float16", found=f"{artifact.path.name}: {one_line(error)}"
            ) from error
        record = PassRecord(self.name, {"float32_nodes": len(kept)})
        require_finite(model, artifact)
        history = (*artifact.history, record)
        return save_onnx(model, product_path(artifact, context, "fp16.onnx"), artifact.spec, history)
