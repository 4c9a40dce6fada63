"""The parts of the report's page that are computed: plain records, which its template lays out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from components.monitoring.drift.pairs import label, short
from components.monitoring.performance.accuracy import AccuracyReport
from components.monitoring.report.charts import Chart, draw
from components.monitoring.report.findings import CLASSES, CONFIDENCES, COUNT, Findings
from components.monitoring.report.quality import Quality
from components.vision.scores import Score

_CHARTS = 6
_CLASSES = 10
_SIZES = 3
_ACCURACIES = 12  # classes and slices, the worst first


class ClassMix(NamedTuple):
    """The most frequent classes, each with its shares before and after; `others` are left out."""

    shown: tuple[tuple[str, float, float], ...]
    largest: float
    others: int


def moved(findings: Findings) -> list[Chart]:
    """Draw the columns that moved most, but for those that `predictions` shows."""
    told = {*CLASSES, *CONFIDENCES, COUNT}
    columns = findings.decision.columns
    shown = [one.column for one in columns if one.distance > 0 and one.column not in told]
    return _charts(findings, shown[:_CHARTS])


def predictions(findings: Findings) -> list[Chart]:
    """Draw the confidence and the number of detections in an image."""
    return _charts(findings, (*CONFIDENCES, COUNT))


def _charts(findings: Findings, columns: Iterable[str]) -> list[Chart]:
    return [draw(findings.pairs[name]) for name in columns if name in findings.pairs]


def class_mix(findings: Findings) -> ClassMix | None:
    """Rank the classes by their share; None where the run tells no class of an image."""
    pair = next((findings.pairs[name] for name in CLASSES if name in findings.pairs), None)
    if pair is None or not pair.is_category:
        return None
    names, before, after = pair.shares()
    ranked = np.argsort(-np.maximum(before, after), kind="stable")[:_CLASSES]
    shown = tuple((str(names[k]), before[k], after[k]) for k in ranked)
    return ClassMix(shown, max(before.max(), after.max()), len(names) - len(ranked))


def scores(report: AccuracyReport | None) -> list[tuple[str, Score]]:
    """List the scores of the whole, then of the worst classes and slices."""
    if report is None:
        return []
    parts = [*report.classes.items(), *report.slices.items()]
    parts.sort(key=lambda part: 2.0 if part[1].value is None else part[1].value)
    return [*report.scores.items(), *parts[:_ACCURACIES]]


def quality(found: Quality) -> list[tuple[str, str]]:
    """List the state of the rows themselves: names and values in words."""
    sizes = ", ".join(f"{size} ({count:,})" for size, count in list(found.sizes.items())[:_SIZES])
    more = len(found.sizes) - _SIZES
    repeated = "not known" if found.duplicates is None else _share(found.duplicates, found.rows)
    span, latency = "not known", "not known"
    if found.first and found.last:
        span = f"{found.first:%Y-%m-%d %H:%M} to {found.last:%Y-%m-%d %H:%M}"
    if found.latency_ms:
        latency = f"p50 {short(found.latency_ms[0])} ms, p95 {short(found.latency_ms[1])} ms"
    accepted = found.rows - found.failed
    return [
        ("Images", f"{found.rows:,}"),
        ("Without a prediction", _share(found.failed, found.rows)),
        ("Files that repeat another one", repeated),
        ("Blank images", _share(found.blank, found.rows)),
        ("Sizes in px", sizes + (f" and {more} more" if more > 0 else "") or "none"),
        ("Predicted (UTC)", span),
        ("Inference of an image", latency),
        *((f"No value in {label(name)}", _share(n, accepted)) for name, n in found.missing.items()),
    ]


def _share(count: int, total: int) -> str:
    return f"{count:,} ({count / total:.1%})" if count else "0"
