"""Choose the variant that ships, and say in plain words why each of the others does not."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from components.contracts import Check, Measurement, Target, Verdict

_WORDS = {  # check → (what it is, format of a value with its unit)
    "p95_ms": ("95th percentile", "{:.1f} ms"),
    "size_mb": ("size", "{:.2f} MB"),
    "peak_rss_mb": ("peak memory", "{:.0f} MB"),
    "accuracy_drop": ("drop in accuracy", "{:.4f}"),
}


def choose(
    measurements: Sequence[Measurement], *, baseline: str, noise_floor: float | None, target: Target
) -> tuple[str | None, tuple[str, ...]]:
    """The fastest variant that fails no limit and is really faster than the baseline, or else the baseline.

    A variant is really faster when the whole interval of its speed-up lies above 1 + `noise_floor`. That is asked
    only while the baseline itself could ship: where it fails a limit, the fastest variant that fails none is chosen.

    Arguments:
        measurements: with their checks against the target's budget.
        baseline: its variant name, one of the measurements.
        noise_floor: of the run, as a share; None when it is unknown, and then nothing counts as faster.
        target: named in the reasons.

    Returns:
        The name of the chosen variant, None when every variant fails a limit, and one reason a line.
    """
    able = [m for m in measurements if not m.error and not _failed(m)]
    fallback = next((m for m in able if m.variant == baseline), None)
    ready = able if fallback is None else [m for m in able if m is fallback or _is_faster(m, noise_floor)]
    best = min(ready, key=lambda m: inf if m.latency.p50_ms is None else m.latency.p50_ms, default=None)
    if best is None:
        lines = [f"no variant meets every limit of {_label(target)}"]
    else:
        lines = [f"{best.variant}: chosen for {_label(target)}, {_why(best, baseline)}{_open_questions(best)}"]
    for m in measurements:
        if m is not best:
            rival = best.variant if best is not None and m in ready else ""
            lines.append(f"{m.variant}: {_why_not(m, baseline, noise_floor, rival)}")
    return (best.variant if best else None), tuple(lines)


def _failed(measurement: Measurement) -> list[Check]:
    return [check for check in measurement.checks if check.verdict is Verdict.FAIL]


def _is_faster(measurement: Measurement, noise_floor: float | None) -> bool:
    if measurement.speedup is None or noise_floor is None:
        return False
    return measurement.speedup[1] > 1 + noise_floor


def _label(target: Target) -> str:
    return f"{target.name} (measured on host)" if target.measured_on_host else target.name


def _speed(measurement: Measurement) -> str:
    if measurement.speedup is None:
        return "its speed against the baseline is unknown"
    value, low, high = measurement.speedup
    return f"{value:.2f}× [{low:.2f}, {high:.2f}] of the baseline's speed"


def _why(best: Measurement, baseline: str) -> str:
    if best.variant == baseline:
        return "no other variant that meets the limits is really faster than this baseline"
    return _speed(best)


def _why_not(measurement: Measurement, baseline: str, noise_floor: float | None, rival: str) -> str:
    """Why a variant does not ship; `rival` is the faster one, for a variant that could have."""
    if measurement.error:
        return f"not measured: {measurement.error}"
    failed = _failed(measurement)
    if failed:
        return "rejected, " + "; ".join(_excess(check) for check in failed)
    if rival and measurement.variant == baseline:
        return f"the baseline; {rival} is faster"
    if rival:
        return f"meets the limits, {_speed(measurement)}, but {rival} is faster"
    if measurement.speedup is None:
        return "rejected, too few rounds to tell whether it is faster than the baseline"
    if noise_floor is None:
        return f"rejected, {_speed(measurement)}, but the run's noise is unknown"
    if measurement.speedup[2] < 1:
        return f"rejected, {_speed(measurement)}"
    return f"rejected, {_speed(measurement)} is not above 1 plus the noise floor of {noise_floor:.1%}"


def _excess(check: Check) -> str:
    what, form = _WORDS[check.name]
    if check.value is None or check.limit is None:
        return f"{what} failed"
    value, limit, excess = (form.format(number) for number in (check.value, check.limit, check.value - check.limit))
    return f"{what} of {value} exceeds the limit of {limit} by {excess}"


def _open_questions(measurement: Measurement) -> str:
    """What was not shown about the chosen variant: missing is not passing."""
    unsure = [c for c in measurement.checks if c.verdict in (Verdict.UNDECIDED, Verdict.NOT_EVALUATED)]
    return "".join(f"; {_WORDS[c.name][0]} {c.verdict.value.replace('_', ' ')} ({c.reason})" for c in unsure)
