"""The OpenVINO backend: runs ONNX on Intel and AMD CPUs, and on Intel GPUs and NPUs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from components import telemetry
from components.backends.session import OpenSession, check_artifact, one_line
from components.contracts import Format, ModelArtifact
from components.errors import ModelError, UnavailableError


def _import_openvino() -> Any:
    telemetry.switch_off()
    try:
        import openvino
    except ImportError as error:
        raise UnavailableError("OpenVINO", found=one_line(error), mend="pip install openvino") from error
    return openvino


@dataclass(frozen=True)
class OpenVino:
    """Runs ONNX with OpenVINO, tuned for the latency of one call.

    Arithmetic is as precise as the file says: the float32 hint keeps OpenVINO from choosing bfloat16 by itself on
    CPUs that have it, and leaves INT8 nodes as they are.
    """

    name: ClassVar[str] = "openvino"
    formats: ClassVar[frozenset[Format]] = frozenset({Format.ONNX})

    def unavailable_reason(self) -> str | None:
        try:
            _import_openvino()
        except UnavailableError as error:
            return str(error)
        return None

    def open(self, artifact: ModelArtifact, *, device: str = "cpu", threads: int = 0) -> OpenVinoSession:
        check_artifact(artifact, self.formats, self.name)
        core = _import_openvino().Core()
        wanted = device.upper()
        if wanted.split(".")[0] not in {found.split(".")[0] for found in core.available_devices}:
            raise UnavailableError(f"the OpenVINO device {device!r}", found=", ".join(core.available_devices) or "none")
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if wanted == "CPU":
            settings["INFERENCE_PRECISION_HINT"] = "f32"
            settings |= {"INFERENCE_NUM_THREADS": threads} if threads else {}
        try:
            compiled = core.compile_model(str(artifact.path), wanted, settings)
        except Exception as error:
            raise ModelError(
                "a model that OpenVINO compiles", found=f"{artifact.path.name}: {one_line(error)}"
            ) from error
        return OpenVinoSession(artifact, compiled)


class OpenVinoSession(OpenSession):
    """An ONNX model that OpenVINO has compiled."""

    def __init__(self, artifact: ModelArtifact, compiled: Any) -> None:
        super().__init__(artifact, OpenVino.name)
        self._request: Any = compiled.create_infer_request()
        self._outputs: Any = [compiled.output(output.name) for output in artifact.outputs]

    def _infer(self, batch: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[Any], ...]:
        results = self._request.infer([batch], share_inputs=True, share_outputs=False)
        return tuple(results[output] for output in self._outputs)

    def _release(self) -> None:
        self._request = self._outputs = None
