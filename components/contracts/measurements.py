"""Measurements of a benchmark, checks against limits, and its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from components.contracts.models import ModelArtifact
from components.contracts.targets import Target


class Verdict(StrEnum):
    """Verdict of a measurement on a limit. Missing is not passing."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    UNDECIDED = "undecided"
    NOT_EVALUATED = "not_evaluated"


@dataclass(frozen=True)
class Latency:
    """Time of one call, from the image in memory to the prediction.

    A percentile is None below its sample floor (p50: 10, p95: 130 samples; MLPerf's rule at 99 %
    confidence). The interval of the median is at 95 % confidence.
    """

    samples: int
    p50_ms: float | None
    p50_low_ms: float | None
    p50_high_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True)
class Check:
    """One limit, measured value and verdict, e.g. ``Check("p95_ms", 7.1, 50.0, Verdict.PASS)``."""

    name: str
    value: float | None
    limit: float | None
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True)
class Measurement:
    """One artifact on one backend, measured in this run.

    Arguments:
        variant: name for people and for MLflow, e.g. ``"int8 · openvino"``.
        artifact: exactly the file that was measured.
        backend: what ran it.
        latency: at batch 1.
        throughput_per_s: images per second at `batch`.
        batch: images per call for the throughput.
        size_mb: of the file.
        peak_rss_mb: of the process that measured it, or None.
        accuracy: metric → value on the validation images, e.g. ``{"map50_95": 0.83, "map50":
            0.97}``.
        images: how many images the accuracy rests on.
        speedup: baseline p50 / this p50, median over rounds, with its 95 % interval; None for the
            baseline, and for too few rounds.
        checks: this variant against the target's budget.
        error: why the variant could not be measured; then the numbers are empty.
    """

    variant: str
    artifact: ModelArtifact
    backend: str
    latency: Latency
    throughput_per_s: float | None
    batch: int
    size_mb: float
    peak_rss_mb: float | None
    accuracy: Mapping[str, float]
    images: int
    speedup: tuple[float, float, float] | None = None
    checks: tuple[Check, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class BenchmarkReport:
    """All variants measured in one interleaved run, and which one was chosen.

    Arguments:
        target: whose budget was applied.
        measurements: the baseline first.
        baseline: its variant name.
        chosen: variant name of the one that ships, or None when no variant meets every limit.
        reasons: why it was chosen, or what every variant lacks, one line each.
        noise_floor: largest |ratio − 1| of the baseline against itself (A/A) in this run, or None.
        metric: the accuracy metric that decides, e.g. ``"map50_95"``.
        environment: machine and versions.
    """

    target: Target
    measurements: tuple[Measurement, ...]
    baseline: str
    chosen: str | None
    reasons: tuple[str, ...]
    noise_floor: float | None
    metric: str
    environment: Mapping[str, str]

    def of(self, variant: str) -> Measurement:
        """The measurement of a variant by its name."""
        return next(m for m in self.measurements if m.variant == variant)
