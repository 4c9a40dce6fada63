"""Drawings of one column in reference and window, as the numbers that the page's template draws."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from components.monitoring.drift.embeddings import reduced
from components.monitoring.drift.pairs import Pair, short

_BINS = 24
_CATEGORIES = 10

Shares = npt.NDArray[np.float64]


class Tick(NamedTuple):
    """A text below the axis, and its place from 0 at the left to 1."""

    x: float
    text: str


class Chart(NamedTuple):
    """Both distributions of a column over each other: heights of bars in 0–1, the highest is 1."""

    column: str
    change: str
    before: tuple[float, ...]
    after: tuple[float, ...]
    ticks: tuple[Tick, ...]


def draw(pair: Pair) -> Chart:
    """Draw the shares of the images, so that sizes do not matter."""
    ticks, before, after = _categories(pair) if pair.is_category else _histogram(*_numbers(pair))
    highest = max(before.max(), after.max(), 1e-9)
    heights = [tuple((shares / highest).tolist()) for shares in (before, after)]
    return Chart(pair.column, pair.describe(), heights[0], heights[1], ticks)


def _categories(pair: Pair) -> tuple[tuple[Tick, ...], Shares, Shares]:
    """The most frequent categories; the others are drawn as one."""
    names, before, after = pair.shares()
    keep = np.sort(np.argsort(-(before + after), kind="stable")[:_CATEGORIES])
    labels = [str(name) for name in names[keep]]
    if len(names) > _CATEGORIES:
        before, after = (
            np.append(shares[keep], 1 - shares[keep].sum()) for shares in (before, after)
        )
        labels.append("other")
    room = 56 // len(labels)  # letters that fit below a bar
    short = [name if len(name) <= room else f"{name[: room - 1]}…" for name in labels]
    ticks = tuple(Tick((k + 0.5) / len(labels), name) for k, name in enumerate(short))
    return ticks, before, after


def _numbers(pair: Pair) -> tuple[Shares, Shares]:
    """Return a column's values on both sides.

    Vectors are their position on the way from the reference's middle to the window's.
    """
    if not pair.is_vector:
        return pair.reference, pair.window
    before, after = reduced(pair.reference, pair.window)
    way = after.mean(axis=0) - before.mean(axis=0)
    length = float(np.linalg.norm(way)) or 1.0
    return before @ way / length, after @ way / length


def _histogram(reference: Shares, window: Shares) -> tuple[tuple[Tick, ...], Shares, Shares]:
    """Return shares in equal bins between the extremes that matter.

    What lies outside is in the outermost bins.
    """
    pooled = np.concatenate([reference, window])
    low, high = np.quantile(pooled, (0.005, 0.995))
    if low == high:
        low, high = pooled.min(), pooled.max()
    edges = np.linspace(low, high, _BINS + 1)
    before, after = (
        np.histogram(np.clip(values, low, high), edges)[0] / len(values)
        for values in (reference, window)
    )
    values = (low, (low + high) / 2, high)
    return tuple(Tick(k / 2, short(value)) for k, value in enumerate(values)), before, after
