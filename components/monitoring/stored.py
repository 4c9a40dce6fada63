"""Windows of the past, from the monitoring store: as runs to report on, and as a memory of what was judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from components.contracts import DriftDecision, DriftState, FailedImage, InferenceRun, dump, load
from components.errors import DatasetError, IncompatibleError
from components.files import replacing, sha256_tree
from components.monitoring.history import PastWindow
from components.monitoring.store import MonitoringStore
from components.monitoring.trends import TrendPoint
from components.runs import DETECTIONS, IMAGES, write_run

KIND = "drift"  # of the records
_STAGES = ("inference_ms", "postprocess_ms")
MOST_BATCHES = 30  # that a reference pools: what was accepted long ago says little of today


@dataclass(frozen=True)
class Judged:
    """A window of the past and what was said of it."""

    key: str
    at: datetime
    decision: DriftDecision
    summary: Mapping[str, float]
    trend_point: TrendPoint

    @property
    def accepted(self) -> bool:
        """Whether nothing was amiss."""
        return self.decision.state is DriftState.OK

    @property
    def past(self) -> PastWindow:
        """As the policy wants to know it."""
        return PastWindow(self.at, self.decision.raised, self.decision.fires)


def remember(
    store: MonitoringStore,
    name: str,
    version: int | str,
    key: str,
    decision: DriftDecision,
    summary: Mapping[str, float],
    trend_point: TrendPoint,
    *,
    at: datetime,
) -> bool:
    """Keep what was said of a window; the first word counts.

    Arguments:
        store: where.
        name: of the model.
        version: of the model.
        key: of the window, as in the store.
        decision: what the policy said.
        summary: what the window is remembered by, as `summarise_window` gives it.
        trend_point: what later reports show of it.
        at: when it was judged.

    Returns:
        Whether it was not known before.
    """
    content = {"decision": dump(decision), "summary": dict(summary), "trend_point": dump(trend_point)}
    return store.put_record(name, version, KIND, key, content, at=at)


def judged_windows(store: MonitoringStore, name: str, version: int | str) -> tuple[Judged, ...]:
    """The windows of a version that were judged, the latest last."""
    return tuple(
        Judged(
            record.key,
            record.at,
            load(DriftDecision, record.content["decision"]),
            dict(record.content["summary"]),
            load(TrendPoint, record.content["trend_point"]),
        )
        for record in store.records(name, KIND, version)
    )


def accepted_batches(
    store: MonitoringStore, name: str, version: int | str, judged: Sequence[Judged]
) -> list[tuple[str, Any]]:
    """The latest windows in which nothing was amiss: the condition of each, and its rows as a pyarrow.Table."""
    import pyarrow.compute as pc

    accepted = [window for window in judged if window.accepted][-MOST_BATCHES:]
    wanted = {window.key: window.decision.condition for window in accepted}
    if not wanted:
        return []
    chosen = [window for window in store.windows(name, version) if window.key in wanted]
    if not chosen:
        return []
    rows = store.images(name, version, start=min(window.first for window in chosen))
    return [(wanted[window.key], rows.filter(pc.equal(rows["window"], window.key))) for window in chosen]


def stored_rows(
    store: MonitoringStore,
    name: str,
    version: int | str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> tuple[Any, Any]:
    """Images and detections of a time range, each image once: one that was looked at again counts as it was last seen.

    The same image is one of the same id and the same bytes; an image that could not be read has no bytes, and each of
    its rows stays.

    Arguments:
        store: where to look.
        name: of the model.
        version: of the model.
        start: first moment.
        end: moment after the last.

    Returns:
        Two tables, each a pyarrow.Table.
    """
    import pyarrow as pa

    images = store.images(name, version, start=start, end=end)
    detections = store.detections(name, version, start=start, end=end)
    rows = images.select(["image_id", "sha256", "window"]).to_pandas()
    again = rows.duplicated(["image_id", "sha256"], keep="last") & rows["sha256"].notna()
    if not again.any():
        return images, detections
    gone = set(zip(rows["image_id"][again], rows["window"][again], strict=True))
    boxes = zip(detections["image_id"].to_pylist(), detections["window"].to_pylist(), strict=True)
    stays = pa.array([box not in gone for box in boxes], pa.bool_())
    return images.filter(pa.array(~again)), detections.filter(stays)


def stored_run(
    store: MonitoringStore,
    name: str,
    version: int | str,
    output: Path,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> InferenceRun:
    """What a version saw in a time range, as one finished run.

    Arguments:
        store: where to look.
        name: of the model.
        version: of the model.
        output: folder to write.
        start: first moment.
        end: moment after the last.

    Raises:
        DatasetError: nothing in this range.
        IncompatibleError: its images were described by more than one statistics recipe.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    images, detections = stored_rows(store, name, version, start=start, end=end)
    if not len(images):
        raise DatasetError(f"images of {name}/{version} in this time range", found="none", mend="widen the range")
    recipes = pc.unique(images["statistics_recipe"]).to_pylist()
    if len(recipes) > 1:
        raise IncompatibleError("one statistics recipe", found=f"{recipes} in this range", mend="narrow the range")
    failed = images.filter(pc.not_equal(images["status"], "ok")).select(["image_id", "error"]).to_pylist()
    failures = tuple(FailedImage(row["image_id"], row["error"] or "") for row in failed)
    seconds = sum(pc.sum(images[name]).as_py() or 0.0 for name in _STAGES) / 1e3
    run = InferenceRun(output, f"{name}/{version}", len(images) - len(failed), failures, seconds, recipes[0])
    with replacing(output) as aside:
        aside.mkdir(parents=True)
        pq.write_table(images, aside / IMAGES)
        pq.write_table(detections, aside / DETECTIONS)
        asked = {"stored": f"{name}/{version}", "start": str(start), "end": str(end)}
        write_run(aside, run, sha256_tree(aside), asked)
    return run
