"""Report of a benchmark from its trials' results: intervals, checks against budget, the choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from components.benchmark.environment import describe_machine
from components.benchmark.selection import choose
from components.benchmark.variant_run import VariantRun
from components.benchmark.verdicts import Evidence, check_budget
from components.contracts import (
    BenchmarkReport,
    LabelledImage,
    Latency,
    Measurement,
    Prediction,
    Target,
)
from components.statistics.differences import Difference
from components.statistics.timings import noise_floor, p95_interval, speedup, summarise_latency
from components.vision import task_for
from components.vision.paired import pair_up

_NO_LATENCY = Latency(0, None, None, None, None)


def build_report(
    trials: Sequence[VariantRun],
    twin: VariantRun,
    target: Target,
    images: Sequence[LabelledImage],
    *,
    accept_noise: bool = False,
) -> BenchmarkReport:
    """Evaluate finished trials.

    Arguments:
        trials: the baseline first.
        twin: the baseline's second process.
        target: whose budget applies.
        images: that all of them predicted, with their labels.
        accept_noise: compare speeds on a busy machine, too.
    """
    baseline = trials[0]
    noise = noise_of(baseline, twin)
    metric = task_for(baseline.variant.artifact.spec).metric
    truths = [image.truth for image in images]
    accuracy = [_accuracy(trial, truths) for trial in trials]
    measurements = []
    for trial, found in zip(trials, accuracy, strict=True):
        evidence = Evidence(
            p95_ms=p95_interval(trial.calls_ms),
            noise_floor=noise,
            size_mb=trial.variant.artifact.size_mb,
            peak_rss_mb=trial.peak_rss_mb,
            accuracy=found.get(metric),
            reference_accuracy=accuracy[0].get(metric),
            difference=_difference(baseline, trial, truths)
            if target.budget.max_accuracy_drop is not None
            else None,
            images=len(images),
            is_reference=trial is baseline,
        )
        measurements.append(
            replace(_measurement(trial, baseline, evidence, target), accuracy=found)
        )
    report = BenchmarkReport(
        target=target,
        measurements=tuple(measurements),
        baseline=baseline.variant.name,
        chosen=None,
        reasons=(),
        noise_floor=noise,
        metric=metric,
        environment=describe_machine(dict.fromkeys(trial.variant.backend for trial in trials)),
    )
    return choose_again(report, accept_noise=accept_noise)


def noise_of(baseline: VariantRun, twin: VariantRun) -> float | None:
    """The run's noise floor so far; None where one of the pair failed, or of too few rounds."""
    return None if baseline.error or twin.error else noise_floor(baseline.calls_ms, twin.calls_ms)


def choose_again(report: BenchmarkReport, *, accept_noise: bool) -> BenchmarkReport:
    """Choose the variant that ships from what was measured.

    On a busy machine `accept_noise` says whether speeds are compared.
    """
    chosen, reasons = choose(
        report.measurements,
        baseline=report.baseline,
        noise_floor=report.noise_floor,
        target=report.target,
        accept_noise=accept_noise,
    )
    return replace(report, chosen=chosen, reasons=reasons)


def _accuracy(trial: VariantRun, truths: Sequence[Prediction]) -> dict[str, float]:
    """Metric → value; one that is undefined on these images is left out."""
    if trial.error:
        return {}
    found = task_for(trial.variant.artifact.spec).evaluate(trial.predictions, truths)
    return {name: float(value) for name, value in found.items() if np.isfinite(value)}


def _difference(
    baseline: VariantRun, trial: VariantRun, truths: Sequence[Prediction]
) -> Difference | None:
    """Compare accuracy of trial and baseline on the same images; None where one is missing."""
    if trial is baseline or trial.error or baseline.error:
        return None
    names = trial.variant.artifact.spec.class_names
    pair = pair_up(baseline.predictions, trial.predictions, truths, names)
    return pair.overall(np.ones(len(truths), np.bool_))


def _measurement(
    trial: VariantRun, baseline: VariantRun, evidence: Evidence, target: Target
) -> Measurement:
    name, artifact, backend = trial.variant.name, trial.variant.artifact, trial.variant.backend
    if trial.error:
        return Measurement(
            name,
            artifact,
            backend,
            _NO_LATENCY,
            None,
            trial.batch,
            evidence.size_mb,
            None,
            {},
            0,
            error=trial.error,
        )
    gain = (
        None if trial is baseline or baseline.error else speedup(baseline.calls_ms, trial.calls_ms)
    )
    return Measurement(
        variant=name,
        artifact=artifact,
        backend=backend,
        latency=summarise_latency(trial.calls_ms),
        throughput_per_s=1000 * trial.batch / float(np.median(trial.batches_ms)),
        batch=trial.batch,
        size_mb=evidence.size_mb,
        peak_rss_mb=trial.peak_rss_mb,
        accuracy={},
        images=evidence.images,
        speedup=(gain.value, gain.low, gain.high) if gain else None,
        checks=check_budget(evidence, target.budget, measured_on_host=target.measured_on_host),
    )
