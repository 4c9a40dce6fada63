"""Rules that decide when a model's accuracy, latency or error rate is bad enough for an alert.

A point rule such as "accuracy dropped by .05" fires in 12 % of windows of 50 images although
nothing has changed. So an alert needs the whole interval of what was measured beyond its limit, and
enough images; with too few the verdict is `not_evaluated`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from components.contracts import Check, Verdict
from components.contracts.arrays import Floats
from components.errors import IncompatibleError
from components.monitoring.performance.accuracy import AccuracyReport
from components.monitoring.store.stored import LATENCY
from components.printing import counted
from components.settings import ComponentSettings
from components.statistics.intervals import difference, quantile_bounds, wilson

if TYPE_CHECKING:
    import pyarrow as pa

ACCURACY, ERRORS = "accuracy_drop", "error_rate"


class AlertPolicy(ComponentSettings):
    """When somebody is told; each holds for the bound of an interval and not for a point."""

    accuracy_drop: float = Field(0.05, gt=0, lt=1, description="Of the deciding metric.")
    latency_p95_increase: float = Field(0.30, ge=0.01, description="As a share.")
    error_rate: float = Field(0.02, gt=0, lt=1, description="Share of failed images.")
    minimum_images: int = Field(50, ge=2, description="That a rate needs.")

    # of the engine that a percentile of latency needs in the window
    minimum_calls: ClassVar[int] = 20
    confidence: ClassVar[float] = 0.99  # of the intervals, two-sided


@dataclass(frozen=True, eq=False)
class Health:
    """Measurements that the rules evaluate, of a window or of the reference.

    Arguments:
        images: all that inference was asked for.
        failed: those without a prediction.
        inference_ms: (n,) of each predicted image, in the order in which they were run.
        accuracy: None when neither labels nor an estimate are there.
    """

    images: int
    failed: int
    inference_ms: Floats
    accuracy: AccuracyReport | None = None


def read_health(table: pa.Table, accuracy: AccuracyReport | None = None) -> Health:
    """The health that a table of images shows.

    Arguments:
        table: with `status` and `inference_ms`, in the order in which it was written.
        accuracy: of the same window.
    """
    failed = sum(status != "ok" for status in table["status"].to_pylist())
    times = np.array(table["inference_ms"].to_numpy(zero_copy_only=False), np.float64)
    return Health(table.num_rows, failed, times[~np.isnan(times)], accuracy)


def check_alerts(
    reference: Health, window: Health, policy: AlertPolicy | None = None
) -> tuple[Check, ...]:
    """Judge a window by the rules `accuracy_drop`, `latency_p95_increase` and `error_rate`.

    Returns:
        One check for each rule. `FAIL`: the interval is beyond the limit, so alert. `UNDECIDED`:
        the value is beyond it and the interval is not, or it is only estimated. `NOT_EVALUATED`:
        too little to tell. The reason is a line for people.

    Raises:
        IncompatibleError: the accuracies are of different metrics.
    """
    policy = policy or AlertPolicy()
    return (
        _check_accuracy(reference.accuracy, window.accuracy, policy),
        _check_latency(reference.inference_ms, window.inference_ms, policy),
        _check_errors(window, policy),
    )


def _check_accuracy(
    reference: AccuracyReport | None, window: AccuracyReport | None, policy: AlertPolicy
) -> Check:
    name, limit = ACCURACY, policy.accuracy_drop
    before, after = _usable(reference, policy), _usable(window, policy)
    if isinstance(before, str):
        return _not_evaluated(name, limit, f"accuracy of the reference: {before}")
    if isinstance(after, str):
        return _not_evaluated(name, limit, f"accuracy of the window: {after}")
    if before.metric != after.metric:
        raise IncompatibleError(
            f"a window measured in {before.metric}, as the reference is",
            found=after.metric,
            hint="measure it again",
        )
    drop = difference(*(report.score.interval(policy.confidence) for report in (before, after)))
    verdict = _verdict(drop.value, drop.low, limit)
    reason = (
        f"{after.metric} {before.score.value:.3f} → {after.score.value:.3f}: a drop of "
        f"{drop.value:.3f}, "
        f"at least {drop.low:.3f} at {policy.confidence:.0%} confidence (limit {limit:g})"
    )
    if after.span:
        reason += f"; on images of {after.span[0]:%Y-%m-%d} to {after.span[1]:%Y-%m-%d}"
    if after.ambiguous:
        one = len(after.ambiguous) == 1
        fit = "fits more than one image and is" if one else "fit more than one image and are"
        reason += f"; {counted(len(after.ambiguous), 'label')} {fit} left out"
    if before.estimated or after.estimated:
        reason = f"estimated, not measured: {reason}; label images to know"
        verdict = Verdict.UNDECIDED if verdict is Verdict.FAIL else verdict
    return Check(name, drop.value, limit, verdict, reason)


def _usable(report: AccuracyReport | None, policy: AlertPolicy) -> AccuracyReport | str:
    """The report, or why nothing can be said from it."""
    if report is None:
        return "no labels"
    ambiguous = len(report.ambiguous)
    fits = "fits" if ambiguous == 1 else "fit"
    left_out = f"; {counted(ambiguous, 'label')} {fits} more than one image" if ambiguous else ""
    if report.score.value is None:
        return report.score.reason + left_out
    if report.score.samples < policy.minimum_images:
        return (
            f"{counted(report.score.samples, 'image')}, {policy.minimum_images} are "
            f"needed{left_out}"
        )
    return report


def _check_latency(reference: Floats, window: Floats, policy: AlertPolicy) -> Check:
    """Check the ratio of two percentiles.

    Each of them misses its bound in half of the cases in which the ratio may (Bonferroni).
    """
    name, limit = LATENCY, policy.latency_p95_increase
    before, after = _engine_calls(reference), _engine_calls(window)
    confidence = (1 + policy.confidence) / 2
    upper_before = quantile_bounds(before, 0.95, confidence)[1]
    lower_after = quantile_bounds(after, 0.95, confidence)[0]
    if len(after) < policy.minimum_calls or lower_after is None:
        reason = f"{len(after)} engine calls in the window, {policy.minimum_calls} are needed"
        return _not_evaluated(name, limit, reason)
    if upper_before is None or upper_before <= 0:
        return _not_evaluated(
            name, limit, f"{len(before)} engine calls in the reference are too few for its p95"
        )
    p95_before, p95_after = np.quantile(before, 0.95), np.quantile(after, 0.95)
    increase, low = float(p95_after / p95_before - 1), lower_after / upper_before - 1
    reason = (
        f"p95 of inference {p95_before:.3g} → {p95_after:.3g} ms: {increase:+.0%}, at least "
        f"{low:+.0%} at "
        f"{policy.confidence:.0%} confidence (limit {limit:+.0%})"
    )
    return Check(name, increase, limit, _verdict(increase, low, limit), reason)


def _engine_calls(inference_ms: Floats) -> Floats:
    """Return one value for each engine call.

    The images of a batch hold equal shares of one measurement.
    """
    return (
        inference_ms[np.append(True, inference_ms[1:] != inference_ms[:-1])]
        if len(inference_ms)
        else inference_ms
    )


def _check_errors(window: Health, policy: AlertPolicy) -> Check:
    name, limit = ERRORS, policy.error_rate
    if window.images < policy.minimum_images:
        return _not_evaluated(
            name, limit, f"{counted(window.images, 'image')}, {policy.minimum_images} are needed"
        )
    share = window.failed / window.images
    low = wilson(share, window.images, policy.confidence).low
    reason = (
        f"{window.failed} of {counted(window.images, 'image')} failed ({share:.1%}), at least "
        f"{low:.1%} at "
        f"{policy.confidence:.0%} confidence (limit {limit:.1%})"
    )
    return Check(name, share, limit, _verdict(share, low, limit), reason)


def _verdict(value: float, low: float, limit: float) -> Verdict:
    if low > limit:
        return Verdict.FAIL
    return Verdict.UNDECIDED if value > limit else Verdict.PASS


def _not_evaluated(name: str, limit: float, reason: str) -> Check:
    return Check(name, None, limit, Verdict.NOT_EVALUATED, reason)
