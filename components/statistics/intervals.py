"""Intervals that say how far chance alone may have moved a share, a difference or a percentile."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Interval:
    """Observed value, and the bounds of what the data do not contradict."""

    value: float
    low: float
    high: float


def wilson(share: float, samples: float, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a share (J. Am. Stat. Assoc. 22, 1927).

    Unlike the normal approximation it is never of no width, and never leaves 0–1.

    Arguments:
        share: what was observed, in 0–1.
        samples: how many independent observations it rests on, more than 0; need not be whole, see
            `effective_samples`.
        confidence: two-sided, in 0–1.
    """
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    centre = (share + z2 / (2 * samples)) / (1 + z2 / samples)
    half = sqrt(z2 * (share * (1 - share) / samples + z2 / (4 * samples**2))) / (1 + z2 / samples)
    return Interval(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))


def effective_samples(share: float, standard_error: float, *, units: int, trials: int) -> float:
    """Return how many independent yes-or-no observations are as uncertain as a value in 0–1.

    With this number `wilson` serves values that are no shares of independent trials, such as a mean
    average precision (Dean and Pagano, J. Surv. Stat. Methodol. 3, 2015, compare such intervals for
    clustered samples).

    Arguments:
        share: the value, in 0–1.
        standard_error: of it, as a bootstrap gives it.
        units: independent units, such as images; the answer where the standard error is 0, which
            says only that all units were alike.
        trials: observations in all units, such as objects; the answer is never more.
    """
    if standard_error <= 0 or not 0 < share < 1:
        return float(units)
    return min(share * (1 - share) / standard_error**2, float(trials))


def difference(first: Interval, second: Interval) -> Interval:
    """The interval of `first` − `second`, which must be independent.

    The square-and-add rule (Zou and Donner, Stat. Med. 27, 2008); with Wilson's intervals it is
    Newcombe's method 10.
    """
    gap = first.value - second.value
    below = sqrt((first.value - first.low) ** 2 + (second.high - second.value) ** 2)
    above = sqrt((first.high - first.value) ** 2 + (second.value - second.low) ** 2)
    return Interval(gap, gap - below, gap + above)


def quantile_bounds(
    samples: npt.NDArray[np.float64], quantile: float, confidence: float
) -> tuple[float | None, float | None]:
    """Return order statistics that enclose a quantile of any distribution.

    See David and Nagaraja, Order Statistics, 7.1.

    Arguments:
        samples: (n,) independent values.
        quantile: in 0–1.
        confidence: two-sided; each bound misses in at most half of the rest.

    Returns:
        The bounds; None for one that n samples are too few for.
    """
    from scipy.special import bdtr

    n, tail = len(samples), (1 - confidence) / 2
    ordered = np.sort(samples)
    # chance that no more than k samples lie below the quantile
    at_most = bdtr(np.arange(n), n, quantile)
    low, high = (
        int(np.searchsorted(at_most, tail, side="right")) - 1,
        int(np.searchsorted(at_most, 1 - tail)),
    )
    return (float(ordered[low]) if low >= 0 else None, float(ordered[high]) if high < n else None)
