"""Serial dependence: how many independent images a sequence of neighbouring frames is worth.

Frames of one camera resemble their neighbours, so a hundred of them say less than a hundred
photographs. The factor by which the variance of a mean grows is the integrated autocorrelation time
τ = 1 + 2 Σ ρ(k): n rows are worth n / τ.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from components.contracts.arrays import Floats

Sequences = npt.NDArray[np.int64]

_QUANTILE = 3.09  # of the normal distribution, at 0.1 %: below it a sequence counts as independent
_MIN_ROWS = 20
_MAX_DIMENSIONS = 32


def autocorrelation_time(
    values: npt.NDArray[np.generic], sequences: Sequences, smallest_change: float = 0.0
) -> float:
    """Estimate τ of rows in the order in which they were taken.

    It is 1 for rows that are independent, or too few to tell.

    The sum is Geyer's initial positive sequence (Stat. Sci. 7, 1992). It is taken only where the
    sum of the first √n autocorrelations, with Bartlett's weights, is larger than independent rows
    reach in one case of a thousand: so a table in random order keeps all of its rows.

    Arguments:
        values: (n,) numbers or names, or (n, d) vectors; finite.
        sequences: (n,) labels; rows of different labels are from different places or times, and
            each sequence is compared with its own mean.
        smallest_change: in the unit of the values; variation below it is taken for noise, which
            does not depend on its neighbours.
    """
    rows = _centred(_numbers(values), sequences)
    count = len(rows)
    variance = float((rows**2).sum() / max(count, 1))
    if count < _MIN_ROWS or variance <= 0:
        return 1.0
    correlations = _correlations(rows)
    lags = int(np.sqrt(count))
    weights = 1 - np.arange(1, lags + 1) / (lags + 1)
    found = float((weights * correlations[1 : lags + 1]).sum())
    if found <= _QUANTILE * float(
        np.sqrt((weights**2).sum() / (count * _independent_dimensions(rows)))
    ):
        return 1.0
    time = max(1.0, _initial_positive(correlations))
    noise = smallest_change**2
    return (time * variance + noise) / (variance + noise)


def neighbour_noise(values: Floats, sequences: Sequences) -> float:
    """Estimate the noise between neighbouring rows of one sequence from their differences.

    It is given as a standard deviation.

    The largest twentieth of the differences is left out: an object that comes or goes is no noise.

    Arguments:
        values: (n,) or (n, d), finite; of vectors the root of the summed variances is given.
        sequences: (n,) labels.
    """
    rows = values.reshape(len(values), -1)
    steps = np.linalg.norm(np.diff(rows, axis=0), axis=1)[np.diff(sequences) == 0]
    usual = np.sort(steps)[: -(-19 * len(steps) // 20)]
    return float(np.sqrt((usual**2).mean() / 2)) if len(usual) else 0.0


def _numbers(values: npt.NDArray[np.generic]) -> Floats:
    """Values as (n, d) numbers: names as one column for each of the 32 most frequent."""
    if values.dtype.kind == "U":
        _, rows, counts = np.unique(values, return_inverse=True, return_counts=True)
        frequent = np.argsort(-counts, kind="stable")[:_MAX_DIMENSIONS]
        return np.asarray(rows[:, None] == frequent[None], np.float64)
    return np.asarray(values, np.float64).reshape(len(values), -1)


def _centred(rows: Floats, sequences: Sequences) -> Floats:
    """Rows without the mean of their sequence."""
    _, label = np.unique(sequences, return_inverse=True)
    sums = np.zeros((int(label.max(initial=-1)) + 1, rows.shape[1]))
    np.add.at(sums, label, rows)
    return np.asarray(rows - (sums / np.maximum(np.bincount(label), 1)[:, None])[label])


def _correlations(rows: Floats) -> Floats:
    """Compute autocorrelations of lag 0 … n − 1 by the fast Fourier transform.

    Those of vectors go by their inner products.
    """
    from scipy.fft import next_fast_len

    count = len(rows)
    spectrum = np.abs(np.fft.rfft(rows, next_fast_len(2 * count), axis=0)) ** 2
    products = np.fft.irfft(spectrum.sum(axis=1), next_fast_len(2 * count))[:count]
    return np.asarray(products / products[0])


def _independent_dimensions(rows: Floats) -> float:
    """Compute in how many dimensions the vectors really vary.

    That is the participation ratio of the covariance's eigenvalues.
    """
    covariance = rows.T @ rows
    return float(np.trace(covariance) ** 2 / (covariance**2).sum())


def _initial_positive(correlations: Floats) -> float:
    """τ from the sums of neighbouring autocorrelations, up to the first that is not positive."""
    even = correlations[: len(correlations) // 2 * 2].reshape(-1, 2).sum(axis=1)
    stops = np.flatnonzero(even <= 0)
    return float(2 * even[: stops[0] if len(stops) else len(even)].sum() - 1)
