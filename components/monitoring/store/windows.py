"""One run in the monitoring store: the marker that makes it count, its files, and the rows of one of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from components.runs.by_day import TIME, Day

WINDOW = "window"  # the column that says which run a row came with

Range = tuple[datetime | None, datetime | None]  # first moment, and the one after the last; None is open


@dataclass(frozen=True)
class Window:
    """One run in the store.

    Arguments:
        key: unique within its version.
        version: of the model.
        content: hash of the run's two tables.
        days: what it added to each day, in order; without days that were removed since.
    """

    key: str
    version: str
    content: str
    days: tuple[Day, ...]

    @property
    def images(self) -> int:
        """Rows of images."""
        return sum(day.images for day in self.days)

    @property
    def detections(self) -> int:
        """Rows of detections."""
        return sum(day.detections for day in self.days)

    @property
    def first(self) -> datetime:
        """Time when its first image was predicted, in UTC."""
        return self.days[0].first

    @property
    def last(self) -> datetime:
        """Time when its last image was predicted, in UTC."""
        return self.days[-1].last


def data_path(place: str, window: Window, table: str, day: Day) -> str:
    """Return the path of one day of a table.

    The content is in the name, so that what a killed writer left never passes for a part of a later attempt.
    """
    return f"{place}/{table}/day={day.day}/{window.key}-{window.content[:16]}.parquet"


def dump_window(window: Window) -> bytes:
    """The content of a window's marker."""
    days = [
        {
            "day": day.day.isoformat(), "images": day.images, "detections": day.detections,
            "first": day.first.isoformat(), "last": day.last.isoformat(),
        }
        for day in window.days
    ]  # fmt: skip
    return json.dumps({"content": window.content, "days": days}, indent=2).encode()


def load_window(key: str, version: str, content: bytes) -> Window:
    """The window of a marker, from what `dump_window` gave."""
    document = json.loads(content)
    days = tuple(
        Day(
            date.fromisoformat(day["day"]), day["images"], day["detections"],
            datetime.fromisoformat(day["first"]), datetime.fromisoformat(day["last"]),
        )
        for day in document["days"]
    )  # fmt: skip
    return Window(key, version, document["content"], days)


def read_rows(file: Any, key: str, within: Range, columns: Sequence[str] | None) -> Any:
    """The rows of one file that are in range; no more of the others is in memory than a batch."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    start, end = within
    with pq.ParquetFile(file) as parquet:
        schema = parquet.schema_arrow
        wanted = [name for name in schema.names if columns is None or name in columns or name == TIME]
        batches = []
        for batch in parquet.iter_batches(columns=wanted):
            if start is not None:
                batch = batch.filter(pc.greater_equal(batch[TIME], pa.scalar(start, schema.field(TIME).type)))
            if end is not None:
                batch = batch.filter(pc.less(batch[TIME], pa.scalar(end, schema.field(TIME).type)))
            batches.append(batch)
    rows = pa.Table.from_batches(batches, pa.schema([schema.field(name) for name in wanted]))
    keys = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), len(rows)), pa.array([key], pa.string()))
    return rows.append_column(window_field(), keys)


def window_field() -> Any:
    """The column that `read_rows` adds, a pyarrow.Field."""
    import pyarrow as pa

    return pa.field(WINDOW, pa.dictionary(pa.int32(), pa.string()))
