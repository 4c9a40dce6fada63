"""Report contents, computed from a run, its reference and the decision; the page lays them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.contracts import Check, DriftDecision, InferenceRun
from components.monitoring.drift.anomalies import Deviation, find_anomalies
from components.monitoring.drift.pairs import Pair, aligned, label, pair_columns, short
from components.monitoring.drift.tables import (
    PIECE,
    DriftTable,
    opened_run,
    read_reference,
    read_window,
    spread_rows,
)
from components.monitoring.performance.accuracy import AccuracyReport
from components.monitoring.report.advice import Advice, advise
from components.monitoring.report.pictures import (
    drift_scores,
    pictures_of,
    representatives,
    row_name,
    row_picture,
)
from components.monitoring.report.quality import ErrorGroup, Quality, group_errors, read_quality
from components.monitoring.store.pictures import Picture, reference_pictures
from components.monitoring.store.stored import TrendPoint

CONFIDENCES = ("prediction_confidence", "prediction_confidence_mean")
CLASSES = ("prediction_class", "prediction_top_class")
COUNT = "prediction_count"

_SHOWN = 6  # pictures of the window
_ORDINARY = 6  # of the reference
_WORST = 6
_LOOKED_AT = 20_000  # rows of a window among which pictures are chosen
_TOLD = 2  # deviations of an image


@dataclass(frozen=True)
class Worst:
    """An image to look at first, and why."""

    name: str
    why: str
    picture: Picture | None


@dataclass(frozen=True)
class Findings:
    """All that the page shows.

    Arguments:
        run: the window.
        decision: what is said of it.
        pairs: column → its values in both tables; classes are named where the run knows their
            names.
        quality: of the window's rows.
        errors: why images failed.
        representative: images of the window: those that show the drift, or evenly spread ones
            without a drift.
        ordinary: images of the reference.
        unusual: images that are unlike the reference's.
        unsure: images of the lowest confidence.
        advice: what to do.
        trend: earlier windows and this one, in time order.
        checks: of the alerts.
        accuracy: where labels came or it was estimated.
    """

    run: InferenceRun
    decision: DriftDecision
    pairs: Mapping[str, Pair]
    quality: Quality
    errors: tuple[ErrorGroup, ...] = ()
    representative: tuple[Picture, ...] = ()
    ordinary: tuple[Picture, ...] = ()
    unusual: tuple[Worst, ...] = ()
    unsure: tuple[Worst, ...] = ()
    advice: tuple[Advice, ...] = ()
    trend: tuple[TrendPoint, ...] = ()
    checks: tuple[Check, ...] = ()
    accuracy: AccuracyReport | None = None

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the columns that moved beyond their limits, the farthest first."""
        return tuple(column.column for column in self.decision.columns if column.drifted)


@dataclass(frozen=True, eq=False)
class Sides:
    """Reference and window with the same columns, and pictures of the reference.

    Arguments:
        reference: the rows that the window was judged by.
        window: its rows.
        pictures: row of `reference` → its picture, of a few rows.
    """

    reference: DriftTable
    window: DriftTable
    pictures: Mapping[int, Picture]

    @classmethod
    def read(cls, run: InferenceRun, reference: Path, condition: str) -> Sides:
        """Read both tables; of a reference with several conditions the part that was decided on.

        Raises:
            DatasetError: a file is missing or is not what it should be.
            IncompatibleError: the columns differ.
        """
        before, after = aligned(read_reference(reference), read_window(run))
        rows = before.rows_like(condition)
        places = {row: place for place, row in enumerate(rows.tolist())}
        kept = {
            places[row]: picture for row, picture in reference_pictures(reference) if row in places
        }
        return cls(before.rows(rows), after, kept)


def explain(run: InferenceRun, reference: Path, decision: DriftDecision) -> Findings:
    """Return a report's contents without the page: pictures, both sides of every column, advice.

    Arguments:
        run: the window.
        reference: what it was compared with.
        decision: what `assess` said.

    Raises:
        DatasetError: a file of the run or the reference is missing or is not what it should be.
        IncompatibleError: run and reference differ in their columns.
    """
    return find(run, Sides.read(run, reference, decision.condition), decision)


@dataclass(frozen=True)
class ReportContext:
    """Further contents of a report beside the decision.

    Arguments:
        trend: earlier windows, in time order.
        checks: what the alerts said.
        accuracy: of the window, measured or estimated.
        at: when the window was, for the lines over time; by default when its newest row was
            predicted, or now. What was predicted before is used again, with its old time.
    """

    trend: Sequence[TrendPoint] = ()
    checks: Sequence[Check] = ()
    accuracy: AccuracyReport | None = None
    at: datetime | None = None


def find(
    run: InferenceRun, sides: Sides, decision: DriftDecision, context: ReportContext | None = None
) -> Findings:
    """Gather what the page shows.

    Arguments:
        run: the window.
        sides: its table and the reference's.
        decision: what `assess` said.
        context: what is shown beside it.

    Raises:
        DatasetError: the run has no readable table.
    """
    context = context or ReportContext()
    quality = read_quality(run)
    names = class_names(run)
    found, _ = pair_columns(sides.reference, sides.window, minimum_values=1)
    pairs = {pair.column: _named(pair, names) for pair in found if len(pair.window)}
    moved = {column.column: pairs[column.column] for column in decision.columns if column.drifted}
    representative, ordinary = _pictures(sides, list(moved))
    point = _point(
        quality, pairs, decision, context.accuracy, context.at or quality.last or datetime.now(UTC)
    )
    return Findings(
        run,
        decision,
        pairs,
        quality,
        errors=group_errors(run.failures),
        representative=representative,
        ordinary=ordinary,
        unusual=_unusual(sides),
        unsure=_unsure(sides.window),
        advice=advise(decision, moved, quality, context.checks),
        trend=(*context.trend, point),
        checks=tuple(context.checks),
        accuracy=context.accuracy,
    )


def class_names(run: InferenceRun) -> dict[str, str]:
    """Class id → name, as far as the run's detections tell; none for a run without a table of them.

    Raises:
        DatasetError: the table is damaged.
    """
    import pyarrow as pa

    if not run.detections.exists():
        return {}
    names: dict[str, str] = {}
    with opened_run(run.detections) as file:
        for part in file.iter_batches(columns=["class_id", "class_name"], batch_size=PIECE):
            unique = (
                pa.Table.from_batches([part]).group_by(["class_id", "class_name"]).aggregate([])
            )
            names |= {str(row["class_id"]): str(row["class_name"]) for row in unique.to_pylist()}
    return names


def _named(pair: Pair, names: Mapping[str, str]) -> Pair:
    if pair.column not in CLASSES or not pair.is_category or not names:
        return pair
    sides = []
    for values in (pair.reference, pair.window):
        ids, places = np.unique(values, return_inverse=True)
        sides.append(np.array([names.get(name, name) for name in ids.tolist()], np.str_)[places])
    return replace(pair, reference=sides[0], window=sides[1])


def _point(
    quality: Quality,
    pairs: Mapping[str, Pair],
    decision: DriftDecision,
    accuracy: AccuracyReport | None,
    at: datetime,
) -> TrendPoint:
    confidence = next((pairs[name] for name in CONFIDENCES if name in pairs), None)
    return TrendPoint(
        at,
        decision.state,
        decision.window_samples,
        quality.failed / max(1, quality.rows),
        float(np.median(confidence.window)) if confidence else None,
        max(
            (column.distance / column.threshold for column in decision.columns if column.threshold),
            default=None,
        ),
        accuracy.score.value if accuracy and not accuracy.estimated else None,
    )


def _pictures(
    sides: Sides, moved: Sequence[str]
) -> tuple[tuple[Picture, ...], tuple[Picture, ...]]:
    """Of the window those that show the drift, of the reference those that show it least."""
    kept = sorted(sides.pictures)
    if not sides.window.samples or (not kept and "uri" not in sides.window.names):
        return (), ()
    window = sides.window.rows(spread_rows(sides.window.samples, _LOOKED_AT))
    if moved:
        before, after, features = drift_scores(sides.reference, window, moved)
        rows = representatives(after, features, 3 * _SHOWN)
        kept.sort(key=lambda row: before[row])
    else:
        rows = np.arange(0, window.samples, max(1, window.samples // _SHOWN))
        kept = kept[:: max(1, len(kept) // _ORDINARY)]
    return tuple(pictures_of(window, rows.tolist(), _SHOWN)), tuple(
        sides.pictures[row] for row in kept[:_ORDINARY]
    )


def _unusual(sides: Sides) -> tuple[Worst, ...]:
    """Return the images farthest from the reference, with the values that make them so.

    `_unsure` tells of confidence.
    """
    reference = sides.reference.numbers
    window = {
        name: values for name, values in sides.window.numbers.items() if "confidence" not in name
    }
    if not sides.window.samples:
        return ()
    places = [str(row) for row in range(sides.window.samples)]  # rows, since names may repeat
    found = find_anomalies(reference, window, places).found[:_WORST]
    return tuple(
        _worst(
            sides.window,
            int(anomaly.image_id),
            "; ".join(_told(deviation, reference) for deviation in anomaly.deviations[:_TOLD]),
        )
        for anomaly in found
    )


def _told(deviation: Deviation, reference: Mapping[str, npt.NDArray[np.float64]]) -> str:
    usual = float(np.nanmedian(reference[deviation.column]))
    side = "above" if deviation.z > 0 else "below"
    return (
        f"{label(deviation.column)} {short(deviation.value)}, far {side} the usual {short(usual)}"
    )


def _unsure(window: DriftTable) -> tuple[Worst, ...]:
    column = next((name for name in CONFIDENCES if name in window.columns), None)
    if column is None:
        return ()
    values = window.columns[column]
    rows = [
        row
        for row in np.argsort(values, kind="stable")[:_WORST].tolist()
        if np.isfinite(values[row])
    ]
    return tuple(_worst(window, row, f"confidence {values[row]:.2f}") for row in rows)


def _worst(window: DriftTable, row: int, why: str) -> Worst:
    return Worst(row_name(window, row), why, row_picture(window, row))
