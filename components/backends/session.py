"""Base of all backends' sessions: checks before a call, its limits, and errors after it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

from components.contracts import Format, ModelArtifact
from components.contracts.arrays import Array, Image
from components.errors import FovealError, ModelError, UnavailableError
from components.files import sha256_file

Self = TypeVar("Self", bound="OpenSession")

LIMIT_S = 120.0  # of a call, for each of its images
OPENING_S = 600.0  # of loading and compiling a model, which may compute all of its constants


def free_batch(artifact: ModelArtifact) -> bool:
    """Tell whether the model takes any number of images in a call.

    If not, a session calls it image by image.
    """
    return not artifact.inputs or isinstance(artifact.inputs[0].shape[0], str)


def why_unavailable(load: Callable[[], object]) -> str | None:
    """Say why a backend's library cannot be imported; None where it can."""
    try:
        load()
    except UnavailableError as error:
        return str(error)
    return None


class OpenSession(ABC):
    """Base of loaded models; a backend's session says how to infer and how to release."""

    def __init__(self, artifact: ModelArtifact, backend: str) -> None:
        self._artifact = artifact
        self._backend = backend
        self._closed = False

    @abstractmethod
    def _infer(self, batch: Image) -> tuple[Array, ...]: ...

    @abstractmethod
    def _release(self) -> None: ...

    def run(self, batch: Image) -> tuple[Array, ...]:
        if self._closed:
            raise ModelError(
                "an open session", found="one that was closed", hint="open the artifact again"
            )
        check_batch(batch, self._artifact.spec.input_size)
        with translated(
            ModelError, f"a model that runs on {self._backend}", self._artifact.path.name
        ):
            if len(batch) == 1 or free_batch(self._artifact):
                return self._infer(batch)
            runs = [self._infer(image[None]) for image in batch]
            return tuple(np.concatenate(outputs) for outputs in zip(*runs, strict=True))

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._release()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def check_batch(batch: Image, input_size: tuple[int, int]) -> None:
    """Refuse anything but a (n ≥ 1, height, width, 3) uint8 array of the model's input size.

    Raises:
        ModelError: it is of another shape or dtype.
    """
    wanted = (*input_size, 3)
    if not isinstance(batch, np.ndarray) or batch.dtype != np.uint8:
        found = f"dtype {batch.dtype}" if isinstance(batch, np.ndarray) else type(batch).__name__
        raise ModelError(
            "a uint8 array",
            found=found,
            hint="pass pixels as they are: the model scales them itself",
        )
    if batch.ndim != 4 or batch.shape[1:] != wanted or not len(batch):
        raise ModelError(
            f"a batch of shape (n, {', '.join(map(str, wanted))})",
            found=str(batch.shape),
            hint="fit the images first",
        )


def check_artifact(artifact: ModelArtifact, formats: frozenset[Format], backend: str) -> None:
    """Refuse a file that the backend cannot read or that the artifact no longer describes.

    Raises:
        ModelError: wrong format, missing file, or another sha256.
    """
    if artifact.format not in formats:
        raise ModelError(
            f"a model file in a format that {backend} runs ({', '.join(sorted(formats))})",
            found=artifact.format.value,
        )
    if not artifact.path.is_file():
        raise ModelError(
            "a model file", found=f"nothing at {artifact.path}", hint="make or fetch it again"
        )
    found = sha256_file(artifact.path)
    if found != artifact.sha256:
        raise ModelError(
            f"{artifact.path.name} with sha256 {artifact.sha256[:12]}…",
            found=f"{found[:12]}…: the file has changed",
            hint="describe it again if the change is meant, else restore it",
        )


def still_running(limit_s: float) -> ModelError:
    """Make the error of a call that took longer than `limit_s` seconds."""
    return ModelError(
        f"a model that answers within {limit_s:g} s",
        found="one that was still running",
        hint="export it again",
    )


def one_line(error: BaseException) -> str:
    """Shorten a library's error to one line.

    Our own text stays as it is; of others it is the first line, with the type's name.
    """
    if isinstance(error, FovealError):
        return str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    gist = lines[0] if lines else "no message"
    return f"{type(error).__name__}: {gist[:200]}"


@contextmanager
def translated(kind: type[FovealError], expected: str, name: str, hint: str = "") -> Iterator[None]:
    """Turn what a library raises inside the block into an error of ours; our own pass.

    Arguments:
        kind: of the error.
        expected: what the library was to do, or what the file should have been.
        name: of the file.
        hint: what to do.
    """
    try:
        yield
    except FovealError:
        raise
    except Exception as error:
        raise kind(expected, found=f"{name}: {one_line(error)}", hint=hint) from error
