"""Messages between the parent and a worker; `multiprocessing.connection` carries them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.contracts import Prediction, Variant


@dataclass(frozen=True)
class Open:
    """Load a model and a few images, and warm up; answered by `Opened`.

    Arguments:
        variant: the model, and what runs it.
        task: the entry of its task in the parent's `TASKS`; the worker's own table may lack it.
        head: the entry of its head in the parent's `HEADS`.
        device: of the backend.
        threads: of the backend; 0 leaves them to it.
        images: to be measured on.
        batch: images in one call.
    """

    variant: Variant
    task: str
    head: str
    device: str
    threads: int
    images: tuple[Path, ...]
    batch: int


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
    """Time of each call at batch 1 and at the full batch, and the process's peak memory so far."""

    calls_ms: tuple[float, ...]
    batches_ms: tuple[float, ...]
    peak_rss_mb: float | None


@dataclass(frozen=True)
class Predict:
    """Predict these images with the thresholds of evaluation; answered by `Predicted`."""

    images: tuple[Path, ...]


@dataclass(frozen=True)
class Predicted:
    """One prediction an image, without masks, in the order of the request."""

    predictions: tuple[Prediction, ...]


@dataclass(frozen=True)
class Failed:
    """The request could not be done, and why; the worker stays."""

    error: str


Message = Open | Opened | Measure | Timings | Predict | Predicted | Failed
