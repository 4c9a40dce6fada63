"""What the parent and a worker say to each other: typed messages in frames of length and JSON."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from components.contracts import (
    Classification,
    Detections,
    ModelArtifact,
    Prediction,
    TaskType,
    dump,
    load,
)

HEADER = struct.Struct(">Q")  # length of the JSON that follows, in bytes


@dataclass(frozen=True)
class Open:
    """Load a model and a few images, and warm up; answered by `Opened`."""

    artifact: ModelArtifact
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
    """A prediction as JSON carries it: rows of x0, y0, x1, y1, score, class id; or one row of probabilities."""

    task: TaskType
    rows: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, prediction: Prediction) -> Found:
        """The rows of a prediction; masks stay behind, no metric reads them."""
        if isinstance(prediction, Classification):
            return cls(TaskType.CLASSIFY, (tuple(prediction.probs.tolist()),))
        table = np.column_stack([prediction.xyxy, prediction.scores, prediction.class_ids])
        return cls(TaskType.DETECT, tuple(map(tuple, table.tolist())))

    def prediction(self) -> Prediction:
        """The prediction that it was made of, to the last bit."""
        if self.task is TaskType.CLASSIFY:
            return Classification(np.array(self.rows[0], np.float32))
        table = np.array(self.rows, np.float64).reshape(-1, 6)
        scored = table[:, :5].astype(np.float32)
        return Detections(scored[:, :4], scored[:, 4], table[:, 5].astype(np.int64))


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
