"""Distance of two samples of one column, and the distance that chance alone would explain.

Both distances are between 0 (the same) and 1 (nothing in common), whatever the unit of the column,
so one limit can hold for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from components.images.statistics import SMALLEST_CHANGES
from components.monitoring.drift.tables import is_prediction, spread_rows

_PERMUTATIONS = 4999  # the smallest p-value is then 0.0002
_MEAN = float(np.sqrt(np.pi / 2) * np.log(2))  # of Kolmogorov's distribution
_CERTAIN = 5e-4  # level at which complete separation is to be a change
_OF_PREDICTIONS = (0.0, 0.02)  # absolute, and relative to the usual value, as in `SMALLEST_CHANGES`
_OF_OTHERS = (0.0, 0.0)
_ROUNDING = 1e-6  # numbers that differ by less, relative to their size, are the same number


@dataclass(frozen=True)
class Comparison:
    """Two samples of one column.

    Arguments:
        distance: 0–1.
        by_chance: the mean distance when nothing has changed; it shrinks as samples grow.
        critical: level → the smallest distance whose p-value is at most this level.
        tail: distance → the probability of one at least this large when nothing has changed; None
            when the column is one and the same constant in both, so that there was nothing to test.
        smallest_change: what values may have moved by in this comparison.
    """

    distance: float
    by_chance: float
    critical: Callable[[float], float]
    tail: Callable[[float], float] | None
    smallest_change: float = 0.0

    @property
    def p_value(self) -> float | None:
        """Probability of at least this distance without any change; None for a constant column."""
        return None if self.tail is None else self.tail(self.distance)

    @property
    def beyond_chance(self) -> float:
        """Distance beyond chance (0–1), as a share of what chance leaves.

        With many classes and few images chance leaves little.
        """
        return max(0.0, self.distance - self.by_chance) / max(1e-9, 1 - self.by_chance)

    def limit(self, tolerance: float, level: float) -> float:
        """Find the least distance beyond chance by `tolerance` and with a p-value up to `level`."""
        return max(self.by_chance + tolerance * (1 - self.by_chance), self.critical(level))

    def dependent(self, factor: float, apart: float | None = None) -> Comparison:
        """The same comparison of rows that are worth fewer independent ones.

        A distance between samples shrinks with the root of their size, so chance brings it `factor`
        times as far.

        Arguments:
            factor: root of the ratio of 1/m + 1/n for the effective sizes to that for the rows; at
                least 1.
            apart: a distance that is a change however few rows they are worth; None where there is
                none.
        """
        certain = self.critical(_CERTAIN)
        if apart is not None and certain > 0:
            factor = min(factor, max(1.0, apart / certain))
        if factor <= 1 or self.tail is None:
            return self
        tail = self.tail
        return replace(
            self,
            by_chance=min(factor * self.by_chance, max(self.by_chance, (apart or 1.0) / 2)),
            critical=lambda level: factor * self.critical(level),
            tail=lambda distance: tail(distance / factor),
        )


_DEALT = 199  # permutations of vectors, which cost more; the smallest p-value is then 0.005
MAX_VECTORS = 500  # of each sample; the cost grows with the square

_SAME_CONSTANT = Comparison(0.0, 0.0, lambda level: 0.0, None)


def compare_numbers(
    reference: npt.NDArray[np.float64],
    window: npt.NDArray[np.float64],
    smallest_change: float = 0.0,
) -> Comparison:
    """Measure the largest gap between two cumulative distributions (Kolmogorov–Smirnov).

    What values move by less than the smallest change does not count.

    With a smallest change δ it is the least Kolmogorov–Smirnov distance that is left when each
    value may move by up to δ: max over x of F(x) − G(x + δ) and G(x) − F(x + δ). Chance brings it
    no farther than without.

    The p-value is Smirnov's asymptotic one (Ann. Math. Statist. 19, 1948): too large rather than
    too small for few samples and for values with ties, so it does not alarm too often.

    Arguments:
        reference: (m,) finite values.
        window: (n,) finite values.
        smallest_change: δ, in the unit of the values; at least 0.
    """
    from scipy.special import kolmogi, kolmogorov

    before, after = np.sort(reference), np.sort(window)
    low, high = min(before[0], after[0]), max(before[-1], after[-1])
    if high - low <= _ROUNDING * max(abs(low), abs(high)):
        return _SAME_CONSTANT
    distance = max(_gap(before, after, smallest_change), _gap(after, before, smallest_change))
    root = float(np.sqrt(len(reference) * len(window) / (len(reference) + len(window))))
    return Comparison(
        distance,
        by_chance=_MEAN / root,
        critical=lambda level: float(kolmogi(level)) / root,
        tail=lambda far: float(kolmogorov(far * root)),
        smallest_change=smallest_change,
    )


def _gap(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64], shift: float) -> float:
    """Return the most by which the first distribution at x exceeds the second at x + shift.

    Both are sorted.
    """
    below = np.arange(1, len(one) + 1) / len(one)  # of equal values the last is the one that counts
    return max(
        0.0, float((below - np.searchsorted(other, one + shift, side="right") / len(other)).max())
    )


def compare_categories(reference: npt.NDArray[np.str_], window: npt.NDArray[np.str_]) -> Comparison:
    """Compare categories' shares by half their summed difference, the total variation.

    The p-value is that of a permutation test.

    Rows are dealt anew to reference and window many times, which is exact also for rare categories;
    only the counts of each category matter, so they are drawn instead of the rows.

    Arguments:
        reference: (m,) names.
        window: (n,) names.
    """
    m, n = len(reference), len(window)
    names, rows = np.unique(np.concatenate([reference, window]), return_inverse=True)
    if len(names) == 1:
        return _SAME_CONSTANT
    pooled = np.bincount(rows)

    def total_variation(in_window: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return np.asarray(np.abs(in_window / n - (pooled - in_window) / m).sum(axis=-1) / 2)

    distance = float(total_variation(np.bincount(rows[m:], minlength=len(names))))
    dealt = np.random.default_rng(0).multivariate_hypergeometric(
        pooled, n, size=_PERMUTATIONS, method="marginals"
    )
    null = np.sort(total_variation(dealt))[::-1]

    return _permuted(distance, null, unreached=1.0)


def _permuted(distance: float, null: npt.NDArray[np.float64], *, unreached: float) -> Comparison:
    """Compare a distance with those of permutations.

    Phipson and Smyth, Stat. Appl. Genet. Mol. B. 9, 2010.

    Arguments:
        distance: of the samples.
        null: of the permutations, the farthest first.
        unreached: critical distance of a level that so few permutations cannot show.
    """

    def critical(level: float) -> float:
        allowed = int(level * (len(null) + 1))
        return float(null[allowed - 1] if allowed else unreached) + 1e-9

    def tail(distance: float) -> float:
        return (1 + int(np.count_nonzero(null >= distance - 1e-12))) / (len(null) + 1)

    return Comparison(distance, float(null.mean()), critical, tail)


def compare_vectors(
    reference: npt.NDArray[np.float64],
    window: npt.NDArray[np.float64],
    smallest_change: float = 0.0,
) -> Comparison:
    """The square root of the energy coefficient of two samples of vectors, with a permutation test.

    Székely and Rizzo, "Energy statistics: a class of statistics based on distances", J. Stat. Plan.
    Inference 143, 2013: 2 E|X − Y| − E|X − X′| − E|Y − Y′|, as a share of 2 E|X − Y|; 0 for equal
    distributions, 1 for two different constants. It is the kernel two-sample test with the kernel
    of distances, and has no width to choose. A smallest change δ makes the kernel √(d² + δ²),
    Hardy's multiquadric, which is of negative type too: what is nearer than δ adds to the
    denominator alone.

    Arguments:
        reference: (m, d) finite values on one scale; of more than 500, as many are taken, evenly.
        window: (n, d), likewise.
        smallest_change: δ, a distance on the same scale; at least 0.
    """
    from scipy.spatial.distance import cdist

    x, y = (sample[spread_rows(len(sample), MAX_VECTORS)] for sample in (reference, window))
    m, n = len(x), len(y)
    pooled = np.concatenate([x, y])
    gaps = cdist(pooled, pooled)
    if gaps.max() <= _ROUNDING * np.abs(pooled).max(initial=1.0):
        return _SAME_CONSTANT
    gaps = np.hypot(gaps, smallest_change)
    rng = np.random.default_rng(0)
    order = np.concatenate(
        [np.arange(m + n)[None], rng.permuted(np.tile(np.arange(m + n), (_DEALT, 1)), axis=1)]
    )
    in_window = np.zeros((len(order), m + n))
    np.put_along_axis(in_window, order[:, m:], 1.0, axis=1)
    reach = in_window @ gaps  # of each vector: summed distance to the window
    inside, to_window = (reach * in_window).sum(axis=1), reach.sum(axis=1)
    across = (to_window - inside) / (m * n)
    rest = (gaps.sum() - 2 * to_window + inside) / (m * m)
    energy = np.clip(2 * across - inside / (n * n) - rest, 0, None)
    found = np.sqrt(energy / np.maximum(2 * across, 1e-300))
    distance, null = float(found[0]), np.sort(found[1:])[::-1]

    return _permuted(distance, null, unreached=null[0])


def smallest_change(column: str, reference: npt.NDArray[np.float64]) -> float:
    """Give what values may move by without a meaning: `SMALLEST_CHANGES`, or 2 % of a prediction.

    Arguments:
        column: its name.
        reference: (m,) accepted values, NaN where there is none.
    """
    absolute, relative = SMALLEST_CHANGES.get(
        column, _OF_PREDICTIONS if is_prediction(column) else _OF_OTHERS
    )
    known = reference[np.isfinite(reference)]
    return max(absolute, relative * float(abs(np.median(known)))) if len(known) else absolute
