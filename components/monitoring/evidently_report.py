"""The door to Evidently: its drift and summary report over the same columns, distances and limits as ours."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components import telemetry
from components.contracts import ColumnDrift
from components.monitoring.distances import compare_categories, compare_numbers
from components.monitoring.tables import DriftTable

_NUMBERS, _CATEGORIES = "foveal_ks", "foveal_total_variation"
_MOST_ROWS = 10_000  # Evidently's time and memory grow with the rows; its plots say no more with a million


def write_evidently(
    reference: DriftTable, window: DriftTable, columns: Sequence[ColumnDrift], html: Path
) -> dict[str, Any]:
    """Write Evidently's own report as a self-contained page, on at most 10,000 rows of each side.

    Arguments:
        reference: the accepted rows.
        window: the rows that were judged; both as `aligned` gave them.
        columns: what was compared, at least one of the tables' own columns, and with which limits.
        html: the page to write.

    Returns:
        Evidently's results as plain JSON values.
    """
    telemetry.switch_off()
    limits = {column.column: column.threshold for column in columns if column.column in reference.columns}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Evidently's use of what pandas and NumPy deprecate is not for our users
        results = _run(_dataset(reference, list(limits)), _dataset(window, list(limits)), limits, html)
    return results


def _run(reference: Any, window: Any, limits: dict[str, float], html: Path) -> dict[str, Any]:
    from evidently import Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    _register_distances()
    drift = DataDriftPreset(
        columns=list(limits),
        drift_share=1 / len(limits),  # one drifted column is a drift, as in our policy
        num_method=_NUMBERS,
        cat_method=_CATEGORIES,
        per_column_threshold=limits,
    )
    snapshot = Report([drift, DataSummaryPreset(columns=list(limits))]).run(window, reference)
    snapshot.save_html(str(html))
    results: dict[str, Any] = json.loads(snapshot.json(), parse_constant=lambda _: None)
    return results


def _dataset(table: DriftTable, names: list[str]) -> Any:
    """One side as Evidently's dataset, each column's kind said and not guessed."""
    import pandas as pd
    from evidently import DataDefinition, Dataset

    frame = pd.DataFrame({name: table.columns[name] for name in names})
    if len(frame) > _MOST_ROWS:
        frame = frame.sample(_MOST_ROWS, random_state=0)
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
