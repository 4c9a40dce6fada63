"""Trends of a model from window to window, as the numbers that the page's template draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from components.monitoring.drift.pairs import short
from components.monitoring.store.stored import TrendPoint

MAX = 60  # windows; more dots than that are no longer told apart


class Dot(NamedTuple):
    """One window's value: place and height in 0–1, and whether a line leads there."""

    x: float
    y: float
    joined: bool
    state: str
    text: str


class Trend(NamedTuple):
    """One quantity over the windows; `limit` is a height in 0–1, like those of the dots."""

    title: str
    change: str
    dots: tuple[Dot, ...]
    limit: float | None


class _Quantity(NamedTuple):
    title: str
    value: Callable[[TrendPoint], float | None]
    write: Callable[[float], str]
    limit: float | None = None


_QUANTITIES = (
    _Quantity(
        "Distance of the farthest column, in limits",
        lambda point: point.distance,
        "{:.2f}".format,
        1.0,
    ),
    _Quantity("Median confidence", lambda point: point.confidence, "{:.1%}".format),
    _Quantity("Accuracy", lambda point: point.accuracy, "{:.1%}".format),
    _Quantity("Images that failed", lambda point: point.failed_share, "{:.1%}".format),
    _Quantity("Images with a prediction", lambda point: point.images, short),
)


def draw_trends(points: Sequence[TrendPoint]) -> list[Trend]:
    """Draw each quantity that at least two windows have.

    Arguments:
        points: in time order, the present one last.
    """
    series = [(quantity, [quantity.value(point) for point in points]) for quantity in _QUANTITIES]
    return [
        _draw(quantity, points, values)
        for quantity, values in series
        if len(values) - values.count(None) >= 2
    ]


def _draw(
    quantity: _Quantity, points: Sequence[TrendPoint], values: Sequence[float | None]
) -> Trend:
    known = [value for value in values if value is not None]
    limits = [] if quantity.limit is None else [quantity.limit]
    low, high = min(0.0, *known, *limits), max(*known, *limits) or 1.0

    def height(value: float) -> float:
        return (value - low) / (high - low)

    dots = tuple(
        Dot(
            k / (len(points) - 1),
            height(value),
            k > 0 and values[k - 1] is not None,
            point.state.value,
            f"{point.at:%Y-%m-%d %H:%M}: {quantity.write(value)}",
        )
        for k, (point, value) in enumerate(zip(points, values, strict=True))
        if value is not None
    )
    return Trend(
        quantity.title,
        f"{quantity.write(known[-2])} → {quantity.write(known[-1])}",
        dots,
        None if quantity.limit is None else height(quantity.limit),
    )
