"""One variant while it is measured: its worker process, what it has answered so far, or why it failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from components.benchmark.crew import Worker, WorkerFailedError
from components.benchmark.messages import Measure, Message, Timings
from components.benchmark.plan import Variant
from components.contracts import Prediction

Answer = TypeVar("Answer")


@dataclass
class Trial:
    """A failed trial stays failed: it is not asked again, and the others go on.

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
        """The answer to the last request; None if it has failed."""
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
        """What `measure` finds from now on belongs to a new round."""
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
