"""Take the tables of a finished run apart by the UTC day on which each image was predicted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from components.contracts import InferenceRun
from components.errors import ConfigError, DatasetError
from components.runs.parts import RunTable

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

TIME = "predicted_at"
IMAGES, DETECTIONS = "images", "detections"
_IMAGE_ROWS = 65_536  # per step; an image's row has some 40 columns
_DETECTION_ROWS = 1_000_000  # per step, as each looks up its image among all images of the run
_HINT = "run batch inference again"


@dataclass(frozen=True)
class Day:
    """Part of a run that belongs to one day.

    Arguments:
        day: in UTC.
        images: rows of images.
        detections: rows of detections.
        first: when the first of its images was predicted, in UTC.
        last: when the last was.
    """

    day: date
    images: int
    detections: int
    first: datetime
    last: datetime


def utc(moment: datetime, what: str) -> datetime:
    """A moment in UTC.

    Arguments:
        moment: with a time zone.
        what: the name of the argument, for the message.

    Raises:
        ConfigError: it has no time zone, so nobody knows when it is.
    """
    if moment.utcoffset() is None:
        raise ConfigError(
            f"{what} with a time zone",
            found=f"{moment.isoformat()} without one",
            hint="use datetime.now(UTC)",
        )
    return moment.astimezone(UTC)


def day_file(folder: Path, table: str, day: date) -> Path:
    """Return the path at which `split_by_day` writes the rows of one day."""
    return folder / f"{table}-{day}.parquet"


def split_by_day(run: InferenceRun, folder: Path) -> tuple[Day, ...]:
    """Write a file of images and one of detections for each day of a run.

    It takes memory for a part of the rows only.

    A detection gets the columns `predicted_at`, that of its image, and `model`, so that its table
    can be asked for a time range by itself. Every day has a file of detections, if only with
    columns.

    Arguments:
        run: the finished run.
        folder: where the files go; see `day_file`.

    Returns:
        The days in order.

    Raises:
        DatasetError: a table is missing, damaged or empty, lacks a column, has a row without a time
            or times without a time zone, or a detection's image is not in the table of images.
    """
    with _table(run.images, "image_id", TIME) as images, _DayFiles(folder, IMAGES) as files:
        _check_times(images, run.images)
        for batch in images.iter_batches(_IMAGE_ROWS):
            files.add(_in_utc(batch, run.images))
    if not files.days:
        raise DatasetError("a run with at least one image", found=f"no rows in {run.images}")
    found = files.days
    with _table(run.detections, "image_id") as detections, _DayFiles(folder, DETECTIONS) as files:
        ids, times = _times_by_image(run.images)
        for day in found:
            files.open(
                day, _with_time(detections.schema_arrow.empty_table(), ids, times, run).schema
            )
        for batch in detections.iter_batches(_DETECTION_ROWS):
            files.add(_with_time(batch, ids, times, run))
    return tuple(
        Day(day, count.rows, files.days[day].rows, count.first, count.last)
        for day, count in sorted(found.items())
    )


@dataclass
class _Count:
    rows: int
    first: datetime
    last: datetime


class _DayFiles:
    """The files of one table that are being written, one for each day seen so far."""

    def __init__(self, folder: Path, table: str) -> None:
        self._folder, self._table = folder, table
        self._writers: dict[date, pq.ParquetWriter] = {}
        self._open = ExitStack()
        self.days: dict[date, _Count] = {}

    def __enter__(self) -> _DayFiles:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def open(self, day: date, schema: pa.Schema) -> pq.ParquetWriter:
        import pyarrow.parquet as pq

        if day not in self._writers:
            path = day_file(self._folder, self._table, day)
            self._writers[day] = self._open.enter_context(
                pq.ParquetWriter(path, schema, compression="zstd")
            )
            self.days[day] = _Count(
                0, datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
            )
        return self._writers[day]

    def add(self, rows: pa.Table) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        days = rows[TIME].cast(pa.date32())
        for day in pc.unique(days).to_pylist():
            part = rows.filter(pc.equal(days, pa.scalar(day, pa.date32())))
            self.open(day, part.schema).write_table(part)
            span, count = pc.min_max(part[TIME]).as_py(), self.days[day]
            count.rows += len(part)
            count.first = min(count.first, span["min"].astimezone(UTC))
            count.last = max(count.last, span["max"].astimezone(UTC))


@contextmanager
def _table(path: Path, *columns: str) -> Iterator[RunTable]:
    import pyarrow as pa

    expected = f"the {path.name} of a finished run"
    try:
        file = RunTable(path)
        if missing := [name for name in columns if name not in file.schema_arrow.names]:
            raise DatasetError(expected, found=f"{path} without {', '.join(missing)}", hint=_HINT)
        yield file
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(expected, found=f"{path}: {error}", hint=_HINT) from error


def _check_times(file: RunTable, path: Path) -> None:
    import pyarrow as pa

    found = file.schema_arrow.field(TIME).type
    if not pa.types.is_timestamp(found) or found.tz is None:
        raise DatasetError(
            f"{TIME} as timestamps with a time zone", found=f"{found} in {path}", hint=_HINT
        )


def _in_utc(batch: pa.RecordBatch, path: Path) -> pa.Table:
    """The rows with their times in microseconds of UTC, as days are cut there."""
    import pyarrow as pa

    rows = pa.Table.from_batches([batch])
    if rows[TIME].null_count:
        raise DatasetError(
            f"{TIME} in every row", found=f"{rows[TIME].null_count} without in {path}", hint=_HINT
        )
    times = rows[TIME].cast(pa.timestamp("us", tz="UTC"), safe=False)
    return rows.set_column(rows.column_names.index(TIME), TIME, times)


def _times_by_image(path: Path) -> tuple[pa.Array, pa.Array]:
    """The ids of all images of a run, and the time of each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["image_id", TIME])
    times = table[TIME].cast(pa.timestamp("us", tz="UTC"), safe=False)
    return table["image_id"].combine_chunks(), times.combine_chunks()


def _with_time(
    rows: pa.Table | pa.RecordBatch, ids: pa.Array, times: pa.Array, run: InferenceRun
) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows])
    position = pc.index_in(rows["image_id"], value_set=ids)
    if position.null_count:
        stray = rows["image_id"].filter(pc.is_null(position))[0].as_py()
        raise DatasetError(
            f"every image of {run.detections.name} in {run.images.name}",
            found=f"{stray!r} only in {run.detections}",
            hint=_HINT,
        )
    model = pa.repeat(pa.scalar(run.model, pa.string()), len(rows))
    return rows.append_column(TIME, pc.take(times, position)).append_column("model", model)
