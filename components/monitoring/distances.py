"""How far two samples of one column lie apart, and which distance chance alone would explain.

Both distances are between 0 (the same) and 1 (nothing in common), whatever the unit of the column,
so one limit can hold for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_PERMUTATIONS = 4999  # the smallest p-value is then 0.0002
_MEAN = float(np.sqrt(np.pi / 2) * np.log(2))  # of Kolmogorov's distribution
_ROUNDING = 1e-6  # numbers that differ by less, relative to their size, are the same number


@dataclass(frozen=True)
class Comparison:
    """Two samples of one column.

    Arguments:
        distance: 0–1.
        p_value: of a distance at least this large when nothing has changed; None when the column is one
            and the same constant in both, so that there was nothing to test.
        by_chance: the mean distance when nothing has changed; it shrinks as samples grow.
        critical: level → the smallest distance whose p-value is at most this level.
    """

    distance: float
    p_value: float | None
    by_chance: float
    critical: Callable[[float], float]

    @property
    def beyond_chance(self) -> float:
        """How far beyond chance (0–1), as a share of what chance leaves: with many classes and few images, little."""
        return max(0.0, self.distance - self.by_chance) / max(1e-9, 1 - self.by_chance)

    def limit(self, tolerance: float, level: float) -> float:
        """The smallest distance that is beyond chance by `tolerance` and has a p-value of at most `level`."""
        return max(self.by_chance + tolerance * (1 - self.by_chance), self.critical(level))


_DEALT = 199  # permutations of vectors, which cost more; the smallest p-value is then 0.005
_MOST_VECTORS = 500  # of each sample; the cost grows with the square

_SAME_CONSTANT = Comparison(0.0, None, 0.0, lambda level: 0.0)


def compare_numbers(reference: npt.NDArray[np.float64], window: npt.NDArray[np.float64]) -> Comparison:
    """The largest gap between two cumulative distributions (Kolmogorov–Smirnov).

    The p-value is Smirnov's asymptotic one (Ann. Math. Statist. 19, 1948): too large rather than too
    small for few samples and for values with ties, so it does not alarm too often.

    Arguments:
        reference: (m,) finite values.
        window: (n,) finite values.
    """
    from scipy.special import kolmogi, kolmogorov

    pooled = np.sort(np.concatenate([reference, window]))
    if pooled[-1] - pooled[0] <= _ROUNDING * max(abs(pooled[0]), abs(pooled[-1])):
        return _SAME_CONSTANT
    below = [np.searchsorted(np.sort(sample), pooled, side="right") / len(sample) for sample in (reference, window)]
    distance = float(np.abs(below[0] - below[1]).max())
    root = float(np.sqrt(len(reference) * len(window) / (len(reference) + len(window))))
    return Comparison(
        distance,
        p_value=float(kolmogorov(distance * root)),
        by_chance=_MEAN / root,
        critical=lambda level: float(kolmogi(level)) / root,
    )


def compare_categories(reference: npt.NDArray[Any], window: npt.NDArray[Any]) -> Comparison:
    """Half the summed difference of the categories' shares (total variation), with a permutation test.

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
    dealt = np.random.default_rng(0).multivariate_hypergeometric(pooled, n, size=_PERMUTATIONS, method="marginals")
    null = np.sort(total_variation(dealt))[::-1]
    as_far = int(np.count_nonzero(null >= distance - 1e-12))

    def critical(level: float) -> float:
        allowed = int(level * (_PERMUTATIONS + 1))
        farthest = null[allowed - 1] if allowed else 1.0
        return float(farthest) + 1e-9

    return Comparison(distance, (1 + as_far) / (_PERMUTATIONS + 1), float(null.mean()), critical)


def compare_vectors(reference: npt.NDArray[np.float64], window: npt.NDArray[np.float64]) -> Comparison:
    """The square root of the energy coefficient of two samples of vectors, with a permutation test.

    Székely and Rizzo, "Energy statistics: a class of statistics based on distances", J. Stat. Plan. Inference 143,
    2013: 2 E|X − Y| − E|X − X′| − E|Y − Y′|, as a share of 2 E|X − Y|; 0 for equal distributions, 1 for two different
    constants. It is the kernel two-sample test with the kernel of distances, and has no width to choose.

    Arguments:
        reference: (m, d) finite values on one scale; of more than 500, as many are taken, evenly.
        window: (n, d), likewise.
    """
    from scipy.spatial.distance import cdist

    x, y = (_thinned(sample) for sample in (reference, window))
    m, n = len(x), len(y)
    pooled = np.concatenate([x, y])
    gaps = cdist(pooled, pooled)
    if gaps.max() <= _ROUNDING * np.abs(pooled).max(initial=1.0):
        return _SAME_CONSTANT
    rng = np.random.default_rng(0)
    order = np.concatenate([np.arange(m + n)[None], rng.permuted(np.tile(np.arange(m + n), (_DEALT, 1)), axis=1)])
    in_window = np.zeros((len(order), m + n))
    np.put_along_axis(in_window, order[:, m:], 1.0, axis=1)
    reach = in_window @ gaps  # of each vector: summed distance to the window
    inside, to_window = (reach * in_window).sum(axis=1), reach.sum(axis=1)
    across = (to_window - inside) / (m * n)
    rest = (gaps.sum() - 2 * to_window + inside) / (m * m)
    energy = np.clip(2 * across - inside / (n * n) - rest, 0, None)
    found = np.sqrt(energy / np.maximum(2 * across, 1e-300))
    distance, null = float(found[0]), np.sort(found[1:])[::-1]
    as_far = int(np.count_nonzero(null >= distance - 1e-12))

    def critical(level: float) -> float:
        allowed = int(level * (_DEALT + 1))
        return float(null[allowed - 1] if allowed else null[0]) + 1e-9

    return Comparison(distance, (1 + as_far) / (_DEALT + 1), float(null.mean()), critical)


def _thinned(sample: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if len(sample) <= _MOST_VECTORS:
        return sample
    return np.asarray(sample[np.linspace(0, len(sample) - 1, _MOST_VECTORS).round().astype(int)])
