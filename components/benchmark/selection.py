"""Selection of the variant that ships, with a reason in plain words why each other one does not."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from components.contracts import Check, Measurement, Target, Verdict
from components.statistics.words import apart

_WORDS = {  # check → (what it is, decimals of a value, its unit)
    "p95_ms": ("95th percentile", 1, " ms"),
    "size_mb": ("size", 2, " MB"),
    "peak_rss_mb": ("peak memory", 0, " MB"),
    "accuracy_drop": ("drop in accuracy", 4, ""),
}

MAX_NOISE = 0.30  # of a run: a busy machine tells hardly anything apart


def is_busy(noise_floor: float | None) -> bool:
    """Tell whether a machine was too busy to compare speeds on."""
    return noise_floor is not None and noise_floor > MAX_NOISE


def choose(
    measurements: Sequence[Measurement],
    *,
    baseline: str,
    noise_floor: float | None,
    target: Target,
    accept_noise: bool = False,
) -> tuple[str | None, tuple[str, ...]]:
    """Choose the fastest variant that keeps every limit and is really faster, or else the baseline.

    A variant is really faster when the whole interval of its speed-up lies above 1 + `noise_floor`.
    That is asked only while the baseline itself could ship: where it fails a limit, the fastest
    variant that fails none is chosen. Above a noise floor of 30 % speeds are not compared unless
    `accept_noise` says so: the baseline ships if it can. A limit that is undecided keeps no variant
    from shipping, and is named; but one whose measured drop in accuracy exceeds its limit does not
    ship, whether the images are enough to show that or not.

    Arguments:
        measurements: with their checks against the target's budget.
        baseline: its variant name, one of the measurements.
        noise_floor: of the run, as a share; None when it is unknown, and then nothing counts as
            faster.
        target: named in the reasons.
        accept_noise: compare speeds on a busy machine, too.

    Returns:
        The name of the chosen variant, None when every variant fails a limit, and one reason a
        line.
    """
    able = [m for m in measurements if not m.error and not _kept_back(m)]
    fallback = next((m for m in able if m.variant == baseline), None)
    ready, busy = able, is_busy(noise_floor) and not accept_noise
    if fallback:
        ready = [m for m in able if m is fallback or (not busy and _is_faster(m, noise_floor))]
    best = _fastest(ready, baseline)
    if best is None:
        lines = [f"no variant meets every limit of {_label(target)}"]
    else:
        why = (
            _why(best, baseline) if best is not fallback or not busy else "speeds were not compared"
        )
        lines = [f"{best.variant}: chosen for {_label(target)}, {why}{_open_questions(best)}"]
    for m in measurements:
        if m is not best:
            rival = best if m in ready else None
            lines.append(
                f"{m.variant}: {_why_not(m, baseline, noise_floor, rival, compared=not busy)}"
            )
    if is_busy(noise_floor):
        lines.insert(
            1,
            f"busy machine: measure again; a noise floor of {noise_floor:.1%} is above "
            f"{MAX_NOISE:.0%}",
        )
    return (best.variant if best else None), tuple(lines)


def _fastest(ready: Sequence[Measurement], baseline: str) -> Measurement | None:
    """Return the first by speed against the baseline, else by median, else in the plan.

    Speeds count where all have one, and so do medians.
    """
    speeds = [_speed(m, baseline) for m in ready]
    medians = [m.latency.p50_ms for m in ready]
    if all(speed is not None for speed in speeds):
        return max(ready, key=lambda m: _speed(m, baseline) or 0.0, default=None)
    if all(median is not None for median in medians):
        return min(ready, key=lambda m: m.latency.p50_ms or inf)
    return ready[0]


def _speed(measurement: Measurement, baseline: str) -> float | None:
    if measurement.variant == baseline:
        return 1.0
    return measurement.speedup[0] if measurement.speedup else None


def _kept_back(measurement: Measurement) -> list[Check]:
    """List limits that failed, or are undecided with a measured accuracy drop beyond the limit."""
    return [
        check for check in measurement.checks if check.verdict is Verdict.FAIL or _dropped(check)
    ]


def _dropped(check: Check) -> bool:
    return (
        check.name == "accuracy_drop"
        and check.verdict is Verdict.UNDECIDED
        and check.value is not None
        and check.limit is not None
        and check.value > check.limit
    )


def _is_faster(measurement: Measurement, noise_floor: float | None) -> bool:
    if measurement.speedup is None or noise_floor is None:
        return False
    return measurement.speedup[1] > 1 + noise_floor


def _label(target: Target) -> str:
    return f"{target.name} (measured on host)" if target.measured_on_host else target.name


def _spelled(measurement: Measurement) -> str:
    if measurement.speedup is None:
        return "its speed against the baseline is unknown"
    value, low, high = measurement.speedup
    return f"{value:.2f}× [{low:.2f}, {high:.2f}] of the baseline's speed"


def _why(best: Measurement, baseline: str) -> str:
    if best.variant == baseline:
        return "no other variant that meets the limits is really faster than this baseline"
    return _spelled(best)


def _why_not(
    measurement: Measurement,
    baseline: str,
    noise_floor: float | None,
    rival: Measurement | None,
    *,
    compared: bool,
) -> str:
    """Say why a variant does not ship; `rival` is the one that does, if this one could have."""
    if measurement.error:
        return f"not measured: {measurement.error}"
    if kept_back := _kept_back(measurement):
        return "rejected, " + "; ".join(_excess(check) for check in kept_back)
    if rival:
        words = (
            "the baseline"
            if measurement.variant == baseline
            else f"meets the limits, {_spelled(measurement)}"
        )
        return f"{words}; {_behind(measurement, rival, baseline)}"
    if measurement.speedup is None:
        return "rejected, too few rounds to tell whether it is faster than the baseline"
    if noise_floor is None:
        return f"rejected, {_spelled(measurement)}, but the run's noise is unknown"
    if not compared:
        return f"not compared, {_spelled(measurement)} in a noise floor of {noise_floor:.1%}"
    if measurement.speedup[2] < 1:
        return f"rejected, {_spelled(measurement)}"
    low, needed = apart(measurement.speedup[1], 1 + noise_floor, 2)
    return (
        f"rejected, {_spelled(measurement)}; {low}× is not above {needed}×, 1 plus the noise floor"
    )


def _behind(measurement: Measurement, rival: Measurement, baseline: str) -> str:
    """Say by the compared numbers why a variant within the limits comes after the shipped one."""
    mine, its = _speed(measurement, baseline), _speed(rival, baseline)
    if mine is not None and its is not None and its > mine:
        return f"{rival.variant} is faster"
    p50, other = measurement.latency.p50_ms, rival.latency.p50_ms
    if (mine is None or its is None) and p50 is not None and other is not None and other < p50:
        return f"{rival.variant} is faster by its median"
    return f"nothing shows that it is faster than {rival.variant}, which comes first"


def _excess(check: Check) -> str:
    what, decimals, unit = _WORDS[check.name]
    if check.value is None or check.limit is None:
        return f"{what} failed"
    value, limit = apart(check.value, check.limit, decimals)
    _, excess = apart(0.0, check.value - check.limit, decimals)
    unsure = f" as measured ({check.reason})" if check.verdict is Verdict.UNDECIDED else ""
    return f"{what} of {value}{unit} exceeds the limit of {limit}{unit} by {excess}{unit}{unsure}"


def _open_questions(measurement: Measurement) -> str:
    """List the chosen variant's undecided or unevaluated checks: missing is not passing."""
    unsure = [
        c for c in measurement.checks if c.verdict in (Verdict.UNDECIDED, Verdict.NOT_EVALUATED)
    ]
    return "".join(
        f"; {_WORDS[c.name][0]} {c.verdict.value.replace('_', ' ')} ({c.reason})" for c in unsure
    )
