"""The OpenVINO backend: runs ONNX on Intel and AMD CPUs, and on Intel GPUs and NPUs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from components.backends.neutral import neutral_copy
from components.backends.session import (
    LIMIT_S,
    OPENING_S,
    OpenSession,
    check_artifact,
    still_running,
    translated,
    why_unavailable,
)
from components.contracts import Format, ModelArtifact
from components.contracts.arrays import Array, Image
from components.daemons import call_engine, hold
from components.errors import ModelError, UnavailableError
from components.telemetry import import_library

if TYPE_CHECKING:
    import openvino

_LOOK_S = 1.0  # between two looks for a signal, while a call goes on


def _import_openvino() -> ModuleType:
    """Import OpenVINO without telemetry, which reports imports and keeps an id at home."""
    return import_library("openvino", "OpenVINO", "pip install openvino")


@dataclass(frozen=True)
class OpenVino:
    """Runs ONNX with OpenVINO, tuned for the latency of one call.

    Arithmetic is as precise as the file says: the float32 hint keeps OpenVINO from choosing
    bfloat16 by itself on CPUs that have it, and leaves INT8 nodes as they are.
    """

    name: ClassVar[str] = "openvino"
    formats: ClassVar[frozenset[Format]] = frozenset({Format.ONNX})
    bundled: ClassVar[tuple[str, ...]] = ("openvino",)

    def unavailable_reason(self) -> str | None:
        return why_unavailable(_import_openvino)

    def open(
        self, artifact: ModelArtifact, *, device: str = "cpu", threads: int = 0
    ) -> OpenVinoSession:
        check_artifact(artifact, self.formats, self.name)
        core = _import_openvino().Core()
        wanted = device.upper()
        if wanted.split(".")[0] not in {found.split(".")[0] for found in core.available_devices}:
            raise UnavailableError(
                f"the OpenVINO device {device!r}", found=", ".join(core.available_devices) or "none"
            )
        settings: dict[str, str | int] = {"PERFORMANCE_HINT": "LATENCY"}
        if wanted == "CPU":
            settings["INFERENCE_PRECISION_HINT"] = "f32"
            settings |= {"INFERENCE_NUM_THREADS": threads} if threads else {}
        return OpenVinoSession(artifact, core, wanted, settings)


@dataclass(frozen=True)
class Limits:
    """How long compiling a model and predicting one image may take, in seconds."""

    opening_s: float = OPENING_S
    image_s: float = LIMIT_S


class OpenVinoSession(OpenSession):
    """An ONNX model that OpenVINO has compiled.

    It is compiled twice: for single images with a fixed shape, which takes 12 to 16 % less
    processor time than a free batch axis (measured on YOLO11n at 256 px, FP32 and INT8), and, once
    one comes, for batches of any size.

    OpenVINO cannot end a call inside of a loop. A call that takes too long is left to itself, and
    the session refuses all later ones.
    """

    def __init__(
        self,
        artifact: ModelArtifact,
        core: openvino.Core,
        device: str,
        settings: dict[str, str | int],
        limits: Limits = Limits(),
    ) -> None:
        super().__init__(artifact, OpenVino.name)
        self._core, self._device, self._settings = core, device, settings
        self._limits, self._stuck = limits, False
        self._requests: dict[bool, openvino.InferRequest] = {True: self._compile(single=True)}

    def _compile(self, *, single: bool) -> openvino.InferRequest:
        with (
            translated(ModelError, "a model that OpenVINO compiles", self._artifact.path.name),
            neutral_copy(self._artifact.path, ".onnx") as copy,
        ):
            return call_engine(self._limits.opening_s, lambda: self._request(copy, single))

    def _request(self, path: Path, single: bool) -> openvino.InferRequest:
        model = self._core.read_model(str(path))
        if single:
            model.reshape([1, *self._artifact.spec.input_size, 3])
        return self._core.compile_model(model, self._device, self._settings).create_infer_request()

    def _infer(self, batch: Image) -> tuple[Array, ...]:
        if self._stuck:
            raise ModelError(
                "a session whose calls end",
                found="one whose earlier call is still running",
                hint="open the model in another process, on onnxruntime",
            )
        single = len(batch) == 1
        if single not in self._requests:
            self._requests[single] = self._compile(single=single)
        request = self._requests[single]
        request.start_async([batch], share_inputs=True)
        self._wait(request, self._limits.image_s * len(batch))
        return tuple(
            np.array(request.get_tensor(output.name).data) for output in self._artifact.outputs
        )

    def _wait(self, request: openvino.InferRequest, limit_s: float) -> None:
        """Wait for a call in short turns, so that a signal is heard and its time is its own.

        Raises:
            ModelError: it took longer than `limit_s` seconds.
        """
        look_s, left_s = min(_LOOK_S, limit_s / 4), limit_s
        try:
            while not request.wait_for(round(look_s * 1000)):
                left_s -= look_s
                if left_s <= 0:
                    raise still_running(limit_s)
        except RuntimeError:  # OpenVINO's own: the call has ended
            raise
        except BaseException:
            self._stuck = True
            hold(self)
            raise

    def _release(self) -> None:
        if not self._stuck:  # destroying a request waits for its call
            self._requests.clear()
            self._core = None
