"""Protocols of backends and their sessions, and the table of available backends."""

from __future__ import annotations

from typing import ClassVar, Protocol

from components.contracts import Format, ModelArtifact
from components.contracts.arrays import Array, Image
from components.errors import ConfigError
from components.plugins import plugin


class Session(Protocol):
    """A model that is loaded and ready; close it, or use it as a context manager.

    One thread at a time may call `run`; open one session per thread to run in parallel.
    """

    def run(self, batch: Image) -> tuple[Array, ...]:
        """Run the model.

        Arguments:
            batch: (n, height, width, 3) uint8 BGR, already fitted to the model's input size.

        Returns:
            One array per output, in the order of the artifact's outputs, the batch axis first.

        Raises:
            ModelError: the batch has another shape or dtype, the session is closed, or the model
                fails on it.
        """

    def close(self) -> None:
        """Give the memory back; closing twice is fine."""

    def __enter__(self) -> Session: ...

    def __exit__(self, *error: object) -> None: ...


class Backend(Protocol):
    """Something that runs model files of certain formats."""

    name: ClassVar[str]
    formats: ClassVar[frozenset[Format]]
    # distributions that a bundle needs to run on it, beside onnxruntime
    bundled: ClassVar[tuple[str, ...]]

    def unavailable_reason(self) -> str | None:
        """Return why it cannot run on this machine, or None when it can."""

    def open(self, artifact: ModelArtifact, *, device: str = "cpu", threads: int = 0) -> Session:
        """Load a model whose file is still the one that the artifact describes.

        Arguments:
            artifact: what to load; its sha256 is checked against the file.
            device: cpu, gpu, … as the backend calls it.
            threads: intra-op threads; 0 leaves the number to the backend (all cores).

        Raises:
            ModelError: the file is missing, has changed, is of another format or does not load.
            UnavailableError: the backend or the device is not on this machine.
        """


BACKENDS = {
    "onnxruntime": "components.backends.onnxruntime:OnnxRuntime",
    "openvino": "components.backends.openvino:OpenVino",
    "tensorrt": "components.backends.tensorrt:TensorRt",
    "torch": "components.backends.torch:TorchScript",
}


def get_backend(name: str) -> Backend:
    """The backend of that name; its library is imported when it is first used.

    Raises:
        ConfigError: there is no such backend.
    """
    found: Backend = plugin(BACKENDS, name, "a backend", ConfigError)()
    return found


def available_backends() -> tuple[str, ...]:
    """Names of the backends that can run on this machine."""
    return tuple(name for name in BACKENDS if get_backend(name).unavailable_reason() is None)
