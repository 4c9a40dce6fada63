"""One variant while it is measured: its worker process, and interleaved rounds over several."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from components.benchmark.messages import (
    Measure,
    Message,
    Open,
    Opened,
    Predict,
    Predicted,
    Timings,
)
from components.benchmark.worker_client import Worker, WorkerFailedError
from components.contracts import LabelledImage, Prediction, Target, Variant
from components.vision import TASKS
from components.vision.heads import HEADS

Answer = TypeVar("Answer")


@dataclass
class VariantRun:
    """Run of one variant; once it has failed it is not asked again, and the others go on.

    `calls_ms` has a list for each round; `predictions` are made with the thresholds of evaluation.
    """

    variant: Variant
    batch: int
    worker: Worker
    calls_ms: list[list[float]] = field(default_factory=list)
    batches_ms: list[float] = field(default_factory=list)
    peak_rss_mb: float | None = None
    predictions: list[Prediction] = field(default_factory=list)
    error: str = ""

    def tell(self, message: Message) -> None:
        """Send a request, unless it has failed."""
        if not self.error:
            try:
                self.worker.send(message)
            except WorkerFailedError as error:
                self._fail(error)

    def hear(self, kind: type[Answer], timeout_s: float) -> Answer | None:
        """Receive the answer to the last request; None if it has failed."""
        if not self.error:
            try:
                return self.worker.receive(kind, timeout_s)
            except WorkerFailedError as error:
                self._fail(error)
        return None

    def ask(self, message: Message, kind: type[Answer], timeout_s: float) -> Answer | None:
        """Send a request and wait for its answer; None if it has failed."""
        self.tell(message)
        return self.hear(kind, timeout_s)

    def begin_round(self) -> None:
        """Begin a new round, to which the following calls of `measure` belong."""
        self.calls_ms.append([])

    def measure(self, calls: int, batches: int, timeout_s: float) -> None:
        """Take one turn of the current round."""
        timings = self.ask(Measure(calls, batches), Timings, timeout_s)
        if timings:
            self.calls_ms[-1] += timings.calls_ms
            self.batches_ms += timings.batches_ms
            self.peak_rss_mb = timings.peak_rss_mb

    def _fail(self, error: WorkerFailedError) -> None:
        self.error = str(error)
        self.worker.close()


Progress = Callable[[str, int, int], None]

TIMED_IMAGES = 16  # enough to rotate through scenes, few enough to keep decoded in memory
CHUNK = 64  # images of one request to predict
# calls before the next process has its turn: so short that a busy second of the machine meets all
# of them
TURN = 5


def open_variants(
    trials: Sequence[VariantRun],
    target: Target,
    images: Sequence[LabelledImage],
    timeout_s: float,
    advance: Progress,
) -> None:
    """Load all at the same time: nothing is timed yet."""
    paths = _spread([image.path for image in images], TIMED_IMAGES)
    for trial in trials:
        spec = trial.variant.artifact.spec
        entries = TASKS[spec.task], HEADS[spec.head]
        trial.tell(Open(trial.variant, *entries, target.device, target.threads, paths, trial.batch))
    for done, trial in enumerate(trials, start=1):
        trial.hear(Opened, timeout_s)
        advance("opening variants", done, len(trials))


def _spread(paths: Sequence[Path], count: int) -> tuple[Path, ...]:
    """At most `count` of the paths, evenly spread over their order."""
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int))
    return tuple(paths[k] for k in chosen)


def time_rounds(
    trials: Sequence[VariantRun],
    rounds: int,
    calls: int,
    seed: int,
    timeout_s: float,
    advance: Progress,
) -> None:
    """Give every worker several short turns a round, alone, in an order drawn anew each time."""
    order = list(trials)
    shuffle = random.Random(seed).shuffle  # noqa: S311
    for done in range(1, rounds + 1):
        for trial in trials:
            trial.begin_round()
        for start in range(0, calls, TURN):
            shuffle(order)
            for trial in order:
                trial.measure(min(TURN, calls - start), 1 if start == 0 else 0, timeout_s)
        advance("timing rounds", done, rounds)


def predict(
    trials: Sequence[VariantRun], images: Sequence[LabelledImage], timeout_s: float
) -> Iterator[int]:
    """Have all trials predict the images at once, and append the answers to their predictions.

    Arguments:
        trials: opened.
        images: in the order of the predictions.
        timeout_s: a worker that has not answered a request of 64 images by then is ended.

    Yields:
        After each request, its number of images.
    """
    for start in range(0, len(images), CHUNK):
        request = Predict(tuple(image.path for image in images[start : start + CHUNK]))
        for trial in trials:
            trial.tell(request)
        for trial in trials:
            if answer := trial.hear(Predicted, timeout_s):
                trial.predictions += answer.predictions
        yield len(request.images)
