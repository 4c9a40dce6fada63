"""Uncertainty of measurements: medians, percentiles and ratios with distribution-free intervals.

A percentile needs a minimum of samples before it means anything; below that it is None, never a
guess. For p95 that is 130 samples: the least number that holds two samples beyond it with 99 %
confidence, which is the criterion by which MLPerf's LoadGen stops early.

Calls within one round share the state of the machine, so they are not independent observations: a
*round* is one. The interval of a median is a pair of order statistics of the rounds' medians (David
and Nagaraja, Order Statistics, 3rd ed., section 7.1); it holds for any continuous distribution and
needs six rounds for 95 %. Variants are compared within each round only, as ratios of its medians,
since a busy moment slows all of them (Georges et al., OOPSLA 2007; Kalibera and Jones, ISMM 2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt

from components.contracts import Latency

CONFIDENCE = 0.95
P50_FLOOR = 10
P95_FLOOR = 130
ROUNDS_FLOOR = 6
RESAMPLES = 1000

Rounds = Sequence[Sequence[float]]  # per round, the time of each call in milliseconds


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


def quantile_ranks(
    n: int, quantile: float, confidence: float = CONFIDENCE
) -> tuple[int, int] | None:
    """Tell which order statistics of n independent samples enclose their distribution's quantile.

    Arguments:
        n: number of samples.
        quantile: in 0–1, e.g. 0.5 for the median.
        confidence: the interval holds the quantile at least this often.

    Returns:
        0-based ranks (low, high) in the sorted samples, each side missing the quantile in at most
        half of the remaining cases; None when n samples are too few.
    """
    tail = (1 - confidence) / 2
    at_most = np.cumsum([comb(n, k) * quantile**k * (1 - quantile) ** (n - k) for k in range(n)])
    low = int(np.searchsorted(at_most, tail, side="right")) - 1
    high = int(np.searchsorted(at_most, 1 - tail, side="left"))
    return (low, high) if low >= 0 and high < n else None


def median_interval(samples: Sequence[float]) -> Estimate | None:
    """The median of independent samples; None when there are fewer than `ROUNDS_FLOOR`."""
    ranks = quantile_ranks(len(samples), 0.5)
    if ranks is None:
        return None
    ordered = np.sort(np.asarray(samples, np.float64))
    return Estimate(float(np.median(ordered)), float(ordered[ranks[0]]), float(ordered[ranks[1]]))


def p95_interval(rounds: Rounds) -> Estimate | None:
    """The 95th percentile over all calls; None below `P95_FLOOR` samples.

    A round is too short for a percentile of its own, so the calls count as independent here; a
    verdict widens this interval by the run's noise floor.
    """
    ordered = np.sort([call for calls in rounds for call in calls])
    ranks = quantile_ranks(len(ordered), 0.95)
    if len(ordered) < P95_FLOOR or ranks is None:
        return None
    return Estimate(
        float(np.percentile(ordered, 95)), float(ordered[ranks[0]]), float(ordered[ranks[1]])
    )


def summarise_latency(rounds: Rounds) -> Latency:
    """Percentiles over all calls, and the interval of the median over the rounds."""
    samples = [call for calls in rounds for call in calls]
    p95 = p95_interval(rounds)
    p50 = float(np.median(samples)) if len(samples) >= P50_FLOOR else None
    interval = median_interval([float(np.median(calls)) for calls in rounds])
    if p50 is None or interval is None:
        low = high = None
    # the median of all calls may lie beyond an interval of medians of rounds when rounds are many
    else:
        low, high = min(p50, interval.low), max(p50, interval.high)
    return Latency(len(samples), p50, low, high, p95.value if p95 else None)


def speedup(baseline: Rounds, variant: Rounds) -> Estimate | None:
    """Estimate by round the variant's speed-up over the baseline; None below `ROUNDS_FLOOR` rounds.

    Raises:
        ValueError: they were not measured in the same rounds.
    """
    ratios = [float(np.median(a) / np.median(b)) for a, b in zip(baseline, variant, strict=True)]
    return median_interval(ratios)


def noise_floor(baseline: Rounds, twin: Rounds) -> float | None:
    """Measure this run's noise: the largest |ratio − 1| in the interval of the baseline's A/A pair.

    Two processes that run the same file differ by more than the order of their calls (where their
    memory lies, which core they got: Mytkowicz et al., ASPLOS 2009), so a difference below this
    says nothing. None when there were too few rounds.
    """
    ratio = speedup(baseline, twin)
    return None if ratio is None else max(abs(ratio.low - 1), abs(ratio.high - 1))


def p95_ratio(baseline: Rounds, variant: Rounds) -> Estimate | None:
    """The variant's 95th percentile as a multiple of the baseline's, with its 95 % interval.

    Rounds are resampled, for both the same ones, since the calls of a round share the state of the
    machine (bootstrap percentiles; Efron and Tibshirani, 1993, chapter 13). None below
    `ROUNDS_FLOOR` rounds or `P95_FLOOR` calls.

    Arguments:
        baseline: what the variant is compared with.
        variant: measured in the same rounds, with equally many calls in each.

    Raises:
        ValueError: they were not.
    """
    one, other = np.array(baseline, np.float64), np.array(variant, np.float64)
    if one.shape != other.shape:
        raise ValueError(f"expected the same rounds of both, found {one.shape} and {other.shape}")
    if len(one) < ROUNDS_FLOOR or one.size < P95_FLOOR:
        return None
    drawn = np.random.default_rng(0).integers(len(one), size=(RESAMPLES, len(one)))
    resampled = _p95(other[drawn]) / _p95(one[drawn])
    value = float(np.percentile(other, 95) / np.percentile(one, 95))
    low, high = np.percentile(resampled, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    return Estimate(value, min(value, float(low)), max(value, float(high)))


def _p95(resamples: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n,) from (n, rounds, calls)."""
    return np.asarray(np.percentile(resamples.reshape(len(resamples), -1), 95, axis=1))
