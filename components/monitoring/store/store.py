"""Monitoring store: finished runs by model, version and day, on disk or in an object store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from components.contracts import InferenceRun
from components.errors import ConfigError, DatasetError, IncompatibleError
from components.files import sha256_json, sha256_path
from components.images.object_store import Folder, checked_part, undamaged
from components.monitoring.store.windows import (
    Columns,
    Moment,
    Range,
    Window,
    data_path,
    dump_window,
    load_window,
    overlaps,
    read_rows,
    window_field,
)
from components.runs.by_day import DETECTIONS, IMAGES, Day, day_file, split_by_day, utc

if TYPE_CHECKING:
    import pyarrow as pa

Version = str | int | None  # None is every version
T = TypeVar("T")

ABANDONED = timedelta(days=1)  # a writer that has not touched its files for so long is dead
_RETAINED = "_retained"  # no version is called so: a checked part starts with a letter or a digit


@dataclass(frozen=True)
class Record:
    """One JSON document, such as a drift decision.

    Arguments:
        key: unique within version and kind.
        version: of the model.
        at: what moment it speaks of, in UTC.
        content: the document.
    """

    key: str
    version: str
    at: datetime
    content: Mapping[str, Any]


class MonitoringStore:
    """Rows of finished runs, and documents beside them; any number of processes may read and write.

    Each run adds files of its own: ``NAME/VERSION/images/day=2026-11-23/KEY-CONTENT.parquet``, the
    like below `detections`, and last ``NAME/VERSION/windows/KEY.json``, which names them. Readers
    start from the latter, so a run is there with all its days and both tables, or not at all; what
    a killed writer left is never looked at.

    A time range is half open, ``start ≤ predicted_at < end``, and None leaves it open.

    Arguments:
        root: a folder, or any URL that fsspec knows: ``"s3://bucket/monitoring"``,
            ``"memory://monitoring"``.
        clock: gives the time of now, with a time zone.

    Raises:
        ConfigError: by the constructor, when the URL is of no use; by every method for a name,
            version, kind or key that is unsafe in a path, and for a time without a time zone.
        UnavailableError: by every method, when the store cannot be reached or refuses.
    """

    def __init__(
        self, root: str | Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._folder, self._clock = Folder(root), clock

    def models(self) -> tuple[str, ...]:
        """Names of the models that the store has anything of, sorted."""
        return tuple(self._folder.folders(""))

    def append(self, run: InferenceRun, *, key: str | None = None) -> str:
        """Add a finished run's rows, once, however often and by whichever processes it is appended.

        Of two runs with one key the first counts, even if their rows differ: a run that was made
        again after a failure is the same window. Rows of days that `retain` has removed are not
        seen again.

        Arguments:
            run: its `model` is NAME/VERSION.
            key: the window's name; None is a hash of the run's two tables.

        Returns:
            The key.

        Raises:
            ConfigError: the model has no version.
            DatasetError: a table is missing, damaged or empty, or its times have no time zone.
        """
        place = self._place(*_model_of(run))
        content = content_of(run)
        key = checked_part(content if key is None else key, "key")
        marker = f"{place}/windows/{key}.json"
        if self._folder.exists(marker):
            return key
        with self._folder.scratch() as scratch:
            window = Window(key, run.model.partition("/")[2], content, split_by_day(run, scratch))
            for day in window.days:
                for table in (DETECTIONS, IMAGES):
                    self._folder.put(
                        day_file(scratch, table, day.day), data_path(place, window, table, day)
                    )
        self._folder.create(marker, dump_window(window))
        return key

    def images(
        self,
        name: str,
        version: Version = None,
        *,
        start: Moment = None,
        end: Moment = None,
        columns: Columns = None,
    ) -> pa.Table:
        """The rows of images in a time range, in the order in which the runs were made.

        Arguments:
            name: of the model.
            version: None is every version; a column that one of them lacks is null there.
            start: first moment.
            end: moment after the last.
            columns: only these, which saves memory and time; None is all. `window` is the key of a
                row's run.

        Raises:
            ConfigError: there is no such column, or the range ends before it starts.
            DatasetError: the store has nothing of this model, or a file was lost or damaged.
            IncompatibleError: the versions' columns are of different kinds.
        """
        return self._rows(IMAGES, name, version, _range(start, end), columns)

    def detections(
        self,
        name: str,
        version: Version = None,
        *,
        start: Moment = None,
        end: Moment = None,
        columns: Columns = None,
    ) -> pa.Table:
        """The detections on the images of a time range; arguments and errors are those of `images`.

        `predicted_at` is that of the image, whose row has the same `image_id`, `window` and
        `model`.
        """
        return self._rows(DETECTIONS, name, version, _range(start, end), columns)

    def rows_of(
        self,
        name: str,
        window: Window,
        *,
        detections: bool = False,
        start: Moment = None,
        end: Moment = None,
        columns: Columns = None,
    ) -> pa.Table | None:
        """The rows of one run in a time range, so that no more than that is in memory.

        Arguments:
            name: of the model.
            window: one of `windows`.
            detections: these, and not the images.
            start: first moment.
            end: moment after the last.
            columns: only these; None is all.

        Returns:
            None when all its days were removed since `windows` was asked.

        Raises:
            ConfigError: there is no such column, or the range ends before it starts.
            DatasetError: a file was lost or damaged.
        """

        def read(floor: date) -> pa.Table | None:
            days = [(window, day) for day in window.days if day.day >= floor]
            table = DETECTIONS if detections else IMAGES
            return self._tables(table, name, days, _range(start, end), columns) if days else None

        return self._while_days_go(name, read)

    def schema_of(
        self, name: str, windows: Sequence[Window], *, detections: bool = False
    ) -> pa.Schema:
        """The columns of some runs together, without reading a row.

        Raises:
            DatasetError: a file was lost or damaged.
            IncompatibleError: they are of different kinds.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        def read(floor: date) -> list[pa.Schema]:
            table, found = DETECTIONS if detections else IMAGES, []
            for window, day in [
                (one, day) for one in windows for day in one.days if day.day >= floor
            ]:
                path = data_path(self._place(name, window.version), window, table, day)
                with self._folder.open(path) as file, undamaged(path):
                    found.append(pq.read_schema(file).append(window_field()))
            return found

        try:
            return pa.unify_schemas(self._while_days_go(name, read), promote_options="permissive")
        except pa.ArrowException as error:
            raise IncompatibleError(
                "columns of one kind", found=str(error), hint="read one version"
            ) from error

    def windows(self, name: str, version: Version = None) -> tuple[Window, ...]:
        """The runs in the store, by the time of their first image.

        Raises:
            DatasetError: a file was damaged.
        """
        floor = self._floor(name)
        windows = [
            window for place in self._places(name, version) for window in self._windows(place)
        ]
        kept = [replace(w, days=tuple(day for day in w.days if day.day >= floor)) for w in windows]
        return tuple(sorted((w for w in kept if w.days), key=lambda w: (w.first, w.version, w.key)))

    def put_record(
        self,
        name: str,
        version: str | int,
        kind: str,
        key: str,
        record: Mapping[str, object],
        *,
        at: datetime,
    ) -> bool:
        """Keep a JSON document; a key that is taken keeps what it has.

        Arguments:
            name: of the model.
            version: of the model.
            kind: what it is, e.g. ``"drift"``.
            key: unique within version and kind.
            record: plain JSON values.
            at: what moment it speaks of.

        Returns:
            Whether it is new. Of several processes with one key, one is told so (see
            `Folder.create`).

        Raises:
            ConfigError: the document holds other than JSON values.
        """
        path = (
            f"{self._place(name, str(version))}/records/"
            f"{checked_part(kind, 'kind')}/{checked_part(key, 'key')}.json"
        )
        try:
            content = json.dumps({"at": utc(at, "at").isoformat(), "content": dict(record)})
        except (TypeError, ValueError) as error:
            raise ConfigError(
                "a document of plain JSON values", found=f"{kind} {key}: {error}"
            ) from error
        return self._folder.create(path, content.encode())

    def records(
        self,
        name: str,
        kind: str,
        version: Version = None,
        *,
        start: Moment = None,
        end: Moment = None,
    ) -> tuple[Record, ...]:
        """The documents of a kind whose `at` is in a time range, in order of time.

        Raises:
            ConfigError: the range ends before it starts.
            DatasetError: a file was damaged.
        """
        within = _range(start, end)
        found = []
        for place in self._places(name, version):
            for key, path, content in self._documents(
                f"{place}/records/{checked_part(kind, 'kind')}"
            ):
                with undamaged(path):
                    document = json.loads(content)
                    at = datetime.fromisoformat(document["at"])
                    found.append(Record(key, place.rpartition("/")[2], at, document["content"]))
        asked = [record for record in found if overlaps(within, record.at, record.at)]
        return tuple(sorted(asked, key=lambda record: (record.at, record.version, record.key)))

    def retain(self, name: str, *, before: datetime | int) -> int:
        """Remove the rows of all days, in UTC, that lie wholly before a moment; documents stay.

        Readers cease to see these days at once, before any file goes. A call that is killed is
        finished by the next. Leftovers of killed writers go too: files that were written aside
        after a day, other ones with their day.

        Arguments:
            name: of the model, all its versions.
            before: the moment, or how many days before now.

        Returns:
            How many days were removed.

        Raises:
            ConfigError: the moment is in the future.
            DatasetError: the store has nothing of this model.
        """
        now = utc(self._clock(), "the clock's time")
        limit = (
            utc(before, "before") if isinstance(before, datetime) else now - timedelta(days=before)
        )
        if limit > now:  # rows that are yet to come would never be seen
            raise ConfigError("a moment that is not in the future", found=limit.isoformat())
        if not (places := self._places(name, None)):
            raise self._nothing(name, None)
        self._folder.create(f"{name}/{_RETAINED}/{limit.date()}", b"")
        floor = self._floor(name)
        removed = {day for place in places for day in self._remove_days(place, floor)}
        for earlier in self._folder.files(f"{name}/{_RETAINED}")[:-1]:
            self._folder.remove(f"{name}/{_RETAINED}/{earlier}")
        self._folder.sweep(before=now - ABANDONED)
        return len(removed)

    def _remove_days(self, place: str, floor: date) -> Iterator[date]:
        for table in (IMAGES, DETECTIONS):
            for folder in self._folder.folders(f"{place}/{table}"):
                day = date.fromisoformat(folder.removeprefix("day="))
                if day < floor:
                    self._folder.remove_folder(f"{place}/{table}/{folder}")
                    yield day
        for window in self._windows(place):
            if window.days[-1].day < floor:
                self._folder.remove(f"{place}/windows/{window.key}.json")

    def _floor(self, name: str) -> date:
        """The first day that has not been removed; it only ever moves on."""
        days = self._folder.files(f"{checked_part(name, 'name')}/{_RETAINED}")
        return date.fromisoformat(days[-1]) if days else date.min

    def _rows(
        self, table: str, name: str, version: Version, within: Range, columns: Columns
    ) -> pa.Table:
        def read(_: date) -> pa.Table:
            days = [(window, day) for window in self.windows(name, version) for day in window.days]
            if not days:
                raise self._nothing(name, version)
            hit = [(window, day) for window, day in days if overlaps(within, day.first, day.last)]
            # where nothing is in range, a file without such rows gives the columns
            return self._tables(table, name, hit or days[-1:], within, columns)

        return self._while_days_go(name, read)

    def _while_days_go(self, name: str, read: Callable[[date], T]) -> T:
        """Call `read` with the first day kept, again when a file went with its day meanwhile."""
        while True:
            floor = self._floor(name)
            try:
                return read(floor)
            except FileNotFoundError as error:
                if self._floor(name) > floor:
                    continue
                raise DatasetError(
                    "every file of the runs in the store",
                    found=f"none at {error}",
                    hint="bring it back from a backup",
                ) from error

    def _tables(
        self,
        table: str,
        name: str,
        days: Sequence[tuple[Window, Day]],
        within: Range,
        columns: Columns,
    ) -> pa.Table:
        """The rows of these files, at least one."""
        import pyarrow as pa

        parts = []
        for window, day in days:
            path = data_path(self._place(name, window.version), window, table, day)
            with self._folder.open(path) as file, undamaged(path):
                parts.append(read_rows(file, window.key, within, columns))
        try:
            found = pa.concat_tables(parts, promote_options="permissive")
        except pa.ArrowException as error:
            raise IncompatibleError(
                "columns of one kind", found=str(error), hint="read one version"
            ) from error
        if unknown := [column for column in columns or () if column not in found.column_names]:
            raise ConfigError(
                f"columns of the table of {table}",
                found=", ".join(unknown),
                hint="read all to see them",
            )
        return found if columns is None else found.select(list(columns))

    def _windows(self, place: str) -> Iterator[Window]:
        version = place.rpartition("/")[2]
        for key, path, content in self._documents(f"{place}/windows"):
            with undamaged(path):
                yield load_window(key, version, content)

    def _documents(self, folder: str) -> Iterator[tuple[str, str, bytes]]:
        """Yield key, path and content of a folder's documents, except of one removed meanwhile."""
        paths = [f"{folder}/{name}" for name in self._folder.files(folder)]
        for path, content in zip(paths, self._folder.read_all(paths), strict=True):
            if content is not None:
                yield path.rpartition("/")[2].removesuffix(".json"), path, content

    def _places(self, name: str, version: Version) -> list[str]:
        if version is not None:
            return [self._place(name, str(version))]
        found = self._folder.folders(checked_part(name, "name"))
        return [self._place(name, version) for version in found if not version.startswith("_")]

    def _place(self, name: str, version: str) -> str:
        return f"{checked_part(name, 'name')}/{checked_part(version, 'version')}"

    def _nothing(self, name: str, version: Version) -> DatasetError:
        model = name if version is None else f"{name}/{version}"
        return DatasetError(
            f"runs of {model} in the store", found=f"none in {self._folder.url}", hint="append one"
        )


def _model_of(run: InferenceRun) -> tuple[str, str]:
    name, _, version = run.model.partition("/")
    if not version:
        raise ConfigError("the run of a model with a version, such as digits/3", found=run.model)
    return name, version


def content_of(run: InferenceRun) -> str:
    """Return a run's default name: a hash of its two tables.

    Raises:
        DatasetError: a table is not there.
    """
    try:
        return sha256_json([sha256_path(run.images), sha256_path(run.detections)])
    except OSError as error:
        raise DatasetError(
            "the two tables of a finished run",
            found=f"{error.filename}: {error.strerror}",
            hint="run it again",
        ) from error


def _range(start: Moment, end: Moment) -> Range:
    start = start and utc(start, "start")
    end = end and utc(end, "end")
    if start and end and end < start:
        raise ConfigError(
            "a range that ends after it starts", found=f"{start.isoformat()} to {end.isoformat()}"
        )
    return start, end
