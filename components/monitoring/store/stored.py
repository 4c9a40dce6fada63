"""Past windows of the monitoring store: as runs to report on, and with evaluation results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from components.contracts import (
    DriftDecision,
    DriftState,
    FailedImage,
    InferenceRun,
    Verdict,
    dump,
    load,
)
from components.errors import DatasetError, IncompatibleError
from components.files import replacing, sha256_tree
from components.monitoring.drift.history import PastWindow
from components.monitoring.drift.tables import spread_rows
from components.monitoring.store.store import MonitoringStore
from components.monitoring.store.windows import WINDOW, Moment, Range, overlaps
from components.runs.finished import DETECTIONS, IMAGES, write_run

if TYPE_CHECKING:
    import pyarrow as pa

KIND = "drift"  # of the records
LATENCY = "latency_p95_increase"  # the check that keeps a slow window out of the accepted ones
_STAGES = ("inference_ms", "postprocess_ms")
IDENTITY = ("image_id", "sha256", WINDOW)
MAX_BATCHES = 30  # that a reference pools: what was accepted long ago says little of today
MAX_ROWS = 1_000  # of each of them


@dataclass(frozen=True)
class EvaluatedWindow:
    """A past window and the result of its evaluation.

    Arguments:
        key: of the window, as in the store.
        at: when it was judged.
        decision: what the policy said.
        summary: what the window is remembered by, as `summarise_window` gives it.
        trend_point: what later reports show of it.
        checks: the verdicts on its health by rule, as far as they were kept.
    """

    key: str
    at: datetime
    decision: DriftDecision
    summary: Mapping[str, float]
    trend_point: TrendPoint
    checks: Mapping[str, Verdict] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Tell whether no drift or fault was found."""
        return self.decision.state is DriftState.OK

    @property
    def past(self) -> PastWindow:
        """The window as the policy takes it."""
        return PastWindow(self.at, self.decision.raised, self.decision.fires)


def remember(
    store: MonitoringStore, name: str, version: int | str, window: EvaluatedWindow
) -> bool:
    """Store a window's result; an existing record is kept.

    Arguments:
        store: where.
        name: of the model.
        version: of the model.
        window: what was decided, under the key that the window has in the store.

    Returns:
        Whether it was not known before.
    """
    content = {field: value for field, value in dump(window).items() if field not in ("key", "at")}
    return store.put_record(name, version, KIND, window.key, content, at=window.at)


def evaluated_windows(
    store: MonitoringStore, name: str, version: int | str
) -> tuple[EvaluatedWindow, ...]:
    """Return the evaluated windows of a version, the latest last."""
    return tuple(
        load(EvaluatedWindow, {"key": record.key, "at": record.at, **record.content})
        for record in store.records(name, KIND, version)
    )


def accepted_batches(
    store: MonitoringStore, name: str, version: int | str, judged: Sequence[EvaluatedWindow]
) -> list[tuple[str, pa.Table]]:
    """The latest windows in which nothing was amiss: the condition of each, and rows of it.

    Of a window with more than 1,000 predictions as many are taken, evenly: with so many a distance
    is known to a few hundredths, and one busy night does not outweigh the others.
    """
    accepted = [window for window in judged if window.accepted][-MAX_BATCHES:]
    wanted = {window.key: window.decision.condition for window in accepted}
    chosen = (
        [window for window in store.windows(name, version) if window.key in wanted]
        if wanted
        else []
    )
    read = ((wanted[window.key], store.rows_of(name, window)) for window in chosen)
    return [(condition, _thinned(rows)) for condition, rows in read if rows is not None]


def _thinned(rows: pa.Table) -> pa.Table:
    import pyarrow.compute as pc

    ok = rows.filter(pc.equal(rows["status"], "ok"))
    return ok if len(ok) <= MAX_ROWS else ok.take(spread_rows(len(ok), MAX_ROWS))


def engine_times(
    store: MonitoringStore, name: str, version: int | str, judged: Sequence[EvaluatedWindow]
) -> list[pa.Table]:
    """Return a table each of the latest accepted windows that were not slow, to compare latency.

    A slow window is no measure for the next one, else a model that became slow would be well again
    after a few nights. Nor is one in which latency could not be told, while the alert fires.
    """
    steady, slow = [], False
    for window in judged:
        verdict = window.checks.get(LATENCY, Verdict.NOT_EVALUATED)
        slow = verdict is Verdict.FAIL or (slow and verdict is not Verdict.PASS)
        if window.accepted and not slow and verdict is not Verdict.UNDECIDED:
            steady.append(window.key)
    kept = [
        window for window in store.windows(name, version) if window.key in steady[-MAX_BATCHES:]
    ]
    found = (store.rows_of(name, window, columns=["status", "inference_ms"]) for window in kept)
    return [rows for rows in found if rows is not None]


def sound_rows(store: MonitoringStore, name: str, version: int | str, images: pa.Table) -> pa.Table:
    """The rows of images, without those of windows that were a data fault."""
    import pyarrow as pa
    import pyarrow.compute as pc

    judged = evaluated_windows(store, name, version)
    faulty = pa.array(
        [one.key for one in judged if one.decision.state is DriftState.DATA_FAULT], pa.string()
    )
    return images.filter(pc.invert(pc.is_in(images[WINDOW].cast(pa.string()), value_set=faulty)))


def last_of_each(images: pa.Table) -> npt.NDArray[np.bool_]:
    """Mark each row that is the last of its image, by id and bytes; one without bytes always is."""
    codes = marks(images).dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
    places = np.arange(len(codes))
    last = np.zeros(len(codes) + 1, np.int64)
    last[codes] = places
    return np.asarray((codes < 0) | (last[codes] == places))


def marks(images: pa.Table) -> pa.Array:
    """Id and content of each row as one text, (n,); null where the content is not known."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = (images[name].cast(pa.string()) for name in ("image_id", "sha256"))
    found = pc.binary_join_element_wise(*parts, "\0")
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def stored_run(
    store: MonitoringStore,
    name: str,
    version: int | str,
    output: Path,
    *,
    start: Moment = None,
    end: Moment = None,
) -> InferenceRun:
    """Export a version's rows of a time range as one finished run.

    Only one window is whole in memory at a time.

    Each image is there once: one that was looked at again counts as it was last seen. The same
    image is one of the same id and the same bytes; an image that could not be read has no bytes,
    and each of its rows stays.

    Arguments:
        store: where to look.
        name: of the model.
        version: of the model.
        output: folder to write.
        start: first moment.
        end: moment after the last.

    Raises:
        DatasetError: nothing in this range, or rows were removed while they were read.
        IncompatibleError: its images were described by more than one statistics recipe.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    about = [*IDENTITY, "status", "error", "statistics_recipe", *_STAGES]
    rows = store.images(name, version, start=start, end=end, columns=about)
    if not len(rows):
        raise DatasetError(
            f"images of {name}/{version} in this time range", found="none", hint="widen the range"
        )
    stays = last_of_each(rows)
    kept = rows.filter(pa.array(stays))
    recipes = pc.unique(kept["statistics_recipe"]).to_pylist()
    if len(recipes) > 1:
        raise IncompatibleError(
            "one statistics recipe", found=f"{recipes} in this range", hint="narrow the range"
        )
    failed = (
        kept.filter(pc.not_equal(kept["status"], "ok")).select(["image_id", "error"]).to_pylist()
    )
    failures = tuple(FailedImage(row["image_id"], row["error"] or "") for row in failed)
    seconds = sum(pc.sum(kept[name]).as_py() or 0.0 for name in _STAGES) / 1e3
    run = InferenceRun(
        output, f"{name}/{version}", len(kept) - len(failed), failures, seconds, recipes[0]
    )
    with replacing(output) as aside:
        aside.mkdir(parents=True)
        _write_range(store, (name, version), aside, _Kept(rows["image_id"], stays), (start, end))
        asked = {"stored": f"{name}/{version}", "start": str(start), "end": str(end)}
        write_run(aside, run, sha256_tree(aside), asked)
    return run


@dataclass(frozen=True, eq=False)
class _Kept:
    """The image ids of all rows of a time range, and which rows stay, (n,) bool."""

    ids: pa.ChunkedArray
    stays: npt.NDArray[np.bool_]


def _write_range(
    store: MonitoringStore, model: tuple[str, int | str], folder: Path, kept: _Kept, within: Range
) -> None:
    """Write the two tables of a time range window by window, without the rows that do not stay."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    (name, version), (start, end), stays = model, within, kept.stays
    windows = [one for one in store.windows(name, version) if overlaps(within, one.first, one.last)]
    done = 0
    with (
        pq.ParquetWriter(folder / IMAGES, store.schema_of(name, windows)) as images,
        pq.ParquetWriter(
            folder / DETECTIONS, store.schema_of(name, windows, detections=True)
        ) as detections,
    ):
        for window in windows:
            rows = store.rows_of(name, window, start=start, end=end)
            boxes = store.rows_of(name, window, detections=True, start=start, end=end)
            if rows is None or boxes is None or done + len(rows) > len(stays):
                break
            part = pa.array(stays[done : done + len(rows)])
            gone = kept.ids.slice(done, len(rows)).filter(pc.invert(part)).combine_chunks()
            images.write_table(_in_schema(rows.filter(part), images.schema))
            boxes = boxes.filter(pc.invert(pc.is_in(boxes["image_id"], value_set=gone)))
            detections.write_table(_in_schema(boxes, detections.schema))
            done += len(rows)
    if done != len(stays):
        raise DatasetError(
            "rows that stay while they are read", found="some were removed", hint="run it again"
        )


def _in_schema(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows with these columns; those that are missing are null."""
    import pyarrow as pa

    return pa.concat_tables([schema.empty_table(), rows], promote_options="permissive").select(
        schema.names
    )


@dataclass(frozen=True)
class TrendPoint:
    """Summary of one window in a trend.

    Arguments:
        at: when it was judged, or when its last image was predicted; of one kind in one trend.
        state: the verdict.
        images: with a prediction.
        failed_share: of all images, in 0–1.
        confidence: median over the images; None when nothing was predicted.
        distance: the largest distance of a column, in units of its limit; None when nothing was
            compared.
        accuracy: measured with labels, in 0–1, or None.
    """

    at: datetime
    state: DriftState
    images: int
    failed_share: float
    confidence: float | None
    distance: float | None
    accuracy: float | None = None
