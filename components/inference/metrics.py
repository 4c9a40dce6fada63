"""Running figures of a pipeline: how much it did, how long that took, how often it failed."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.inference.results import PredictionResult


@dataclass(frozen=True)
class MetricsSnapshot:
    """The figures at one moment; times are None before the first image.

    Arguments:
        processed: images with a prediction, since the start.
        errors: images without one, since the start.
        samples: how many of the latest processed images the figures below rest on.
        mean_ms: processing time of an image.
        p50_ms: its median.
        p95_ms: its 95th percentile.
        throughput_per_s: images per second from the start of the first of the samples to the end of
            the last, waiting in between included.
    """

    processed: int
    errors: int
    samples: int
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    throughput_per_s: float | None


class Metrics:
    """Counts images and keeps the times of the latest ones; safe to share between threads.

    Arguments:
        window: how many of the latest images the times are taken over.
    """

    def __init__(self, window: int = 1000) -> None:
        self._lock = threading.Lock()
        self._processed = 0
        self._errors = 0
        self._latest: deque[tuple[float, float, float]] = deque(maxlen=window)

    def record(
        self, *, started: float, finished: float, latencies_ms: Sequence[float], errors: int = 0
    ) -> None:
        """Count one call.

        Arguments:
            started: when the call began, in seconds of any one clock.
            finished: when it ended.
            latencies_ms: processing time of each image that got a prediction.
            errors: images that got none.
        """
        with self._lock:
            self._processed += len(latencies_ms)
            self._errors += errors
            self._latest.extend((started, finished, ms) for ms in latencies_ms)

    def count(self, results: Sequence[PredictionResult], *, started: float) -> None:
        """Count a call that ends now; `started` is in seconds of `time.perf_counter`."""
        times = [result.ms for result in results if result.ok]
        finished = time.perf_counter()
        self.record(
            started=started, finished=finished, latencies_ms=times, errors=len(results) - len(times)
        )

    def snapshot(self) -> MetricsSnapshot:
        """The figures now."""
        with self._lock:
            processed, errors, latest = self._processed, self._errors, list(self._latest)
        if not latest:
            return MetricsSnapshot(processed, errors, 0, None, None, None, None)
        started, finished, ms = np.array(latest).T
        p50, p95 = np.percentile(ms, [50, 95])
        span = float(finished.max() - started.min())
        rate = len(latest) / span if span else None
        return MetricsSnapshot(
            processed, errors, len(latest), float(ms.mean()), float(p50), float(p95), rate
        )
