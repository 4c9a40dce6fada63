"""Evidently's report: drift, summary and quality of the same columns, by our distances and limits.

A column's drift score is its distance as a share of its limit, so 1 is the threshold of every
column in every window. Evidently's dashboard takes what was measured with another threshold for
another series: this way a column is one line.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from components import telemetry
from components.contracts import ColumnDrift
from components.monitoring.drift.distances import compare_categories, compare_numbers
from components.monitoring.drift.tables import DriftTable

if TYPE_CHECKING:
    import pandas as pd
    from evidently import Dataset, Report
    from evidently.core.report import Snapshot
    from evidently.legacy.core import ColumnType

_NUMBERS, _CATEGORIES = "foveal_ks", "foveal_total_variation"
# of the columns: one that drifted is a drift, as in our policy, however many there are
_DRIFT_SHARE = 0.001
_SUMMARISED = 8  # columns, the farthest: Evidently draws each seven times over, at 0.3 s a column
# Evidently's time and memory grow with the rows; its plots say no more with a million
MAX_ROWS = 10_000


def write_evidently(
    reference: DriftTable,
    window: DriftTable,
    columns: Sequence[ColumnDrift],
    html: Path,
    *,
    at: datetime,
    tags: Sequence[str] = (),
) -> tuple[Snapshot, dict[str, object]]:
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
    names = [column.column for column in columns]
    with warnings.catch_warnings():
        # Evidently's use of what pandas and NumPy deprecate is not for our users
        warnings.simplefilter("ignore")
        report = _report(columns)
        snapshot = report.run(
            _dataset(window, names),
            _dataset(reference, names),
            timestamp=at.astimezone(UTC).replace(tzinfo=None),  # as Evidently's own are
            tags=list(tags),
        )
        snapshot.save_html(str(html))
    results: dict[str, object] = json.loads(snapshot.json(), parse_constant=lambda _: None)
    return snapshot, results


def _report(columns: Sequence[ColumnDrift]) -> Report:
    """Drift with our limits, the summary, and tests of quality that need no limit."""
    from evidently import Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset
    from evidently.tests import eq

    _register_distances({column.column: column for column in columns})
    drift = DataDriftPreset(
        # the dashboard's colours follow their order
        columns=sorted(column.column for column in columns),
        drift_share=_DRIFT_SHARE,
        num_method=_NUMBERS,
        cat_method=_CATEGORIES,
        num_threshold=1.0,
        cat_threshold=1.0,
    )
    summary = DataSummaryPreset(
        columns=[column.column for column in columns[:_SUMMARISED]],
        duplicated_row_count_tests=[eq(0)],
        empty_row_count_tests=[eq(0)],
        empty_column_count_tests=[eq(0)],
    )
    return Report([drift, summary])


def shown_by_evidently(table: DriftTable, column: str) -> bool:
    """Tell whether Evidently can evaluate a column: no vector, nor one that we derived."""
    return column in table.columns and not table.is_vector(column)


def _dataset(table: DriftTable, names: list[str]) -> Dataset:
    """One side as Evidently's dataset, each column's kind said and not guessed."""
    import pandas as pd
    from evidently import DataDefinition, Dataset

    frame = pd.DataFrame({name: table.columns[name] for name in names})
    if len(frame) > MAX_ROWS:
        frame = frame.sample(MAX_ROWS, random_state=0)
    definition = DataDefinition(
        numerical_columns=[name for name in names if not table.is_category(name)],
        categorical_columns=[name for name in names if table.is_category(name)],
    )
    return Dataset.from_pandas(frame, data_definition=definition)


def _register_distances(limits: Mapping[str, ColumnDrift]) -> None:
    """Teach Evidently our distances and the limits of this report.

    So its page never contradicts the decision.
    """
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    def numbers(
        reference: pd.Series, window: pd.Series, kind: ColumnType, threshold: float
    ) -> tuple[float, bool]:
        limit = limits[str(window.name)]
        found = compare_numbers(reference.to_numpy(), window.to_numpy(), limit.smallest_change)
        return _share(found.distance, limit, threshold)

    def categories(
        reference: pd.Series, window: pd.Series, kind: ColumnType, threshold: float
    ) -> tuple[float, bool]:
        found = compare_categories(reference.to_numpy(), window.to_numpy())
        return _share(found.distance, limits[str(window.name)], threshold)

    title = "{} distance as a share of its limit".format
    register_stattest(
        StatTest(_NUMBERS, title("Kolmogorov–Smirnov"), [ColumnType.Numerical], 1.0), numbers
    )
    register_stattest(
        StatTest(_CATEGORIES, title("total variation"), [ColumnType.Categorical], 1.0), categories
    )


def _share(distance: float, limit: ColumnDrift, threshold: float) -> tuple[float, bool]:
    """Return a distance as a share of its limit, and whether that is a drift.

    A column that cannot move has no limit.
    """
    share = distance / limit.threshold if limit.threshold > 0 else float(distance > 0)
    return share, share >= threshold
