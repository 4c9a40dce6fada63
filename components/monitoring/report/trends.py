"""Trends of a model from window to window, as small line charts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from components.monitoring.drift.pairs import short
from components.monitoring.store.stored import TrendPoint
from components.printing import counted

_WIDTH, _HEIGHT, _TOP, _FLOOR = 320, 110, 10, 88  # drawing units


MAX = 60  # windows; more dots than that are no longer told apart


@dataclass(frozen=True)
class _Line:
    """One drawing: its title, what it shows of a point, how a value is written, and a limit to mark."""

    title: str
    value: Callable[[TrendPoint], float | None]
    write: Callable[[float], str]
    limit: float | None = None


def _percent(value: float) -> str:
    return f"{value:.1%}"


_LINES = (
    _Line(
        "Distance of the farthest column, in limits", lambda point: point.distance, lambda value: f"{value:.2f}", 1.0
    ),
    _Line("Median confidence", lambda point: point.confidence, _percent),
    _Line("Accuracy", lambda point: point.accuracy, _percent),
    _Line("Images that failed", lambda point: point.failed_share, _percent),
    _Line("Images with a prediction", lambda point: float(point.images), short),
)


def draw_trends(points: Sequence[TrendPoint]) -> list[tuple[str, str, str]]:
    """One drawing for each quantity that at least two windows have.

    Arguments:
        points: in time order, the present one last; of more than 60 the latest.

    Returns:
        Title, the change in words, and the inline SVG.
    """
    points = points[-MAX:]
    drawn = []
    for line in _LINES:
        values = [line.value(point) for point in points]
        known = [value for value in values if value is not None]
        if len(known) >= 2:
            change = f"{line.write(known[-2])} → {line.write(known[-1])}"
            drawn.append((line.title, change, _draw(line, points, values)))
    return drawn


def _draw(line: _Line, points: Sequence[TrendPoint], values: Sequence[float | None]) -> str:
    known = [value for value in (*values, line.limit) if value is not None]
    low, high = min(0.0, *known), max(known) or 1.0
    step = (_WIDTH - 16) / max(1, len(points) - 1)
    places = [
        None if value is None else (8 + k * step, _FLOOR - (value - low) / (high - low) * (_FLOOR - _TOP))
        for k, value in enumerate(values)
    ]
    path, pen = "", "M"
    for place in places:  # a window without a value leaves a gap
        path += f"{pen}{place[0]:.1f} {place[1]:.1f}" if place else ""
        pen = "L" if place else "M"
    dots = "".join(
        f'<circle class="{point.state.value}" cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="3.5">'
        f"<title>{point.at:%Y-%m-%d %H:%M}: {escape(line.write(value))}</title></circle>"
        for point, place, value in zip(points, places, values, strict=True)
        if place and value is not None
    )
    mark = ""
    if line.limit is not None:
        height = _FLOOR - (line.limit - low) / (high - low) * (_FLOOR - _TOP)
        mark = f'<line class="limit" x1="0" y1="{height:.1f}" x2="{_WIDTH}" y2="{height:.1f}"/>'
    texts = "".join(
        f'<text x="{x}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{point.at:%Y-%m-%d}</text>'
        for x, anchor, point in ((0, "start", points[0]), (_WIDTH, "end", points[-1]))
    )
    about = f"{escape(line.title)} over {counted(len(points), 'window')}"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{about}">'
        f'<line class="axis" x1="0" y1="{_FLOOR}" x2="{_WIDTH}" y2="{_FLOOR}"/>{mark}'
        f'<path class="trend" d="{path}"/>{dots}{texts}</svg>'
    )
