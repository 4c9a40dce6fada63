"""Rules of the gates on cost: what a challenger may take more of than the champion.

- p95: the upper bound of the ratio must keep within 1 + increase, widened by what the champion
  differs from itself in the same run. In a noise above 30 % only what keeps within the limit with
  all of the noise added passes, nothing fails, and the times are to be measured again: noise may
  neither excuse nor condemn what is twice as slow.
- size and memory: ratios of single measurements.
"""

from __future__ import annotations

from components.benchmark.selection import MAX_NOISE, is_busy
from components.contracts import Check, Gate, Verdict
from components.evaluation.interleaved import Cost, Ratio
from components.statistics.words import apart


def latency_verdict(ratio: Ratio, increase: float | None) -> Verdict:
    """Evaluate whether the challenger's p95 keeps within 1 + `increase` times the champion's."""
    if ratio.p95 is None or ratio.noise is None or increase is None:
        return Verdict.NOT_EVALUATED
    if is_busy(ratio.noise):
        return (
            Verdict.PASS
            if ratio.p95.high * (1 + ratio.noise) <= 1 + increase
            else Verdict.UNDECIDED
        )
    limit = _widened(ratio.noise, increase)
    return (
        Verdict.PASS
        if ratio.p95.high <= limit
        else Verdict.FAIL
        if ratio.p95.low > limit
        else Verdict.UNDECIDED
    )


def p95_gate(
    costs: tuple[Cost | None, Cost | None], ratio_of: Ratio, increase: float | None, missing: str
) -> Gate:
    """Evaluate the p95 of champion and challenger by the ratio of their times.

    Arguments:
        costs: of champion and challenger.
        ratio_of: of their times.
        increase: that is allowed; None is no limit.
        missing: why something about time is not known.
    """
    champion, challenger = (cost.p95.value if cost and cost.p95 else None for cost in costs)
    ratio, noise = ratio_of.p95, ratio_of.noise
    calls = costs[1].calls if costs[1] else 0
    if increase is None or ratio is None or noise is None or champion is None or challenger is None:
        reason = (
            missing or no_limit(increase, "latency increase") or ratio_of.missing or "not measured"
        )
        limit = None if increase is None else 1 + increase
        return Gate(
            "p95_ms", champion, challenger, None, limit, None, calls, Verdict.NOT_EVALUATED, reason
        )
    limit = _widened(noise, increase)
    reason = (
        f"{champion:.1f} → {challenger:.1f} ms, {ratio.value:.2f}× [{ratio.low:.2f}, "
        f"{ratio.high:.2f}] "
        f"in {calls} interleaved calls each; the limit is {1 + increase:.2f}×"
    )
    if is_busy(noise):
        reason = (
            f"busy machine: measure again; a noise of {noise:.0%} is above {MAX_NOISE:.0%}; "
            f"{reason}"
        )
    else:
        reason += f", {limit:.2f}× with the noise of this run"
    interval = (ratio.value, ratio.low, ratio.high)
    verdict = latency_verdict(ratio_of, increase)
    return Gate(
        "p95_ms",
        champion,
        challenger,
        interval,
        limit,
        None,
        calls,
        verdict,
        reason,
        noise=too_much(noise),
    )


def ratio_gate(name: str, values: list[float | None], most: float | None, missing: str) -> Gate:
    """Evaluate the ratio of two single measurements in MB, champion and challenger."""
    champion, challenger = values
    if most is None or not champion or challenger is None:
        reason = missing or no_limit(most, "ratio") or "not measured"
        return Gate(name, champion, challenger, None, most, None, 0, Verdict.NOT_EVALUATED, reason)
    ratio = challenger / champion
    verdict = Verdict.PASS if ratio <= most else Verdict.FAIL
    times, limit = apart(ratio, most, 2)
    reason = f"{champion:.2f} → {challenger:.2f} MB, {times}×; the limit is {limit}×"
    return Gate(name, champion, challenger, (ratio, ratio, ratio), most, None, 0, verdict, reason)


def check_gate(name: str, check: Check) -> Gate:
    """Make a gate of a check of the challenger alone."""
    reason = check.reason
    if check.value is not None and check.limit is not None:
        reason = f"{check.value:.4g}, the limit is {check.limit:g}" + (
            f"; {reason}" if reason else ""
        )
    return Gate(name, None, check.value, None, check.limit, None, 0, check.verdict, reason)


def too_much(noise: float | None) -> float | None:
    """The noise of a busy machine; None for one that times can be decided in."""
    return noise if is_busy(noise) else None


def _widened(noise: float, increase: float) -> float:
    """Return the limit that an interval's bound is compared with.

    The noise of a busy machine is in the interval.
    """
    return (1 + increase) * (1 if is_busy(noise) else 1 + noise)


def no_limit(value: float | None, what: str) -> str:
    """Say that a limit was not given; empty where it was."""
    return f"no {what} was given" if value is None else ""
