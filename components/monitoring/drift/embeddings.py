"""Embeddings on one scale and in few dimensions, so that two samples of them can be compared."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float64]

_DIMENSIONS = 32
_SMALLEST_CHANGE = 0.02  # of each value's usual size
_MAX_ROWS = 2000  # that the scale and the axes are learnt from


def reduced(reference: Vectors, window: Vectors) -> tuple[Vectors, Vectors]:
    """Reference and window along the reference's own main axes.

    The axes are learnt from every other row of the reference and the remaining ones are returned:
    rows that had shaped the axes would lie closer to them than fresh ones do.

    Arguments:
        reference: (m, d) float64 with m ≥ 4.
        window: (n, d) float64.

    Returns:
        (⌊m / 2⌋, k) and (n, k) float64, k ≤ 32.
    """
    mean, axes = _axes(reference[::2])
    return (reference[1::2] - mean) @ axes, (window - mean) @ axes


def smallest_distance(reference: Vectors) -> float:
    """Return the length along the main axes of a change that means nothing.

    It is a change by a small share of each value.

    Arguments:
        reference: (m, d) float64 with m ≥ 4.
    """
    _, axes = _axes(reference[::2])
    sizes = np.sqrt((reference**2).mean(axis=0))
    return float(_SMALLEST_CHANGE * np.linalg.norm(sizes[:, None] * axes))


def projected(reference: Vectors, images: Vectors) -> Vectors:
    """Project images on the main axes of the whole reference: (n, d) → (n, k), k ≤ 32.

    This is for ranking, not for testing.

    An image without an embedding, NaN, lies in the middle.
    """
    mean, axes = _axes(reference[np.isfinite(reference).all(axis=1)])
    return np.nan_to_num((images - mean) @ axes)


def outlyingness(reference: Vectors, images: Vectors) -> npt.NDArray[np.float64]:
    """Rank images' distances from the reference's middle among those of the reference: (n,) in 0–1.

    Arguments:
        reference: (m, d) float64 with m ≥ 4.
        images: (n, d) float64.
    """
    ours, theirs = (np.linalg.norm(values, axis=1) for values in reduced(reference, images))
    return np.asarray(np.searchsorted(np.sort(ours), theirs, side="left") / len(ours))


def outlying(reference: Vectors, images: Vectors) -> float:
    """The share of images that lie farther out than 99 % of the reference."""
    return float((outlyingness(reference, images) > 0.99).mean())


def _axes(rows: Vectors) -> tuple[Vectors, Vectors]:
    """Return the middle (d,) and the main axes (d, k), scaled to a spread of about one a value."""
    rows = rows[:: max(1, len(rows) // _MAX_ROWS)]
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    scale = np.where(spread > 1e-9, 1 / np.maximum(spread, 1e-9), 0.0)
    scaled = (rows - mean) * scale
    if len(scaled) > scaled.shape[1]:
        # then the covariance is the smaller matrix, and ten times as fast
        axes = np.linalg.eigh(scaled.T @ scaled)[1][:, ::-1]
    else:
        axes = np.linalg.svd(scaled, full_matrices=False)[2].T
    return mean, scale[:, None] * axes[:, :_DIMENSIONS]
