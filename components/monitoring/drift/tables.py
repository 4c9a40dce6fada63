"""Tables to measure drift on: columns of a run's images or of a reference, as NumPy arrays.

The columns of a run are those of its `images.parquet`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from components.contracts import EMBEDDING, InferenceRun
from components.errors import DatasetError, IncompatibleError
from components.images.statistics import IMAGE_COLUMNS
from components.runs.parts import RunTable

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

Column = npt.NDArray[Any]  # (n,) float64 or str, or (n, d) float64: see `DriftTable`

METADATA_KEY = b"foveal.reference"
PREDICTION_PREFIX = "prediction_"
NAMES = ("image_id", "uri")
MAX_ROWS = 40_000  # of a window
BATCH = "batch"  # of a reference: which of the pooled runs a row is from
PIECE = 65_536  # rows that are read at a time
HELD_OUT = "held out"  # the condition of a reference that knows only one
MIXED = "mixed"  # the condition of what is like all of them together
NOTHING = "nothing found"  # the top class of an image without detections


@dataclass(frozen=True, eq=False)
class DriftTable:
    """One row per image that has a prediction; a column is numbers, categories or vectors.

    In a file image statistics and floating-point predictions are numbers; class ids, text and truth
    values are categories; embeddings are vectors.

    Arguments:
        columns: name → (n,) float64, NaN where there is no value; (n,) str; or (n, d) float64, NaN
            where there is no vector, and (n, 0) where no row has one.
        model: name and version of the model that made the predictions.
        statistics_recipe: version of the image statistics.
        failed: images of the same run without a prediction; they have no row.
        tolerances: condition → column → how much farther than by chance it may move, as a share of
            what chance leaves, where accepted batches have taught it.
        conditions: of a reference, the condition that each row was taken in, (n,) str; None is one
            for all.
        names: `image_id` and `uri` of each row, (n,) objects, where they are known.
        batches: (n,) labels of the run or the night that each row came with; None is one for all.
    """

    columns: Mapping[str, Column]
    model: str
    statistics_recipe: int
    failed: int
    tolerances: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    names: Mapping[str, npt.NDArray[np.object_]] = field(default_factory=dict)
    conditions: npt.NDArray[np.str_] | None = None
    batches: npt.NDArray[np.int64] | None = None

    @property
    def samples(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values())))

    def is_category(self, column: str) -> bool:
        """Tell whether a column holds names instead of numbers."""
        return self.columns[column].dtype.kind == "U"

    def is_vector(self, column: str) -> bool:
        """Tell whether a column holds a vector in each row."""
        return self.columns[column].ndim == 2

    @property
    def numbers(self) -> dict[str, npt.NDArray[np.float64]]:
        """The columns of numbers."""
        return {
            name: values
            for name, values in self.columns.items()
            if values.dtype.kind == "f" and values.ndim == 1
        }

    def rows(self, which: npt.NDArray[np.integer | np.bool_] | slice) -> DriftTable:
        """Some of the rows, as a window of their own."""
        columns, names = (
            {name: values[which] for name, values in kept.items()}
            for kept in (self.columns, self.names)
        )
        conditions = None if self.conditions is None else self.conditions[which]
        batches = None if self.batches is None else self.batches[which]
        return replace(self, columns=columns, names=names, conditions=conditions, batches=batches)

    def sequences(self) -> npt.NDArray[np.int64]:
        """Label each row with batch and folder, (n,): only rows of one follow each other in time.

        Rows without a name are taken for those of one folder, in the order of the table.
        """
        places = self.names.get("uri", self.names.get("image_id", [""] * self.samples))
        folders = [str(place).rpartition("/")[0] for place in places]
        batches = [0] * self.samples if self.batches is None else self.batches.tolist()
        numbers: dict[tuple[int, str], int] = {}
        keys = zip(batches, folders, strict=True)
        return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)

    def in_time(self) -> npt.NDArray[np.int64]:
        """Order the rows in time as far as the table tells, as (n,) places in it.

        Batches follow each other; the folders of one, which are cameras or classes, pass at the
        same time.
        """
        labels = self.sequences()
        order = np.argsort(labels, kind="stable")
        counts = np.bincount(labels)
        passed = np.empty(self.samples)
        passed[order] = np.arange(self.samples) - np.repeat(np.cumsum(counts) - counts, counts)
        batches = np.zeros(self.samples, np.int64) if self.batches is None else self.batches
        return np.lexsort((passed / counts[labels], batches))

    def rows_like(self, condition: str) -> npt.NDArray[np.int64]:
        """Return the rows to compare a window of this condition with: its own, or else all."""
        if self.conditions is not None and condition in self.conditions and condition != MIXED:
            return np.flatnonzero(self.conditions == condition)
        return np.arange(self.samples)

    def by_condition(self, least: int) -> dict[str, DriftTable]:
        """Split by condition: each one with at least `least` rows, and all of them together."""
        if self.conditions is None:
            return {HELD_OUT: self}
        known = [str(name) for name in np.unique(self.conditions)]
        if len(known) == 1:
            return {known[0]: self}
        parts = {name: self.rows(self.rows_like(name)) for name in known if name != MIXED}
        return {name: part for name, part in parts.items() if part.samples >= least} | {MIXED: self}


def joined(tables: Sequence[DriftTable]) -> DriftTable:
    """The rows of windows of one model, one after the other."""
    first = tables[0]
    columns = {name: _stacked([table.columns[name] for table in tables]) for name in first.columns}
    names = {name: np.concatenate([table.names[name] for table in tables]) for name in first.names}
    batches = np.repeat(np.arange(len(tables)), [table.samples for table in tables])
    return replace(first, columns=columns, names=names, batches=batches)


def _stacked(parts: Sequence[Column]) -> Column:
    width = max(part.shape[-1] for part in parts)
    return np.concatenate(
        [blank_vectors(len(part), width) if part.shape[1:] == (0,) else part for part in parts]
    )


def spread_rows(count: int, most: int) -> npt.NDArray[np.int64]:
    """Indices of at most `most` of `count` rows, evenly spread, (n,) int64."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


def blank_vectors(rows: int, width: int) -> npt.NDArray[np.float64]:
    """A column of vectors in which no row has one: (rows, width) NaN."""
    return np.full((rows, width), np.nan)


def is_prediction(column: str) -> bool:
    """Tell whether a column describes the model's prediction, and not the image."""
    return column.startswith(PREDICTION_PREFIX)


def family_of(column: str) -> str:
    """Return a column's family: the images' own properties, their embedding, or the predictions."""
    if column.startswith(EMBEDDING):  # and what is said of the rows without one
        return EMBEDDING
    return "prediction" if is_prediction(column) else "image"


def window_of(rows: pa.Table, model: str, statistics_recipe: int, failed: int = 0) -> DriftTable:
    """Rows that `accepted_rows` gave, as a window."""
    columns = {name: _array(name, rows[name]) for name in rows.column_names if name not in NAMES}
    names = {
        name: np.array(rows[name].to_pylist(), object)
        for name in NAMES
        if name in rows.column_names
    }
    return DriftTable(columns, model, statistics_recipe, failed, names=names)


def accepted_rows(run: InferenceRun) -> tuple[pa.Table, int]:
    """The rows with a prediction, reduced to what drift is judged and shown by.

    Of more than 40,000, as many are taken, evenly: with so many a distance is known to a hundredth.
    The file is read piece by piece, so memory does not grow with it.

    Returns:
        The images' names where the run has them, the image statistics in their usual order, the
        prediction columns and the embedding, null where there is none; the number of rows without
        a prediction.

    Raises:
        DatasetError: the run has no readable table.
        IncompatibleError: the table lacks an image statistic.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    with opened_run(run.images) as file:
        present = file.schema_arrow.names
        if missing := [name for name in ("status", *IMAGE_COLUMNS) if name not in present]:
            raise IncompatibleError(
                "a table of images with status and every image statistic",
                found=f"{run.images} without {', '.join(missing)}",
                hint="run batch inference again with this version",
            )
        predictions = [name for name in present if is_prediction(name)]
        wanted = [
            *IMAGE_COLUMNS,
            *predictions,
            *(name for name in (*NAMES, EMBEDDING) if name in present),
        ]
        total = file.num_rows
        accepted = sum(
            pc.sum(pc.equal(part["status"], "ok")).as_py() or 0
            for part in file.iter_batches(columns=["status"])
        )
        step, seen, parts = max(1, -(-accepted // MAX_ROWS)), 0, []
        for part in file.iter_batches(columns=["status", *wanted], batch_size=PIECE):
            rows = pa.Table.from_batches([part]).filter(pc.equal(part["status"], "ok"))
            chosen = pa.array(range(-seen % step, len(rows), step), pa.int64())
            parts.append(rows.take(chosen).select(wanted))
            seen += len(rows)
        table = pa.concat_tables(parts) if parts else file.schema_arrow.empty_table().select(wanted)
    return table, total - accepted


def batch_table(rows: pa.Table, reference: DriftTable) -> DriftTable:
    """Rows of the monitoring store as a window with the columns of a reference."""
    import pyarrow.compute as pc

    ok = rows.filter(pc.equal(rows["status"], "ok"))
    names = [name for name in NAMES if name in rows.column_names]
    failed = len(rows) - len(ok)
    return window_of(
        ok.select([*reference.columns, *names]),
        reference.model,
        reference.statistics_recipe,
        failed,
    )


@contextmanager
def opened(path: Path, expected: str, hint: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file; what is wrong with it becomes an error of ours."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise DatasetError(expected, found=f"nothing at {path}", hint=hint)
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            # or all that is to be read would be held
            yield file
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(expected, found=f"{path}: {error}", hint=hint) from error


@contextmanager
def opened_run(path: Path) -> Iterator[RunTable]:
    """A table of a finished run, in a file or in parts; what is wrong becomes an error of ours."""
    import pyarrow as pa

    expected, hint = f"the {path.name} of a finished run", "run batch inference again"
    if not path.exists():
        raise DatasetError(expected, found=f"nothing at {path}", hint=hint)
    try:
        yield RunTable(path)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(expected, found=f"{path}: {error}", hint=hint) from error


def read_window(run: InferenceRun) -> DriftTable:
    """The drift columns of a finished run.

    Raises:
        DatasetError: the run has no readable table.
        IncompatibleError: the table lacks an image statistic.
    """
    rows, failed = accepted_rows(run)
    return window_of(rows, run.model, run.statistics_recipe, failed)


def read_reference(path: Path) -> DriftTable:
    """A reference that `build_reference` wrote.

    Raises:
        DatasetError: there is no such file, or it is no reference.
    """
    rows, about = read_rows(path)
    found = window_of(
        rows.drop_columns([BATCH]), about["model"], about["statistics_recipe"], about["failed"]
    )
    batches = rows[BATCH].to_numpy().astype(np.int64)
    conditions = np.array(about["conditions"], np.str_)[batches]
    return replace(found, tolerances=about["tolerances"], conditions=conditions, batches=batches)


def read_rows(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """The rows of a reference, and what it says of itself.

    Raises:
        DatasetError: there is no such file, or it is no reference.
    """
    expected, hint = "a drift reference", "build one from an accepted run"
    with opened(path, expected, hint) as file:
        metadata = (file.schema_arrow.metadata or {}).get(METADATA_KEY)
        if metadata is None:
            raise DatasetError(expected, found=f"another Parquet file: {path}", hint=hint)
        return file.read(), json.loads(metadata)


def _array(name: str, column: pa.ChunkedArray) -> Column:
    import pyarrow as pa

    if name == EMBEDDING:
        return _vectors(column)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_null(kind):  # no row has a value; which kind it would be, the other table knows
        return np.full(len(column), np.nan)
    if name in IMAGE_COLUMNS or pa.types.is_floating(kind):
        return np.array(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    values = column.to_pylist()
    if pa.types.is_integer(kind):
        # class ids count from 0; a negative one says that there is no class
        values = [value if value is not None and value >= 0 else None for value in values]
    return np.array([NOTHING if value is None else str(value) for value in values], np.str_)


def _vectors(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    there = column.is_valid().to_numpy()
    found = column.drop_null().combine_chunks()
    if not len(found):  # how long a vector would be, the other table knows
        return blank_vectors(len(column), 0)
    flat = found.flatten().to_numpy(zero_copy_only=False)
    vectors = blank_vectors(len(column), len(flat) // len(found))
    vectors[there] = flat.reshape(len(found), -1)
    return vectors
