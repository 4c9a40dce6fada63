"""Latency–accuracy plot of a benchmark: what each variant costs and keeps, and which one ships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.contracts import BenchmarkReport, Measurement

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _BEATEN, _FRONT, _CHOSEN = "#1b2430", "#707a89", "#2f6fce", "#c9364b"
_METRICS = {
    "map50_95": "mAP 50–95",
    "map50": "mAP 50",
    "top1": "top-1 accuracy",
    "top5": "top-5 accuracy",
}
# label offsets in points
_PLACES = ((8, 8), (8, -16), (-8, 8), (-8, -16), (8, 22), (8, -30), (-8, 22), (-8, -30))


@dataclass(frozen=True)
class _Point:
    variant: str
    ms: float
    low_ms: float
    high_ms: float
    accuracy: float
    colour: str
    ships: bool


def pareto_front(points: Sequence[tuple[float, float]]) -> tuple[int, ...]:
    """Indices of the points that no other beats, by latency.

    Arguments:
        points: (latency, accuracy); less latency and more accuracy are better.
    """
    front: list[int] = []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[index][1] > points[front[-1]][1]:
            front.append(index)
    return tuple(front)


def draw_latency_accuracy(report: BenchmarkReport, output: Path) -> bool:
    """Draw median latency against accuracy as PNG; error bars are the 95 % interval of the median.

    Returns:
        False, and nothing is written, when no variant has both numbers.
    """
    measured = [
        m
        for m in report.measurements
        if m.latency.p50_ms is not None and report.metric in m.accuracy
    ]
    if not measured:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    points = _points(report, measured)
    _draw_points(axes, points)
    _draw_floor(axes, report)
    _decorate(axes, report, len(report.measurements) - len(points))
    figure.draw_without_rendering()  # places the axes, so that labels can be measured
    _label(axes, points)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output)
    return True


def _points(report: BenchmarkReport, measured: Sequence[Measurement]) -> list[_Point]:
    front = pareto_front([(m.latency.p50_ms or 0.0, m.accuracy[report.metric]) for m in measured])
    points = []
    for index, measurement in enumerate(measured):
        latency, ships = measurement.latency, measurement.variant == report.chosen
        middle = latency.p50_ms or 0.0
        points.append(
            _Point(
                measurement.variant,
                middle,
                middle if latency.p50_low_ms is None else min(middle, latency.p50_low_ms),
                middle if latency.p50_high_ms is None else max(middle, latency.p50_high_ms),
                measurement.accuracy[report.metric],
                _CHOSEN if ships else _FRONT if index in front else _BEATEN,
                ships,
            )
        )
    return points


def _draw_points(axes: Axes, points: Sequence[_Point]) -> None:
    front = [points[i] for i in pareto_front([(p.ms, p.accuracy) for p in points])]
    axes.plot(
        [p.ms for p in front],
        [p.accuracy for p in front],
        drawstyle="steps-post",
        color=_FRONT,
        linewidth=1.4,
        alpha=0.7,
        label="Pareto front",
        zorder=1,
    )
    for point in points:
        axes.errorbar(
            point.ms,
            point.accuracy,
            xerr=[[point.ms - point.low_ms], [point.high_ms - point.ms]],
            fmt="*" if point.ships else "o",
            markersize=15 if point.ships else 7,
            color=point.colour,
            elinewidth=1.2,
            capsize=3,
            label="chosen" if point.ships else None,
            zorder=3 if point.ships else 2,
        )


def _draw_floor(axes: Axes, report: BenchmarkReport) -> None:
    baseline = report.of(report.baseline).accuracy.get(report.metric)
    drop = report.target.budget.max_accuracy_drop
    if baseline is not None and drop is not None:
        name = f"accuracy floor (baseline − {drop:g})"
        axes.axhline(baseline - drop, color=_INK, linewidth=0.9, linestyle=":", label=name)


def _decorate(axes: Axes, report: BenchmarkReport, missing: int) -> None:
    where = f"target {report.target.name}" + (
        ", measured on host" if report.target.measured_on_host else ""
    )
    absent = (
        f" · {missing} variant{'s' if missing > 1 else ''} without these numbers not shown"
        if missing
        else ""
    )
    axes.set_title(f"Latency and accuracy by variant, {where}", loc="left", color=_INK, fontsize=11)
    axes.set_xlabel(f"median latency at batch 1, ms (bars: 95 % interval){absent}", color=_INK)
    axes.set_ylabel(_METRICS.get(report.metric, report.metric), color=_INK)
    axes.ticklabel_format(useOffset=False)
    axes.margins(x=0.18, y=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.legend(frameon=False, fontsize=8, loc="best")


def _label(axes: Axes, points: Sequence[_Point]) -> None:
    """Name each point, in its colour, where text covers the fewest others; the first wins ties."""
    from matplotlib.transforms import Bbox

    centres = [axes.transData.transform((point.ms, point.accuracy)) for point in points]
    taken = [Bbox.from_extents(x - 6, y - 6, x + 6, y + 6) for x, y in centres]
    for point in points:
        candidates = []
        for dx, dy in _PLACES:
            text = axes.annotate(
                point.variant,
                (point.ms, point.accuracy),
                xytext=(dx, dy),
                textcoords="offset points",
                ha="left" if dx > 0 else "right",
                fontsize=8.5,
                color=point.colour,
                fontweight="bold" if point.ships else "normal",
            )
            box = text.get_window_extent()
            outside = box.x0 < axes.bbox.x0 or box.x1 > axes.bbox.x1
            candidates.append((box.count_overlaps(taken) + outside * len(points), text, box))
        best = min(candidates, key=lambda candidate: candidate[0])
        for candidate in candidates:
            if candidate is not best:
                candidate[1].remove()
        taken.append(best[2])
