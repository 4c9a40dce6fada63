"""The two tables of a batch run: one row per image, one per detection, always the same columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import numpy.typing as npt

from components.contracts import EMBEDDING, Prediction
from components.errors import DatasetError
from components.images.statistics import IMAGE_COLUMNS, STATISTICS_RECIPE
from components.inference.engine import Outcome, describe
from components.inference.prepare import Prepared
from components.inference.results import items_of
from components.runs.finished import DETECTIONS, IMAGES
from components.vision import VisionTask

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
Schemas = Mapping[str, "pa.Schema"]  # by the table's file name

_BUILT_AT_ONCE = 256  # rows that are Python objects
ROW_GROUP = 65_536  # rows; a compromise between memory while writing and speed of reading


def table_schemas(task: VisionTask, own: pa.Table | None = None) -> Schemas:
    """Return the columns of both tables.

    They are the same for an empty run and for one in which every image failed.

    Arguments:
        task: names the ``prediction_…`` columns.
        own: the caller's own columns, which come last in the table of images.

    Raises:
        DatasetError: one of them is named like a column of the results.
    """
    images = images_schema(task)
    if own is None:
        return {IMAGES: images, DETECTIONS: detections_schema()}
    if clash := [name for name in own.column_names if name in images.names]:
        raise DatasetError(
            "columns of the list that are named unlike those of the results",
            found=", ".join(clash),
            hint="rename them, or leave them out",
        )
    for field in own.schema:
        images = images.append(field)
    return {IMAGES: images, DETECTIONS: detections_schema()}


def images_schema(task: VisionTask) -> pa.Schema:
    """The columns of `images.parquet`.

    What could not be known of an image is null: all but its name for one that could not be read.
    `embedding` is null throughout for a model without one.

    Arguments:
        task: names the ``prediction_…`` columns and gives their types.
    """
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    predicted = {
        name: pa.from_numpy_dtype(values.dtype)
        for name, values in task.drift_columns([], []).items()
    }
    return pa.schema(
        {
            "image_id": text, "uri": text, "status": text, "error": text,
            "file_bytes": pa.int64(), "sha256": text,
            **dict.fromkeys(IMAGE_COLUMNS, number),
            **predicted,
            # not of fixed size: pyarrow cannot read back a null among those
            EMBEDDING: pa.list_(pa.float32()),
            "model": text, "artifact_sha256": text, "backend": text,
            "statistics_recipe": pa.int32(),
            "decode_ms": number, "preprocess_ms": number, "inference_ms": number,
            "postprocess_ms": number, "predicted_at": pa.timestamp("us", tz="UTC"),
        }
    )  # fmt: skip


def detections_schema() -> pa.Schema:
    """The columns of `detections.parquet`; `detection` counts from 0 within an image.

    Boxes are in pixels of the upright original image; a classification has no box, and its rows are
    the most probable classes.
    """
    import pyarrow as pa

    corner = pa.float32()
    return pa.schema(
        {
            "image_id": pa.string(), "detection": pa.int32(),
            "class_id": pa.int64(), "class_name": pa.string(), "confidence": pa.float32(),
            "x1": corner, "y1": corner, "x2": corner, "y2": corner,
        }
    )  # fmt: skip


def image_rows(
    prepared: Sequence[Prepared],
    outcomes: Sequence[Outcome | None],
    task: VisionTask,
    provenance: Mapping[str, object],
) -> list[Row]:
    """One row for each image of a batch.

    Arguments:
        prepared: the images.
        outcomes: what the model made of each; None for an image that never reached it.
        task: whose columns describe the predictions.
        provenance: what is the same in all rows of the run: model, artifact, backend.
    """
    found = [
        (outcome.prediction, image.fitted[1])
        for image, outcome in zip(prepared, outcomes, strict=True)
        if image.fitted is not None and outcome is not None and outcome.prediction is not None
    ]
    described = _rows_of(
        task.drift_columns([one for one, _ in found], [frame for _, frame in found]), len(found)
    )
    now = datetime.now(UTC)
    rows = []
    for image, outcome in zip(prepared, outcomes, strict=True):
        row = {
            **provenance,
            "statistics_recipe": STATISTICS_RECIPE,
            "predicted_at": now,
            **_image_columns(image),
        }
        if outcome is not None:
            row |= {"inference_ms": outcome.inference_ms, "postprocess_ms": outcome.postprocess_ms}
            if outcome.error is not None:
                row |= {"status": "error", "error": describe(outcome.error)}
            else:
                row |= {**next(described), EMBEDDING: outcome.embedding}
        rows.append(row)
    return rows


def _image_columns(image: Prepared) -> Row:
    return {
        "image_id": image.source.image_id, "uri": image.source.address,
        "status": "error" if image.error else "ok", "error": image.error or None,
        "file_bytes": image.file_bytes, "sha256": image.sha256,
        **image.statistics,
        "decode_ms": image.decode_ms, "preprocess_ms": image.preprocess_ms,
    }  # fmt: skip


def _rows_of(columns: Mapping[str, npt.NDArray[np.generic]], count: int) -> Iterator[Row]:
    lists = {name: np.asarray(values).tolist() for name, values in columns.items()}
    return iter([{name: values[k] for name, values in lists.items()} for k in range(count)])


def detection_rows(
    image_id: str, prediction: Prediction, class_names: tuple[str, ...]
) -> list[Row]:
    """One row for each detection of an image, or for each of its most probable classes.

    Arguments:
        image_id: of the image.
        prediction: what was found.
        class_names: index is class id.
    """
    return [
        {
            "image_id": image_id, "detection": number,
            "class_id": item.class_id, "class_name": item.class_name, "confidence": item.confidence,
            **dict(zip(("x1", "y1", "x2", "y2"), item.box or (), strict=False)),
        }
        for number, item in enumerate(items_of(prediction, class_names))
    ]  # fmt: skip


class TableBuilder:
    """Collects rows as Arrow columns; as Python objects there are only a few at a time.

    Arguments:
        schema: of the table; a value that a row lacks is null.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema, self._rows = schema, list[Row]()
        self._parts: list[pa.Table] = []

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows."""
        self._rows += rows
        if len(self._rows) >= _BUILT_AT_ONCE:
            self._build()

    def table(self, own: pa.Table | None = None) -> pa.Table:
        """Return all rows.

        Arguments:
            own: further columns, a row for each.
        """
        import pyarrow as pa

        self._build()
        table = pa.concat_tables(self._parts).combine_chunks()
        if own is not None:
            for field in own.schema:
                table = table.append_column(field, own[field.name])
        return table

    def _build(self) -> None:
        import pyarrow as pa

        self._parts.append(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []


def write_table(path: Path, rows: Sequence[Row], schema: pa.Schema) -> None:
    """Write rows as Parquet; a value that a row lacks is null."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path, compression="zstd")


def merge_tables(
    parts: Sequence[Path],
    target: Path,
    schema: pa.Schema,
    damaged: Callable[[Path, Exception], NoReturn],
) -> None:
    """Write all parts' rows, in order, into a Parquet file, holding one row group at a time.

    Arguments:
        parts: Parquet files.
        target: what is written.
        schema: of all of them.
        damaged: raises what is to be said of a part that cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        waiting: list[pa.Table] = []
        for part in parts:
            try:
                waiting.append(pq.read_table(part, schema=schema))
            except (pa.ArrowException, OSError) as error:
                damaged(part, error)
            if sum(map(len, waiting)) >= ROW_GROUP:
                writer.write_table(pa.concat_tables(waiting))
                waiting = []
        if waiting:
            writer.write_table(pa.concat_tables(waiting))
