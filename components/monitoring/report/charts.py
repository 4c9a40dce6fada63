"""Small drawings of one column in reference and window, as inline SVG."""

from __future__ import annotations

from html import escape

import numpy as np
import numpy.typing as npt

from components.monitoring.drift.embeddings import reduced
from components.monitoring.drift.pairs import Pair, short

_WIDTH, _HEIGHT, _FLOOR = 320, 130, 108  # drawing units; the floor is where the bars stand
_BINS = 24
_CATEGORIES = 10

Shares = npt.NDArray[np.float64]
Ticks = list[tuple[float, str]]  # where on the axis, 0–1, and what is written there


def draw(pair: Pair) -> str:
    """Both distributions of a column over each other; shares of the images, so that sizes do not matter."""
    ticks, before, after = _categories(pair) if pair.is_category else _histogram(*_numbers(pair))
    highest = max(float(before.max()), float(after.max()), 1e-9)
    step = _WIDTH / len(before)
    bars = []
    for kind, shares in (("before", before), ("after", after)):
        for k, share in enumerate(shares):
            height = share / highest * (_FLOOR - 6)
            if height > 0:
                bars.append(
                    f'<rect class="{kind}" x="{k * step + 1:.1f}" y="{_FLOOR - height:.1f}" '
                    f'width="{step - 2:.1f}" height="{height:.1f}" rx="1.5"/>'
                )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(f"Histogram of {pair.column}: {pair.describe()}")}">'
        f"{''.join(bars)}{_axis(ticks)}</svg>"
    )


def _categories(pair: Pair) -> tuple[Ticks, Shares, Shares]:
    """The most frequent categories; the others are drawn as one."""
    names, before, after = pair.shares()
    keep = np.sort(np.argsort(-(before + after), kind="stable")[:_CATEGORIES])
    labels = [str(name) for name in names[keep]]
    if len(names) > _CATEGORIES:
        before, after = (np.append(shares[keep], 1 - shares[keep].sum()) for shares in (before, after))
        labels.append("other")
    room = 56 // len(labels)  # letters that fit below a bar
    short = [name if len(name) <= room else f"{name[: room - 1]}…" for name in labels]
    return [((k + 0.5) / len(labels), name) for k, name in enumerate(short)], before, after


def _numbers(pair: Pair) -> tuple[Shares, Shares]:
    """A column's values; vectors as their position on the way from the reference's middle to the window's."""
    if not pair.is_vector:
        return pair.reference, pair.window
    before, after = reduced(pair.reference, pair.window)
    way = after.mean(axis=0) - before.mean(axis=0)
    length = float(np.linalg.norm(way)) or 1.0
    return before @ way / length, after @ way / length


def _histogram(reference: Shares, window: Shares) -> tuple[Ticks, Shares, Shares]:
    """Shares in equal bins between the extremes that matter; what lies outside is in the outermost bins."""
    pooled = np.concatenate([reference, window])
    low, high = np.quantile(pooled, (0.005, 0.995))
    if low == high:
        low, high = pooled.min(), pooled.max()
    edges = np.linspace(low, high, _BINS + 1)
    before, after = (np.histogram(np.clip(values, low, high), edges)[0] / len(values) for values in (reference, window))
    return [(0.0, short(low)), (0.5, short((low + high) / 2)), (1.0, short(high))], before, after


def _axis(ticks: Ticks) -> str:
    anchors = {0.0: "start", 1.0: "end"}
    texts = "".join(
        f'<text x="{position * _WIDTH:.1f}" y="{_HEIGHT - 6}" text-anchor="{anchors.get(position, "middle")}">'
        f"{escape(name)}</text>"
        for position, name in ticks
    )
    return f'<line class="axis" x1="0" y1="{_FLOOR}" x2="{_WIDTH}" y2="{_FLOOR}"/>{texts}'
