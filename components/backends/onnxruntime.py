"""The onnxruntime backend: runs ONNX on the CPU, or on CUDA or TensorRT when asked for by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar
from weakref import finalize

from components.backends.session import (
    LIMIT_S,
    OPENING_S,
    OpenSession,
    check_artifact,
    one_line,
    still_running,
    why_unavailable,
)
from components.contracts import Format, ModelArtifact
from components.contracts.arrays import Array, Image
from components.daemons import call_engine
from components.errors import ModelError, UnavailableError
from components.telemetry import import_library

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, RunOptions

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "gpu": "CUDAExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}

_BUILDING_S = 3600.0  # both limits on TensorRT, which builds its engines first
_LOOK_S = 5.0
_ERRORS, _SILENT = 3, 4  # of onnxruntime's levels


def import_onnxruntime() -> ModuleType:
    """Import onnxruntime with its telemetry off, and have it write errors only.

    Its warnings, of initializers that it removes or devices that it does not find, are for whoever
    made the graph.

    Raises:
        UnavailableError: it is not installed.
    """
    onnxruntime = import_library("onnxruntime", "onnxruntime", "pip install onnxruntime")
    onnxruntime.set_default_logger_severity(_ERRORS)
    return onnxruntime


def quiet_session(
    model: Path | bytes,
    *,
    provider: str = PROVIDERS["cpu"],
    threads: int = 0,
    opening_s: float = OPENING_S,
) -> InferenceSession:
    """Return an `InferenceSession` that prints nothing and optimizes the graph fully.

    It never falls back to another provider.

    Idle threads sleep instead of spinning: the median was the same within 1 % (YOLO11n, 2 threads),
    and spinning takes the cores from whatever decodes the next images.

    Raises:
        ModelError: onnxruntime cannot load the model, or not within `opening_s` seconds.
        UnavailableError: the provider is not on this machine.
    """
    runtime = import_onnxruntime()
    options = runtime.SessionOptions()
    options.log_severity_level = _SILENT
    options.intra_op_num_threads = threads
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = str(model) if isinstance(model, Path) else model
    name = model.name if isinstance(model, Path) else "the model"
    if provider not in runtime.get_available_providers():
        raise UnavailableError(
            f"onnxruntime with {provider}",
            found=", ".join(runtime.get_available_providers()),
            hint="install onnxruntime-gpu, or choose the device cpu",
        )
    try:
        session: InferenceSession = call_engine(
            opening_s,
            lambda: runtime.InferenceSession(
                source, options, providers=[provider], enable_fallback=0
            ),
        )
    except Exception as error:
        said = one_line(error).replace(source, name) if isinstance(source, str) else one_line(error)
        raise ModelError("a model that onnxruntime loads", found=f"{name}: {said}") from error
    if session.get_providers()[0] != provider:
        raise UnavailableError(
            f"a machine where {provider} works",
            found=f"only {session.get_providers()[0]}",
            hint="install its driver and libraries, or choose the device cpu",
        )
    return session


def run_within(
    session: InferenceSession,
    feeds: Mapping[str, Array],
    limit_s: float,
    outputs: Sequence[str] | None = None,
) -> list[Array]:
    """Run a session once; a graph that does not end, such as a loop without a condition, is ended.

    Arguments:
        session: an onnxruntime.InferenceSession.
        feeds: its inputs by name.
        limit_s: how long it may take, in seconds.
        outputs: names of those to give; None is all.

    Raises:
        ModelError: it took longer than `limit_s` seconds.
    """
    watchdog = _Watchdog(min(_LOOK_S, limit_s / 4))
    try:
        return watchdog.run(session, outputs, feeds, limit_s)
    finally:
        watchdog.close()


@dataclass
class _Call:
    """A call under way, and the seconds that are left to it."""

    options: RunOptions
    left_s: float


class _Watchdog:
    """One thread that ends the calls of a session that take too long.

    It counts its own looks, so that the time in which the process was stopped is nobody's.
    """

    def __init__(self, look_s: float) -> None:
        self._calls: dict[int, _Call] = {}
        self._options = import_onnxruntime().RunOptions
        self._closed = Event()
        finalize(self, self._closed.set)
        arguments = (self._calls, self._closed, look_s)  # not `self`, which would never be let go
        Thread(target=_look_after, args=arguments, name="onnxruntime-watchdog", daemon=True).start()

    def run(
        self,
        session: InferenceSession,
        outputs: Sequence[str] | None,
        feeds: Mapping[str, Array],
        limit_s: float,
    ) -> list[Array]:
        """Run a session once.

        Raises:
            ModelError: it took longer than `limit_s` seconds.
        """
        call = _Call(self._options(), limit_s)
        call.options.log_severity_level = _SILENT
        self._calls[id(call)] = call
        try:
            return list(session.run(outputs, feeds, call.options))
        except Exception as error:
            if not call.options.terminate:
                raise
            raise still_running(limit_s) from error
        finally:
            del self._calls[id(call)]

    def close(self) -> None:
        """End the thread."""
        self._closed.set()


def _look_after(calls: dict[int, _Call], closed: Event, look_s: float) -> None:
    while not closed.wait(look_s):
        for call in list(calls.values()):
            call.left_s -= look_s
            if call.left_s < 0:
                call.options.terminate = True


@dataclass(frozen=True)
class OnnxRuntime:
    """Runs ONNX with onnxruntime.

    A GPU is used only when `device` names it, and is never replaced by the CPU.
    """

    name: ClassVar[str] = "onnxruntime"
    formats: ClassVar[frozenset[Format]] = frozenset({Format.ONNX})
    bundled: ClassVar[tuple[str, ...]] = ()

    def unavailable_reason(self) -> str | None:
        return why_unavailable(import_onnxruntime)

    def open(
        self, artifact: ModelArtifact, *, device: str = "cpu", threads: int = 0
    ) -> OnnxRuntimeSession:
        if device not in PROVIDERS:
            raise UnavailableError(f"one of the devices {', '.join(PROVIDERS)}", found=repr(device))
        check_artifact(artifact, self.formats, self.name)
        builds = device == "tensorrt"
        session = quiet_session(
            artifact.path,
            provider=PROVIDERS[device],
            threads=threads,
            opening_s=_BUILDING_S if builds else OPENING_S,
        )
        return OnnxRuntimeSession(artifact, session, limit_s=_BUILDING_S if builds else LIMIT_S)


class OnnxRuntimeSession(OpenSession):
    """An ONNX model that onnxruntime has loaded."""

    def __init__(
        self, artifact: ModelArtifact, session: InferenceSession, *, limit_s: float = LIMIT_S
    ) -> None:
        """Take a session, whose calls are ended after `limit_s` seconds for each of the images."""
        super().__init__(artifact, OnnxRuntime.name)
        self._session: InferenceSession = session
        self._limit_s = limit_s
        self._watchdog = _Watchdog(min(_LOOK_S, limit_s / 4))
        self._input = artifact.inputs[0].name
        self._outputs = [output.name for output in artifact.outputs]

    def _infer(self, batch: Image) -> tuple[Array, ...]:
        feeds, limit_s = {self._input: batch}, self._limit_s * len(batch)
        return tuple(self._watchdog.run(self._session, self._outputs, feeds, limit_s))

    def _release(self) -> None:
        self._watchdog.close()
        self._session = None
