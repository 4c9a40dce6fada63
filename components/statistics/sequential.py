"""Anytime-valid intervals of a mean, which hold at every look: confidence sequences by betting.

An interval of a fixed sample size holds for one look. Who looks again after every batch and stops
when he likes the answer finds a difference between equals many times as often as promised. A
confidence sequence holds at all looks at once.

A gambler who bets against "the mean is m" and whose every bet is fair multiplies his capital by 2/α
at any time with a probability of at most α/2, if m is the mean (Ville's inequality, 1939). So every
m that made him that rich is excluded. Ours keeps a constant share of his capital in the bet, and
splits it over several shares to begin with, as he does not know which suits: Cover's universal
portfolio. No distribution and no number of images is assumed, only scores within 0–1 with one mean.

Sources: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", J. R.
Stat. Soc. B 86 (2024), whose hedged capital and diversified Kelly bets these are; Orabona and Jun,
"Tight concentrations and confidence sequences from the regret of universal portfolio", IEEE Trans.
Inf. Theory 70 (2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np

from components.contracts.arrays import Floats
from components.statistics.timings import Estimate

_BOLDEST = 0.9  # share of the capital in a bet
_HALVINGS = 24  # of the range that holds a bound: to 6e-8


def confidence_sequence(
    values: Sequence[float] | Floats, *, resolution: float, alpha: float = 0.05
) -> Estimate:
    """The interval of a mean after these values, valid for all numbers of values at once.

    Its bounds are the tightest that any beginning of the values gave: one more value never widens
    it. If the mean changes on the way, `low` may come to lie above `high`: then no single mean fits
    the values.

    Arguments:
        values: (n,) in 0–1, in the order in which they came, n ≥ 1.
        resolution: a difference of this size is to be seen with as few values as possible, in
            0–0.9; the interval is valid with any.
        alpha: the chance that the mean ever lies outside.
    """
    x = np.asarray(values, np.float64)
    goal = log(2 / alpha)
    shares = _shares(resolution)
    return Estimate(
        float(x.mean()), _lower_bound(x, shares, goal), 1 - _lower_bound(1 - x, shares, goal)
    )


def paired_sequence(differences: Floats, *, delta: float, alpha: float = 0.05) -> Estimate:
    """The same for the mean of (n,) differences in −1…1, of two scores of one image.

    Arguments:
        differences: in the order in which they came.
        delta: the smallest difference that matters.
        alpha: as there.
    """
    unit = confidence_sequence((differences + 1) / 2, resolution=delta / 2, alpha=alpha)
    return Estimate(float(differences.mean()), 2 * unit.low - 1, 2 * unit.high - 1)


def difference_of_sequences(a: Floats, b: Floats, *, delta: float, alpha: float = 0.05) -> Estimate:
    """Estimate the same for mean(b) − mean(a) of different images, two sequences at α/2 subtracted.

    Arguments:
        a: (m,) in 0–1, in the order in which they came.
        b: (n,), likewise.
        delta: the smallest difference that matters.
        alpha: as there.
    """
    first, second = (confidence_sequence(x, resolution=delta / 2, alpha=alpha / 2) for x in (a, b))
    if first.low > first.high or second.low > second.high:
        return Estimate(second.value - first.value, 1.0, -1.0)
    return Estimate(second.value - first.value, second.low - first.high, second.high - first.low)


def _shares(resolution: float) -> Floats:
    """List shares of the capital, each half the last, down to what suits this effect size best."""
    shares = [_BOLDEST]
    while shares[-1] > resolution:
        shares.append(shares[-1] / 2)
    return np.array(shares)


def _lower_bound(x: Floats, shares: Floats, goal: float) -> float:
    """Find the largest mean that a bet on more ever reached the goal against.

    The capital of the bet falls with the mean.
    """
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _ever_reached(goal, x, middle, shares):
            low = middle
        else:
            high = middle
    return low


def _ever_reached(goal: float, x: Floats, mean: float, shares: Floats) -> bool:
    """Tell whether a bet of 1 on "more than `mean`" ever reached `goal`, a logarithm."""
    parts = np.cumsum(np.log((1 - shares)[:, None] + (shares / mean)[:, None] * x), axis=1)
    # the mean of all parts is never more than the largest
    candidates = parts[:, parts.max(axis=0) >= goal]
    if not candidates.size:
        return False
    return bool(np.logaddexp.reduce(candidates, axis=0).max() - log(len(shares)) >= goal)
