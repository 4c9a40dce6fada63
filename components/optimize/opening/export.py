"""From torch to ONNX."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from components.backends.onnx_file import save_onnx
from components.backends.session import translated
from components.contracts import Format, ModelArtifact, PassRecord
from components.errors import PassError
from components.optimize.context import PassContext, product_path, require
from components.optimize.meaning import UNIT, Normalisation
from components.optimize.opening.checkpoint import load_torch
from components.optimize.opening.embed import embed
from components.optimize.proof import assumption, record_of
from components.optimize.quiet import quiet
from components.optimize.verify import NetworkForm

if TYPE_CHECKING:
    import onnx
    import torch

# the newest that onnxruntime, its CUDA kernels, OpenVINO, TensorRT and the quantizers all know in
# full
OPSET = 17


@dataclass(frozen=True)
class ExportOnnx:
    """Export a torch model and put the pre-processing inside.

    The TorchScript-based exporter is used: it is deterministic, takes traced and scripted modules,
    and needs no further package.

    Arguments:
        normalisation: what the network expects of RGB in 0–1.
        opset: version of the ONNX operator set.
        end_to_end: of a YOLO26 or YOLOv10, the head that needs no NMS.
        stated: the file or the user says what a classifier's outputs are.
    """

    normalisation: Normalisation = UNIT
    opset: int = OPSET
    end_to_end: bool = False
    stated: bool = True
    name: ClassVar[str] = "export_onnx"
    accepts: ClassVar[frozenset[Format]] = frozenset({Format.TORCH})
    produces: ClassVar[Format] = Format.ONNX

    def apply(self, artifact: ModelArtifact, context: PassContext) -> ModelArtifact:
        require(artifact, self)
        network = load_torch(artifact.path, trust=context.trust_pickle, end_to_end=self.end_to_end)
        exported = self._export(network.module, artifact)
        model, proof, reason = embed(
            exported, artifact, self.normalisation, network, NetworkForm(batch=1), context
        )
        parameters = {
            "opset": self.opset,
            "source_sha256": artifact.sha256,
            **asdict(self.normalisation),
            **record_of(proof, reason),
            **({} if self.stated else assumption(proof, artifact.spec)),
        }
        history = (*artifact.history, PassRecord(self.name, parameters))
        return save_onnx(
            model, product_path(artifact, context, "fp32.onnx"), artifact.spec, history
        )

    def _export(self, module: torch.nn.Module, artifact: ModelArtifact) -> onnx.ModelProto:
        import onnx
        import torch

        example = torch.zeros(1, 3, *artifact.spec.input_size)
        free = {0: "batch"}
        expected, hint = (
            "a network that torch exports to ONNX",
            "export it to ONNX yourself and open that",
        )
        with (
            translated(PassError, expected, artifact.path.name, hint),
            quiet(),
            torch.no_grad(),
            tempfile.TemporaryDirectory(prefix="foveal-export-") as scratch,
        ):
            # a YOLO head computes its anchors once per shape: now, not inside the graph
            module(example)
            target = Path(scratch) / "model.onnx"
            torch.onnx.export(
                module,
                (example,),
                target,
                opset_version=self.opset,
                dynamo=False,
                input_names=["input"],
                output_names=["output0"],
                dynamic_axes={"input": free, "output0": free},
            )
            return onnx.load(target)
