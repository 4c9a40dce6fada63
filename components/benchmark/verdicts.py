"""Verdicts of a measurement on a target's limits: pass, fail, undecided, or not evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from components.contracts import Budget, Check, Verdict
from components.printing import counted
from components.statistics.differences import Difference, images_needed
from components.statistics.improvement import CONFIDENCE
from components.statistics.timings import Estimate


@dataclass(frozen=True)
class Evidence:
    """Measured values of one variant; None where it was not measured.

    Arguments:
        p95_ms: with its 95 % interval.
        noise_floor: of the run, as a share, e.g. 0.02.
        size_mb: of the file.
        peak_rss_mb: of the process.
        accuracy: by the metric that decides.
        reference_accuracy: what the accuracy is compared with, on the same images.
        images: how many images both rest on.
        difference: of the two accuracies, with its interval.
        is_reference: it is the reference itself, which has lost nothing.
    """

    p95_ms: Estimate | None
    noise_floor: float | None
    size_mb: float
    peak_rss_mb: float | None
    accuracy: float | None
    reference_accuracy: float | None
    images: int
    difference: Difference | None = None
    is_reference: bool = False


def check_budget(
    evidence: Evidence, budget: Budget, *, measured_on_host: bool
) -> tuple[Check, ...]:
    """One check per limit that the budget sets, in a fixed order.

    Arguments:
        evidence: of the variant.
        budget: its limits.
        measured_on_host: the target is another device than this machine, which every reason about
            time or memory then says.
    """
    where = "measured on host" if measured_on_host else ""
    checks = []
    if budget.p95_ms is not None:
        checks.append(_check_p95(evidence, budget.p95_ms, where))
    if budget.size_mb is not None:
        checks.append(_check_exact("size_mb", evidence.size_mb, budget.size_mb))
    if budget.peak_rss_mb is not None:
        checks.append(_check_exact("peak_rss_mb", evidence.peak_rss_mb, budget.peak_rss_mb, where))
    if budget.max_accuracy_drop is not None:
        checks.append(_check_drop(evidence, budget.max_accuracy_drop))
    return tuple(checks)


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _check_p95(evidence: Evidence, limit: float, where: str) -> Check:
    """Require the interval, widened by the run's own noise, to lie on one side of the limit."""
    p95, noise = evidence.p95_ms, evidence.noise_floor
    if p95 is None:
        return Check(
            "p95_ms",
            None,
            limit,
            Verdict.NOT_EVALUATED,
            _join("too few calls for a 95th percentile", where),
        )
    low, high = p95.low / (1 + (noise or 0.0)), p95.high * (1 + (noise or 0.0))
    verdict = Verdict.PASS if high <= limit else Verdict.FAIL if low > limit else Verdict.UNDECIDED
    unknown = ""
    if noise is None:
        verdict, unknown = Verdict.UNDECIDED, "the run's noise is unknown"
    return Check(
        "p95_ms",
        p95.value,
        limit,
        verdict,
        _join(f"between {low:.1f} and {high:.1f} ms", unknown, where),
    )


def _check_exact(name: str, value: float | None, limit: float, where: str = "") -> Check:
    if value is None or not isfinite(value):
        return Check(name, None, limit, Verdict.NOT_EVALUATED, _join("not measured", where))
    return Check(name, value, limit, Verdict.PASS if value <= limit else Verdict.FAIL, where)


def _check_drop(evidence: Evidence, limit: float) -> Check:
    """Check non-inferiority by the whole 95 % interval of the drop.

    It must lie within the limit to pass, and beyond it to fail.
    """
    accuracy, reference = evidence.accuracy, evidence.reference_accuracy
    if accuracy is None or not isfinite(accuracy):
        return Check(
            "accuracy_drop", None, limit, Verdict.NOT_EVALUATED, "no accuracy was measured"
        )
    if reference is None or not isfinite(reference):
        return Check(
            "accuracy_drop",
            None,
            limit,
            Verdict.NOT_EVALUATED,
            "there is no accuracy to compare with",
        )
    if evidence.is_reference:
        return Check(
            "accuracy_drop", 0.0, limit, Verdict.PASS, "it is what the others are compared with"
        )
    difference = evidence.difference
    if difference is None:
        return Check(
            "accuracy_drop",
            None,
            limit,
            Verdict.NOT_EVALUATED,
            "too few images or objects to compare",
        )
    drop, low, high = (  # rounded: 0.90 − 0.88 is a drop of 0.02, not of more
        round(-change, 9)
        for change in (difference.value, difference.high(CONFIDENCE), difference.low(CONFIDENCE))
    )
    verdict = Verdict.PASS if high <= limit else Verdict.FAIL if low > limit else Verdict.UNDECIDED
    reason = f"{accuracy:.4f} against {reference:.4f} on the same "
    reason += f"{counted(evidence.images, 'image')}, between {low:.4f} and {high:.4f}"
    needed = images_needed(difference, -limit, CONFIDENCE) if verdict is Verdict.UNDECIDED else None
    return Check(
        "accuracy_drop",
        drop,
        limit,
        verdict,
        _join(reason, f"about {counted(needed, 'image')} would show it" if needed else ""),
    )
