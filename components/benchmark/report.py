"""From what the trials answered to the report: intervals, checks against the budget, the choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from components.benchmark.environment import describe_machine
from components.benchmark.selection import choose
from components.benchmark.statistics import noise_floor, p95_interval, speedup, summarise_latency
from components.benchmark.trial import Trial
from components.benchmark.verdicts import Evidence, check_budget
from components.contracts import BenchmarkReport, Latency, Measurement, Target
from components.vision import task_for

_NO_LATENCY = Latency(0, None, None, None, None)


def build_report(
    trials: Sequence[Trial], twin: Trial, target: Target, images: int, reference_accuracy: Mapping[str, float] | None
) -> BenchmarkReport:
    """Judge finished trials.

    Arguments:
        trials: the baseline first.
        twin: the baseline's second process.
        target: whose budget applies.
        images: how many the accuracy rests on.
        reference_accuracy: what a drop is counted from; None is the baseline's accuracy.
    """
    baseline = trials[0]
    noise = None if baseline.error or twin.error else noise_floor(baseline.calls_ms, twin.calls_ms)
    metric = task_for(baseline.variant.artifact.spec).metric
    reference = (baseline.accuracy if reference_accuracy is None else reference_accuracy).get(metric)
    measurements = []
    for trial in trials:
        evidence = Evidence(
            p95_ms=p95_interval(trial.calls_ms),
            noise_floor=noise,
            size_mb=trial.variant.artifact.size_mb,
            peak_rss_mb=trial.peak_rss_mb,
            accuracy=trial.accuracy.get(metric),
            reference_accuracy=reference,
            images=images,
        )
        measurements.append(_measurement(trial, baseline, evidence, target))
    chosen, reasons = choose(measurements, baseline=baseline.variant.name, noise_floor=noise, target=target)
    return BenchmarkReport(
        target=target,
        measurements=tuple(measurements),
        baseline=baseline.variant.name,
        chosen=chosen,
        reasons=reasons,
        noise_floor=noise,
        metric=metric,
        environment=describe_machine(dict.fromkeys(trial.variant.backend for trial in trials)),
    )


def _measurement(trial: Trial, baseline: Trial, evidence: Evidence, target: Target) -> Measurement:
    name, artifact, backend = trial.variant.name, trial.variant.artifact, trial.variant.backend
    if trial.error:
        return Measurement(
            name, artifact, backend, _NO_LATENCY, None, trial.batch, evidence.size_mb, None, {}, 0, error=trial.error
        )
    gain = None if trial is baseline or baseline.error else speedup(baseline.calls_ms, trial.calls_ms)
    return Measurement(
        variant=name,
        artifact=artifact,
        backend=backend,
        latency=summarise_latency(trial.calls_ms),
        throughput_per_s=1000 * trial.batch / float(np.median(trial.batches_ms)),
        batch=trial.batch,
        size_mb=evidence.size_mb,
        peak_rss_mb=trial.peak_rss_mb,
        accuracy=trial.accuracy,
        images=evidence.images,
        speedup=(gain.value, gain.low, gain.high) if gain else None,
        checks=check_budget(evidence, target.budget, measured_on_host=target.measured_on_host),
    )
