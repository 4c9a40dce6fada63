"""Messages between the parent and a worker: typed, in frames of a length and JSON."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from components.contracts import (
    ModelArtifact,
    Prediction,
    dump,
    load,
)
from components.vision import task_kind

HEADER = struct.Struct(">Q")  # length of the JSON that follows, in bytes


@dataclass(frozen=True)
class Open:
    """Load a model and a few images, and warm up; answered by `Opened`.

    Arguments:
        artifact: the model.
        task: the entry of its task in the parent's `TASKS`; the worker's own table may lack it.
        head: the entry of its head in the parent's `HEADS`.
        backend: what runs it.
        device: of the backend.
        threads: of the backend; 0 leaves them to it.
        images: to be measured on.
        batch: images in one call.
        confidence: that detections must exceed.
        iou: overlap above which NMS keeps one box.
    """

    artifact: ModelArtifact
    task: str
    head: str
    backend: str
    device: str
    threads: int
    images: tuple[Path, ...]
    batch: int
    confidence: float = 0.25
    iou: float = 0.7


@dataclass(frozen=True)
class Opened:
    """The worker is ready; `images` is how many it keeps decoded in memory."""

    images: int


@dataclass(frozen=True)
class Measure:
    """Take a turn: time some calls at batch 1 and some at the full batch; answered by `Timings`."""

    calls: int
    batches: int


@dataclass(frozen=True)
class Timings:
    """The time of each call at batch 1 and at the full batch, and the process's peak memory so far."""

    calls_ms: tuple[float, ...]
    batches_ms: tuple[float, ...]
    peak_rss_mb: float | None


@dataclass(frozen=True)
class Predict:
    """Predict these images with the thresholds of evaluation; answered by `Predicted`."""

    images: tuple[Path, ...]


@dataclass(frozen=True)
class Found:
    """A prediction as JSON carries it: rows of numbers."""

    task: str
    rows: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, prediction: Prediction) -> Found:
        """The rows of a prediction; masks stay behind, no metric reads them."""
        return cls(prediction.task, prediction.to_rows())

    def prediction(self) -> Prediction:
        """The prediction that it was made of, to the last bit."""
        found: Prediction = task_kind(self.task).prediction.from_rows(self.rows)
        return found


@dataclass(frozen=True)
class Predicted:
    """One prediction an image, in the order of the request."""

    found: tuple[Found, ...]


@dataclass(frozen=True)
class Failed:
    """The request could not be done, and why; the worker stays."""

    error: str


Message = Open | Opened | Measure | Timings | Predict | Predicted | Failed
_KINDS: dict[str, type[Message]] = {
    kind.__name__: kind for kind in (Open, Opened, Measure, Timings, Predict, Predicted, Failed)
}


def encode(message: Message) -> bytes:
    """The frame of a message."""
    body = json.dumps([type(message).__name__, dump(message)]).encode()
    return HEADER.pack(len(body)) + body


def decode(read: Callable[[int], bytes]) -> Message | None:
    """The next message, or None at a clean end of the stream.

    Arguments:
        read: gives exactly the number of bytes asked for, fewer only at the end.

    Raises:
        EOFError: the stream ends within a frame.
    """
    header = read(HEADER.size)
    if not header:
        return None
    (length,) = HEADER.unpack(header) if len(header) == HEADER.size else (0,)
    body = read(length)
    if not length or len(body) < length:
        raise EOFError("the stream ended within a message")
    name, value = json.loads(body)
    return load(_KINDS[name], value)


def send(stream: BinaryIO, message: Message) -> None:
    """Write a message and flush it."""
    stream.write(encode(message))
    stream.flush()
