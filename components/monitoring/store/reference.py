"""Make the reference to compare windows with: held-out images, and batches of production since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.contracts import EMBEDDING, InferenceRun, dump, load
from components.errors import DatasetError, IncompatibleError
from components.files import replacing
from components.monitoring.drift.tables import (
    BATCH,
    HELD_OUT,
    METADATA_KEY,
    DriftTable,
    accepted_rows,
    read_rows,
    window_of,
)
from components.monitoring.drift.tolerance import learn_tolerances
from components.monitoring.performance.estimate import ReferenceLabels
from components.monitoring.store.pictures import kept_pictures

if TYPE_CHECKING:
    import pyarrow as pa

_MIN_IMAGES = 50  # of a batch that others are compared with
_MIN_VALUES = 20  # of a column in it


def build_reference(
    runs: InferenceRun | Sequence[InferenceRun],
    output: Path,
    *,
    conditions: Sequence[str] | None = None,
    labels: ReferenceLabels | None = None,
) -> Path:
    """Write the drift columns of accepted runs as one Parquet file.

    Arguments:
        runs: one finished run, or several that are pooled; images without a prediction are left
            out.
        output: the file to write; it carries the model, the statistics recipe, the counts, a hash
            of the rows and a dozen thumbnails of each condition where the runs say where their
            images are.
        conditions: of each run, such as day or night: a window is accepted that is like one of
            them; None is one for all.
        labels: what is known of the accuracy on them.

    Returns:
        `output`; from 20 runs of at least 50 images of one condition on it also says how far each
        column may move.

    Raises:
        DatasetError: a run has no readable table, or no image has a prediction.
        IncompatibleError: the runs differ in model, statistics recipe or columns.
    """
    pooled = (runs,) if isinstance(runs, InferenceRun) else tuple(runs)
    made_by = {(run.model, run.statistics_recipe) for run in pooled}
    if len(made_by) > 1:
        raise IncompatibleError(
            "runs of one model with one statistics recipe",
            found=", ".join(f"{model} with recipe {recipe}" for model, recipe in sorted(made_by)),
            hint="build one reference for each",
        )
    parts = [accepted_rows(run) for run in pooled]
    if not any(len(rows) for rows, _ in parts):
        raise DatasetError(
            "at least one image with a prediction", found="none", hint="see the failures of the run"
        )
    model, recipe = made_by.pop()
    about = {
        "model": model,
        "statistics_recipe": recipe,
        "failed": sum(failed for _, failed in parts),
        "labels": labels and dump(labels),
    }
    names = list(conditions) if conditions else [HELD_OUT] * len(parts)
    return _write(list(zip(names, (rows for rows, _ in parts), strict=True)), about, output)


def read_labels(path: Path) -> ReferenceLabels | None:
    """Read a reference's accuracy on its held-out images, if it has one.

    Raises:
        DatasetError: there is no such file, or it is no reference.
    """
    record = read_rows(path)[1]["labels"]
    return load(ReferenceLabels, record) if record else None


def pool_reference(held_out: Path, accepted: Sequence[tuple[str, pa.Table]], output: Path) -> Path:
    """Pool a reference with batches of production that were accepted since.

    Arguments:
        held_out: what `build_reference` wrote.
        accepted: for each batch its condition, and the rows of its `images.parquet`.
        output: the file to write.

    Returns:
        `output`.

    Raises:
        DatasetError: `held_out` is no reference.
        IncompatibleError: a batch was made with another statistics recipe or lacks a column.
    """
    import pyarrow.compute as pc

    rows, about = read_rows(held_out)
    wanted = [name for name in rows.column_names if name != BATCH]
    named = enumerate(about["conditions"])
    parts = [
        (condition, rows.filter(pc.equal(rows[BATCH], k)).select(wanted)) for k, condition in named
    ]
    for condition, batch in accepted:
        ok = batch.filter(pc.equal(batch["status"], "ok"))
        recipes = set(pc.unique(ok["statistics_recipe"]).to_pylist())
        if missing := [name for name in wanted if name not in batch.column_names]:
            raise IncompatibleError(
                "batches with the columns of the reference", found=f"none of {', '.join(missing)}"
            )
        if recipes - {about["statistics_recipe"]}:
            raise IncompatibleError(
                f"batches made with statistics recipe {about['statistics_recipe']}",
                found=", ".join(map(str, sorted(recipes))),
                hint="build a new reference",
            )
        parts.append((condition, ok.select(wanted)))
    return _write(parts, about, output)


def _write(parts: Sequence[tuple[str, pa.Table]], about: Mapping[str, Any], output: Path) -> Path:
    """Write the rows of all parts, with their condition and number, and what is known of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        marked = [
            rows.append_column(BATCH, pa.array([k] * len(rows), pa.int32()))
            for k, (_, rows) in enumerate(parts)
        ]
        table = pa.concat_tables(marked, promote_options="default")
        if EMBEDDING in table.column_names and table[EMBEDDING].null_count == len(table):
            # the model gives none
            table = table.drop_columns([EMBEDDING])
    except pa.ArrowException as error:
        raise IncompatibleError(
            "runs with the same columns", found=str(error), hint="run inference again"
        ) from error
    model, recipe = about["model"], about["statistics_recipe"]
    batches: dict[str, list[DriftTable]] = {}
    for condition, rows in parts:
        if len(rows) >= _MIN_IMAGES:
            batches.setdefault(condition, []).append(window_of(rows, model, recipe))
    learnt = {
        name: learn_tolerances(tables, minimum_values=_MIN_VALUES)
        for name, tables in batches.items()
    }
    known = {
        **about,
        "samples": len(table),
        "conditions": [condition for condition, _ in parts],
        "sha256": _content_hash(table),
        "tolerances": {name: tolerances for name, tolerances in learnt.items() if tolerances},
        "pictures": kept_pictures(
            table, np.repeat([name for name, _ in parts], [len(rows) for _, rows in parts])
        ),
    }
    with replacing(output) as aside:
        pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(known)}), aside)
    return output


def _content_hash(table: pa.Table) -> str:
    """Hash a reference's contents, whatever way Parquet writes them."""
    digest = hashlib.sha256()
    for name in table.column_names:
        if name != EMBEDDING:
            digest.update(name.encode())
            for part in _content_of(table[name]):
                digest.update(part)
    return digest.hexdigest()


def _content_of(column: pa.ChunkedArray) -> Iterator[bytes | pa.Buffer]:
    """A column as bytes: which rows have a value, and the values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    yield column.is_null().to_numpy().tobytes()
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        yield column.fill_null(0).to_numpy().tobytes()
        return
    texts = column.cast(pa.string()).fill_null("").combine_chunks()
    yield pc.binary_length(texts).to_numpy().tobytes()
    yield pc.binary_join(pa.ListArray.from_arrays([0, len(texts)], texts), "")[0].as_buffer()
