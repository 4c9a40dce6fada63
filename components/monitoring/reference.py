"""Make the reference that later windows are compared with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from components.contracts import InferenceRun
from components.errors import DatasetError, IncompatibleError
from components.files import replacing
from components.monitoring.tables import METADATA_KEY, accepted_rows


def build_reference(runs: InferenceRun | Sequence[InferenceRun], output: Path) -> Path:
    """Write the drift columns of accepted runs as one Parquet file.

    Arguments:
        runs: one finished run, or several that are pooled; images without a prediction are left out.
        output: the file to write; it carries the model, the statistics recipe and the sample count.

    Returns:
        `output`.

    Raises:
        DatasetError: a run has no readable table, or no image has a prediction.
        IncompatibleError: the runs differ in model, statistics recipe or columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    pooled = (runs,) if isinstance(runs, InferenceRun) else tuple(runs)
    made_by = {(run.model, run.statistics_recipe) for run in pooled}
    if len(made_by) > 1:
        raise IncompatibleError(
            "runs of one model with one statistics recipe",
            found=", ".join(f"{model} with recipe {recipe}" for model, recipe in sorted(made_by)),
            mend="build one reference for each",
        )
    parts = [accepted_rows(run) for run in pooled]
    samples = sum(len(rows) for rows, _ in parts)
    if not samples:
        raise DatasetError("at least one image with a prediction", found="none", mend="see the failures of the run")
    model, recipe = made_by.pop()
    about = {"model": model, "statistics_recipe": recipe, "samples": samples, "failed": sum(f for _, f in parts)}
    try:
        table = pa.concat_tables([rows for rows, _ in parts], promote_options="default")
    except pa.ArrowException as error:
        raise IncompatibleError("runs with the same columns", found=str(error), mend="run inference again") from error
    with replacing(output) as aside:
        pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(about)}), aside)
    return output
