"""The torch backend: runs TorchScript as the reference that optimized files are compared with."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar

from components.backends.neutral import neutral_copy
from components.backends.session import OpenSession, check_artifact, translated, why_unavailable
from components.contracts import Format, ModelArtifact
from components.contracts.arrays import Array, Image
from components.errors import ModelError, UnavailableError
from components.telemetry import import_library

if TYPE_CHECKING:
    import torch


def _import_torch() -> ModuleType:
    return import_library("torch", "torch", "pip install torch")


@dataclass(frozen=True)
class TorchScript:
    """Runs TorchScript files that Foveal traced.

    torch has one thread pool per process: `threads` sets it for the whole process, and the session
    that was opened last decides. A TorchScript file is a program: open only artifacts that you made
    or trust.
    """

    name: ClassVar[str] = "torch"
    formats: ClassVar[frozenset[Format]] = frozenset({Format.TORCHSCRIPT})
    bundled: ClassVar[tuple[str, ...]] = ()

    def unavailable_reason(self) -> str | None:
        return why_unavailable(_import_torch)

    def open(
        self, artifact: ModelArtifact, *, device: str = "cpu", threads: int = 0
    ) -> TorchSession:
        check_artifact(artifact, self.formats, self.name)
        torch = _import_torch()
        place = "cuda" if device == "gpu" else device
        if place.startswith("cuda") and not torch.cuda.is_available():
            raise UnavailableError(
                f"the torch device {device!r}", found="no CUDA device", hint="choose the device cpu"
            )
        if threads:
            torch.set_num_threads(threads)
        with (
            translated(ModelError, "a TorchScript file", artifact.path.name),
            neutral_copy(artifact.path, ".pt") as copy,
            warnings.catch_warnings(),
        ):  # torch calls TorchScript deprecated at every load
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            return TorchSession(
                artifact, torch.jit.load(str(copy), map_location=torch.device(place)), place
            )


class TorchSession(OpenSession):
    """A TorchScript module on its device."""

    def __init__(self, artifact: ModelArtifact, module: torch.jit.ScriptModule, place: str) -> None:
        super().__init__(artifact, TorchScript.name)
        self._module: torch.jit.ScriptModule = module
        self._place = place

    def _infer(self, batch: Image) -> tuple[Array, ...]:
        import torch

        with torch.inference_mode():
            outputs = self._module(torch.tensor(batch, device=self._place))
        outputs = outputs if isinstance(outputs, tuple | list) else (outputs,)
        return tuple(output.cpu().numpy() for output in outputs)

    def _release(self) -> None:
        del self._module
