"""Running figures of a pipeline: how much it did, how long that took, how often it failed."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from components.inference.results import PredictionResult

QUANTILES = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class MetricsSnapshot:
    """The figures at one moment; times are None before the first image.

    Arguments:
        processed: images with a prediction, since the start.
        errors: images without one, since the start.
        causes: how many of them failed at which step, by the name of a `Cause`.
        total_ms: processing time of all processed images.
        samples: how many of the latest processed images the figures below rest on.
        mean_ms: processing time of an image.
        p50_ms: its median.
        p90_ms: its 90th percentile.
        p95_ms: its 95th percentile.
        p99_ms: its 99th percentile; with fewer than 662 samples rather a guess.
        throughput_per_s: images per second from the start of the first of the samples to the end of
            the last, waiting in between included.
    """

    processed: int
    errors: int
    causes: Mapping[str, int]
    total_ms: float
    samples: int
    mean_ms: float | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    throughput_per_s: float | None = None

    def to_prometheus(self, **labels: str) -> str:
        """Return the figures in Prometheus' text format, with labels such as ``model="parts/3"``.

        Times are in seconds; a quantile of too few images is as uncertain as `p99_ms`.
        """
        from components.inference.prometheus import text_of

        return text_of(self, labels)


class Metrics:
    """Counts images and keeps the times of the latest ones; safe to share between threads.

    Arguments:
        window: how many of the latest images the times are taken over.
    """

    def __init__(self, window: int = 1000) -> None:
        self._lock = threading.Lock()
        self._processed = 0
        self._total_ms = 0.0
        self._causes: Counter[str] = Counter()
        self._latest: deque[tuple[float, float, float]] = deque(maxlen=window)

    def record(
        self,
        *,
        started: float,
        finished: float,
        latencies_ms: Sequence[float],
        errors: Mapping[str, int] | None = None,
    ) -> None:
        """Count one call.

        Arguments:
            started: when the call began, in seconds of any one clock.
            finished: when it ended.
            latencies_ms: processing time of each image that got a prediction.
            errors: images that got none, by the name of a `Cause`.
        """
        with self._lock:
            self._processed += len(latencies_ms)
            self._total_ms += sum(latencies_ms)
            self._causes.update(errors or {})
            self._latest.extend((started, finished, ms) for ms in latencies_ms)

    def count(self, results: Sequence[PredictionResult], *, started: float) -> None:
        """Count a call that ends now; `started` is in seconds of `time.perf_counter`."""
        times = [result.ms for result in results if result.ok]
        errors = Counter(str(result.cause) for result in results if not result.ok)
        self.record(
            started=started, finished=time.perf_counter(), latencies_ms=times, errors=errors
        )

    def snapshot(self) -> MetricsSnapshot:
        """The figures now."""
        with self._lock:
            causes, latest = dict(self._causes), list(self._latest)
            counted = (self._processed, sum(causes.values()), causes, self._total_ms, len(latest))
        if not latest:
            return MetricsSnapshot(*counted)
        started, finished, ms = np.array(latest).T
        p50, p90, p95, p99 = np.quantile(ms, QUANTILES).tolist()
        span = float(finished.max() - started.min())
        rate = len(latest) / span if span else None
        return MetricsSnapshot(*counted, float(ms.mean()), p50, p90, p95, p99, rate)
