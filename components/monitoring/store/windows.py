"""One run in the monitoring store: the marker that makes it count, its files, a file's rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO, TYPE_CHECKING

from components.contracts import dump, load
from components.runs.by_day import TIME, Day

if TYPE_CHECKING:
    import pyarrow as pa

WINDOW = "window"  # the column that says which run a row came with

Moment = datetime | None
Range = tuple[Moment, Moment]  # first moment, and the one after the last; None is open
Columns = Sequence[str] | None  # None is all


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

    The content is in the name, so that what a killed writer left never passes for a part of a later
    attempt.
    """
    return f"{place}/{table}/day={day.day}/{window.key}-{window.content[:16]}.parquet"


def overlaps(within: Range, first: datetime, last: datetime) -> bool:
    """Tell whether a span of time, both ends included, reaches into a range."""
    start, end = within
    return (start is None or start <= last) and (end is None or first < end)


def dump_window(window: Window) -> bytes:
    """The content of a window's marker; its path says the rest."""
    known = dump(window)
    return json.dumps({name: known[name] for name in ("content", "days")}, indent=2).encode()


def load_window(key: str, version: str, content: bytes) -> Window:
    """The window of a marker, from what `dump_window` gave."""
    return load(Window, {"key": key, "version": version, **json.loads(content)})


def read_rows(file: IO[bytes], key: str, within: Range, columns: Columns) -> pa.Table:
    """The rows of one file that are in range; no more of the others is in memory than a batch."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    start, end = within
    with pq.ParquetFile(file) as parquet:
        schema = parquet.schema_arrow
        wanted = [
            name for name in schema.names if columns is None or name in columns or name == TIME
        ]
        batches = []
        for batch in parquet.iter_batches(columns=wanted):
            if start is not None:
                batch = batch.filter(
                    pc.greater_equal(batch[TIME], pa.scalar(start, schema.field(TIME).type))
                )
            if end is not None:
                batch = batch.filter(pc.less(batch[TIME], pa.scalar(end, schema.field(TIME).type)))
            batches.append(batch)
    rows = pa.Table.from_batches(batches, pa.schema([schema.field(name) for name in wanted]))
    keys = pa.DictionaryArray.from_arrays(
        pa.repeat(pa.scalar(0, pa.int32()), len(rows)), pa.array([key], pa.string())
    )
    return rows.append_column(window_field(), keys)


def window_field() -> pa.Field:
    """The column that `read_rows` adds."""
    import pyarrow as pa

    return pa.field(WINDOW, pa.dictionary(pa.int32(), pa.string()))
