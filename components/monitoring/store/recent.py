"""Return the rows that tell a model's recent accuracy: those of the newest labelled windows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from components.datasets.matching import find_matches
from components.monitoring.store.store import MonitoringStore
from components.monitoring.store.stored import IDENTITY, last_of_each, marks
from components.monitoring.store.windows import WINDOW, Window

if TYPE_CHECKING:
    import pyarrow as pa

# images with a label that tell of the present; more would only tell of the past
RECENT_LABELS = 400
RECENT = timedelta(days=14)
_BOX = ("image_id", "class_id", "confidence", "x1", "y1", "x2", "y2", WINDOW)


def labelled_rows(
    store: MonitoringStore,
    name: str,
    version: int | str,
    labels: Collection[str],
    *,
    keys: Collection[str],
    columns: Sequence[str],
) -> tuple[pa.Table, pa.Table] | None:
    """Return the rows that tell a model's recent accuracy: those of the newest labelled windows.

    They go back until 400 images have a label, or until 14 days before the newest of them, however
    long ago that was. Rows of other windows whose images bear the same ids with other content are
    there too, since nobody knows which of them a label means.

    Arguments:
        store: where.
        name: of the model.
        version: of the model.
        labels: ids of the labels.
        keys: of the windows that count.
        columns: of the images that are wanted.

    Returns:
        Images and detections; without any label those of the newest window, None without any.
    """
    import pyarrow as pa

    windows = [window for window in store.windows(name, version) if window.key in keys]
    counted = _labelled_windows(
        store, name, windows, labels, list(dict.fromkeys([*columns, *IDENTITY, "status"]))
    )
    boxes = [store.rows_of(name, window, detections=True, columns=_BOX) for window, _ in counted]
    if not boxes or any(rows is None for rows in boxes):  # their day was removed since
        return None
    images = pa.concat_tables([rows for _, rows in counted], promote_options="permissive")
    others = [window for window in windows if window not in [one for one, _ in counted]]
    return _once(
        _with_namesakes(store, name, images, others),
        pa.concat_tables(boxes, promote_options="permissive"),
    )


def _labelled_windows(
    store: MonitoringStore,
    name: str,
    windows: Sequence[Window],
    labels: Collection[str],
    columns: Sequence[str],
) -> list[tuple[Window, pa.Table]]:
    """Return the newest windows with labels and the rows of their images, in order of time.

    The rows are as `labelled_rows` wants them.
    """
    latest: list[tuple[Window, pa.Table]] = []
    chosen: list[tuple[Window, pa.Table]] = []
    found = 0
    for window in reversed(windows):
        if chosen and (found >= RECENT_LABELS or window.last < chosen[0][0].last - RECENT):
            break
        rows = store.rows_of(name, window, columns=columns)
        if rows is None:
            continue
        latest = latest or [(window, rows)]
        matches = find_matches(labels, rows["image_id"].to_pylist())
        if matches.places or matches.ambiguous:
            chosen.append((window, rows))
            found += len(matches.places)
    return chosen[::-1] or latest


def _with_namesakes(
    store: MonitoringStore, name: str, images: pa.Table, others: Sequence[Window]
) -> pa.Table:
    """Put before the rows those of other windows with the same image id and other content."""
    import pyarrow as pa
    import pyarrow.compute as pc

    seen = images.filter(pc.equal(images["status"], "ok"))
    ids, known = seen["image_id"].combine_chunks(), marks(seen)
    found = []
    for window in others:
        rows = store.rows_of(name, window, columns=[*IDENTITY, "status"])
        if rows is not None:
            same = pc.and_(
                pc.equal(rows["status"], "ok"), pc.is_in(rows["image_id"], value_set=ids)
            )
            rows = rows.filter(same)
            found.append(rows.filter(pc.invert(pc.is_in(marks(rows), value_set=known))))
    return pa.concat_tables([*found, images], promote_options="permissive")


def _once(images: pa.Table, detections: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Drop rows, and their detections, that are there again later with the same id and bytes."""
    import pyarrow as pa

    stays = last_of_each(images)
    if stays.all():
        return images, detections
    gone = images.filter(pa.array(~stays)).select(["image_id", "window"])
    lost = set(zip(gone["image_id"].to_pylist(), gone["window"].to_pylist(), strict=True))
    boxes = zip(detections["image_id"].to_pylist(), detections["window"].to_pylist(), strict=True)
    return images.filter(pa.array(stays)), detections.filter(
        pa.array([box not in lost for box in boxes], pa.bool_())
    )
