"""From a torch checkpoint to a TorchScript file for the same images as all other variants."""

from __future__ import annotations

import io
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from components.backends.onnx_file import describe_metadata
from components.backends.session import translated
from components.backends.torchscript_file import describe_torchscript
from components.contracts import Format, ModelArtifact, PassRecord
from components.errors import PassError
from components.files import replacing
from components.optimize.context import PassContext, product_path, require
from components.optimize.meaning import UNIT, Normalisation
from components.optimize.opening.checkpoint import load_torch
from components.optimize.opening.embed import network_input
from components.optimize.proof import prove_on
from components.optimize.quiet import quiet
from components.optimize.verify import require_same

if TYPE_CHECKING:
    import torch

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip archive can hold


@dataclass(frozen=True)
class TraceTorchScript:
    """Trace a torch model together with its pre-processing, for the torch backend.

    Arguments:
        normalisation: what the network expects of RGB in 0–1.
        end_to_end: of a YOLO26 or YOLOv10, the head that needs no NMS.
    """

    normalisation: Normalisation = UNIT
    end_to_end: bool = False
    name: ClassVar[str] = "trace_torchscript"
    accepts: ClassVar[frozenset[Format]] = frozenset({Format.TORCH})
    produces: ClassVar[Format] = Format.TORCHSCRIPT

    def apply(self, artifact: ModelArtifact, context: PassContext) -> ModelArtifact:
        import torch

        require(artifact, self)
        network = load_torch(artifact.path, trust=context.trust_pickle, end_to_end=self.end_to_end)
        proof = prove_on(
            context.calibration,
            artifact.spec,
            lambda image: network(network_input(image, self.normalisation)),
            context.batch,
        )
        module = _with_preprocessing(network.module, self.normalisation)
        with (
            translated(PassError, "a network that torch traces", artifact.path.name),
            quiet(),
            torch.no_grad(),
        ):
            example = torch.from_numpy(proof.images[:1])
            module(example)  # a YOLO head keeps its anchors for this shape
            traced = torch.jit.trace(module, example, check_trace=False, strict=False)  # type: ignore[no-untyped-call]
            found = traced(torch.from_numpy(proof.images))
        found = found if isinstance(found, tuple | list) else (found,)
        seen = [output.numpy() for output in found]
        require_same(proof.expected, seen, artifact.spec.head, artifact.path.name, 1e-3)
        record = PassRecord(
            self.name,
            {
                "source_sha256": artifact.sha256,
                **asdict(self.normalisation),
                "proved_on": proof.basis,
            },
        )
        target = product_path(artifact, context, "fp32.torchscript")
        with replacing(target) as aside:
            _save(traced, aside, describe_metadata(artifact.spec, (*artifact.history, record)))
        return describe_torchscript(target)


def _save(traced: torch.jit.ScriptModule, target: Path, metadata: dict[str, str]) -> None:
    """Write the archive without debugging tables, which hold paths of this machine's sources."""
    import torch

    sink = io.BytesIO()
    with quiet():
        torch.jit.save(traced, sink, _extra_files=metadata)
    with zipfile.ZipFile(sink) as complete, zipfile.ZipFile(target, "w") as lean:
        for entry in complete.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                lean.writestr(zipfile.ZipInfo(entry.filename, _EPOCH), complete.read(entry))


def _with_preprocessing(network: torch.nn.Module, normalisation: Normalisation) -> torch.nn.Module:
    """A module that takes (n, height, width, 3) uint8 BGR."""
    import torch

    class WithPreprocessing(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.register_buffer("mean", torch.tensor(normalisation.mean).view(1, 3, 1, 1))
            self.register_buffer("std", torch.tensor(normalisation.std).view(1, 3, 1, 1))

        def forward(self, images: torch.Tensor) -> object:
            pixels = images.permute(0, 3, 1, 2).flip(1).float() / 255
            return self.network((pixels - self.get_buffer("mean")) / self.get_buffer("std"))

    return WithPreprocessing().eval()
