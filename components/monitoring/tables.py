"""What drift is measured on: the columns of a run's `images.parquet`, or of a reference, as NumPy arrays."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.contracts import InferenceRun
from components.errors import DatasetError, IncompatibleError
from components.images.statistics import IMAGE_COLUMNS

METADATA_KEY = b"foveal.reference"
PREDICTION_PREFIX = "prediction_"
NOTHING = "none"  # the category of a row without one, such as the top class of an image without detections


@dataclass(frozen=True, eq=False)
class DriftTable:
    """One row per image that has a prediction; a column is either numbers or categories.

    In a file image statistics and floating-point predictions are numbers; class ids, text and truth values
    are categories.

    Arguments:
        columns: name → (n,) float64, NaN where there is no value, or (n,) str.
        model: name and version of the model that made the predictions.
        statistics_recipe: version of the image statistics.
        failed: images of the same run without a prediction; they have no row.
    """

    columns: Mapping[str, npt.NDArray[Any]]
    model: str
    statistics_recipe: int
    failed: int

    @property
    def samples(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values())))

    def is_category(self, column: str) -> bool:
        """Whether a column holds names instead of numbers."""
        return self.columns[column].dtype.kind == "U"


def is_prediction(column: str) -> bool:
    """Whether a column describes what the model said, and not the image."""
    return column.startswith(PREDICTION_PREFIX)


def accepted_rows(run: InferenceRun) -> tuple[Any, int]:
    """The rows with a prediction, reduced to the drift columns.

    Returns:
        A pyarrow.Table with the image statistics in their usual order, then the prediction columns;
        the number of rows without a prediction.

    Raises:
        DatasetError: the run has no readable table.
        IncompatibleError: the table lacks an image statistic.
    """
    import pyarrow.compute as pc

    table = _read_parquet(
        run.images,
        "the images.parquet of a finished run",
        "run batch inference again",
        wanted=lambda name: name == "status" or name in IMAGE_COLUMNS or is_prediction(name),
    )
    missing = [name for name in ("status", *IMAGE_COLUMNS) if name not in table.column_names]
    if missing:
        raise IncompatibleError(
            "a table of images with status and every image statistic",
            found=f"{run.images} without {', '.join(missing)}",
            mend="run batch inference again with this version",
        )
    accepted = table.filter(pc.equal(table["status"], "ok"))
    columns = [*IMAGE_COLUMNS, *(name for name in table.column_names if is_prediction(name))]
    return accepted.select(columns), len(table) - len(accepted)


def read_window(run: InferenceRun) -> DriftTable:
    """The drift columns of a finished run.

    Raises:
        DatasetError: the run has no readable table.
        IncompatibleError: the table lacks an image statistic.
    """
    rows, failed = accepted_rows(run)
    return DriftTable(_arrays(rows), run.model, run.statistics_recipe, failed)


def read_reference(path: Path) -> DriftTable:
    """A reference that `build_reference` wrote.

    Raises:
        DatasetError: there is no such file, or it is no reference.
    """
    mend = "build one from an accepted run"
    table = _read_parquet(path, "a drift reference", mend)
    metadata = (table.schema.metadata or {}).get(METADATA_KEY)
    if metadata is None:
        raise DatasetError("a drift reference", found=f"another Parquet file: {path}", mend=mend)
    about = json.loads(metadata)
    return DriftTable(_arrays(table), about["model"], about["statistics_recipe"], about["failed"])


def _read_parquet(path: Path, expected: str, mend: str, wanted: Callable[[str], bool] = bool) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise DatasetError(expected, found=f"nothing at {path}", mend=mend)
    try:
        return pq.read_table(path, columns=[name for name in pq.read_schema(path).names if wanted(name)])
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(expected, found=f"{path}: {error}", mend=mend) from error


def _arrays(table: Any) -> dict[str, npt.NDArray[Any]]:
    return {name: _array(name, table[name]) for name in table.column_names}


def _array(name: str, column: Any) -> npt.NDArray[Any]:
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_null(kind):  # no row has a value; which kind it would be, the other table knows
        return np.full(len(column), np.nan)
    if name in IMAGE_COLUMNS or pa.types.is_floating(kind):
        return np.array(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    values = column.to_pylist()
    if pa.types.is_integer(kind):  # class ids count from 0; a negative one says that there is no class
        values = [value if value is not None and value >= 0 else None for value in values]
    return np.array([NOTHING if value is None else str(value) for value in values], np.str_)
