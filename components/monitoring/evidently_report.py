"""The door to Evidently: drift, summary and quality of the same columns, with the same distances and limits as ours."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components import telemetry
from components.contracts import ColumnDrift
from components.monitoring.distances import compare_categories, compare_numbers
from components.monitoring.tables import DriftTable

_NUMBERS, _CATEGORIES = "foveal_ks", "foveal_total_variation"
_SUMMARISED = 8  # columns, the farthest: Evidently draws each seven times over, at 0.3 s a column
MOST_ROWS = 10_000  # Evidently's time and memory grow with the rows; its plots say no more with a million


def write_evidently(
    reference: DriftTable,
    window: DriftTable,
    columns: Sequence[ColumnDrift],
    html: Path,
    *,
    at: datetime,
    tags: Sequence[str] = (),
) -> tuple[Any, dict[str, Any]]:
    """Write Evidently's own report as a self-contained page, on at most 10,000 rows of each side.

    Arguments:
        reference: the accepted rows.
        window: the rows that were judged; both as `aligned` gave them.
        columns: at least one, all `shown_by_evidently`, with their limits, the farthest first.
        html: the page to write.
        at: when the window was.
        tags: of Evidently's run.

    Returns:
        Evidently's run, and its results as plain JSON values.
    """
    telemetry.switch_off()
    limits = {column.column: column.threshold for column in columns}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Evidently's use of what pandas and NumPy deprecate is not for our users
        report = _report(limits)
        snapshot = report.run(
            _dataset(window, list(limits)),
            _dataset(reference, list(limits)),
            timestamp=at.astimezone(UTC).replace(tzinfo=None),  # as Evidently's own are
            tags=list(tags),
        )
        snapshot.save_html(str(html))
    results: dict[str, Any] = json.loads(snapshot.json(), parse_constant=lambda _: None)
    return snapshot, results


def _report(limits: dict[str, float]) -> Any:
    """Drift with our limits, the summary, and tests of quality that need no limit."""
    from evidently import Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset
    from evidently.tests import eq

    _register_distances()
    drift = DataDriftPreset(
        columns=list(limits),
        drift_share=1 / len(limits),  # one drifted column is a drift, as in our policy
        num_method=_NUMBERS,
        cat_method=_CATEGORIES,
        per_column_threshold=limits,
    )
    summary = DataSummaryPreset(
        columns=list(limits)[:_SUMMARISED],
        duplicated_row_count_tests=[eq(0)],
        empty_row_count_tests=[eq(0)],
        empty_column_count_tests=[eq(0)],
    )
    return Report([drift, summary])


def shown_by_evidently(table: DriftTable, column: str) -> bool:
    """Whether Evidently can judge a column: it has no distance of ours for vectors, nor columns that we derived."""
    return column in table.columns and not table.is_vector(column)


def _dataset(table: DriftTable, names: list[str]) -> Any:
    """One side as Evidently's dataset, each column's kind said and not guessed."""
    import pandas as pd
    from evidently import DataDefinition, Dataset

    frame = pd.DataFrame({name: table.columns[name] for name in names})
    if len(frame) > MOST_ROWS:
        frame = frame.sample(MOST_ROWS, random_state=0)
    definition = DataDefinition(
        numerical_columns=[name for name in names if not table.is_category(name)],
        categorical_columns=[name for name in names if table.is_category(name)],
    )
    return Dataset.from_pandas(frame, data_definition=definition)


def _register_distances() -> None:
    """Teach Evidently our two distances, so that its page never contradicts the decision; idempotent."""
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    for name, label, kind, compare in (
        (_NUMBERS, "Kolmogorov–Smirnov distance", ColumnType.Numerical, compare_numbers),
        (_CATEGORIES, "total variation distance", ColumnType.Categorical, compare_categories),
    ):

        def measure(reference: Any, window: Any, kind: Any, limit: float, compare: Any = compare) -> tuple[float, bool]:
            distance = compare(reference.to_numpy(), window.to_numpy()).distance
            return distance, distance >= limit

        register_stattest(StatTest(name, label, [kind], 0.2), measure)
