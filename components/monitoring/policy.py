"""Turn a window and its reference into one decision, with a rule that does not cry wolf.

A column has drifted when its distance is both more than chance explains and large enough to matter:

* chance: Smirnov's test for numbers, a permutation test for categories, with the false discovery rate
  controlled over each family of columns (Benjamini and Hochberg, J. R. Stat. Soc. B 57, 1995); the two
  families are the image statistics and the predictions, so that a drift of one does not lower the bar
  of the other;
* matter: a limit on the distance itself, since with thousands of images chance explains nothing.

The defaults were chosen by measurement on the demo's scenes, with references of 300 and 1,000 images: of
1,600 windows of 50 to 600 scenes from the reference's own source none was called drift and 0.25 % a warning;
all of 800 windows of 50 to 500 scenes by night, darker by a quarter, blurred (σ = 1 px) or noisier (σ = 8 grey
levels) were drift. Recompression (JPEG quality 20) is mostly let pass: it moves no statistic that far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from components.contracts import ColumnDrift, DriftDecision, DriftState, InferenceRun
from components.errors import ConfigError, IncompatibleError
from components.monitoring.pairs import Pair, aligned, pair_columns
from components.monitoring.tables import DriftTable, is_prediction, read_reference, read_window


@dataclass(frozen=True)
class DriftPolicy:
    """What counts as drift.

    Arguments:
        minimum_samples: images with a prediction that window and reference each need.
        minimum_values: values that a column needs in each, where some images have none.
        false_discovery_rate: share of false alarms among the alarms of one family of columns.
        distance: how much farther (0–1) than chance alone brings it a column must move to have drifted.
        mild_distance: how much farther is worth a warning.
        failed_share: largest share of images without a prediction that passes without a warning.

    Raises:
        ConfigError: a value is out of its range.
    """

    minimum_samples: int = 50
    minimum_values: int = 20
    false_discovery_rate: float = 0.01
    distance: float = 0.2
    mild_distance: float = 0.15
    failed_share: float = 0.05

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            if setting.name.startswith("minimum_"):
                right, expected = value >= 2, "at least 2"
            else:
                right, expected = 0 < value < 1, "between 0 and 1"
            if not right:
                raise ConfigError(f"{setting.name} {expected}", found=str(value), mend="change the drift policy")
        if self.mild_distance > self.distance:
            raise ConfigError(
                f"mild_distance up to distance ({self.distance})", found=str(self.mild_distance), mend="lower it"
            )


def assess(run: InferenceRun, reference: Path, policy: DriftPolicy | None = None) -> DriftDecision:
    """Judge the images of a finished run against a reference.

    Arguments:
        run: the window.
        reference: what `build_reference` wrote.
        policy: what counts as drift.

    Raises:
        DatasetError: a file is missing or is not what it should be.
        IncompatibleError: the two were not made by the same model, statistics recipe and columns.
    """
    return compare_tables(read_reference(reference), read_window(run), policy)


def compare_tables(reference: DriftTable, window: DriftTable, policy: DriftPolicy | None = None) -> DriftDecision:
    """Judge a window against a reference, both in memory; see `assess`."""
    policy = policy or DriftPolicy()
    _require_same_origin(reference, window)
    reference, window = aligned(reference, window)
    pairs, unknown = pair_columns(reference, window, minimum_values=policy.minimum_values)
    failures = _failures(window, policy)
    scarce = [
        f"the {name} has {table.samples} images with a prediction, {policy.minimum_samples} are needed"
        for name, table in (("window", window), ("reference", reference))
        if table.samples < policy.minimum_samples
    ]
    if scarce:
        reasons = (*scarce, *failures)
        return DriftDecision(DriftState.INSUFFICIENT_DATA, reasons, (), reference.samples, window.samples)
    found = [
        column
        for family in (False, True)
        for column in _judge([pair for pair in pairs if is_prediction(pair.column) is family], policy)
    ]
    columns = tuple(sorted(found, key=_excess, reverse=True))
    reasons = (*_moves(columns, pairs, policy), *unknown, *failures)
    if any(column.drifted for column in columns):
        state = DriftState.DRIFT
    else:
        state = DriftState.WARN if reasons else DriftState.OK
    return DriftDecision(state, reasons or (_all_clear(columns),), columns, reference.samples, window.samples)


def _require_same_origin(reference: DriftTable, window: DriftTable) -> None:
    """A reference of ``"digits"``, made before its version had a number, is that of ``"digits/3"`` too."""
    same_model = all(a == b for a, b in zip(reference.model.split("/"), window.model.split("/"), strict=False))
    for what, same, before, after in (
        ("model", same_model, reference.model, window.model),
        (
            "statistics recipe",
            reference.statistics_recipe == window.statistics_recipe,
            str(reference.statistics_recipe),
            str(window.statistics_recipe),
        ),
    ):
        if not same:
            raise IncompatibleError(
                f"a window made with the {what} of the reference, {before}",
                found=after,
                mend="build a new reference from an accepted run",
            )


def _judge(family: Sequence[Pair], policy: DriftPolicy) -> list[ColumnDrift]:
    """Compare the columns of one family and control its false discovery rate."""
    from scipy.stats import false_discovery_control

    compared = [(pair.column, pair.compare()) for pair in family]
    tested = [comparison.p_value for _, comparison in compared if comparison.p_value is not None]
    adjusted = iter(false_discovery_control(tested) if tested else ())
    level = _level(tested, policy.false_discovery_rate)
    columns = []
    for name, comparison in compared:
        threshold = max(comparison.by_chance + policy.distance, comparison.critical(level))
        p_value = None if comparison.p_value is None else float(next(adjusted))
        columns.append(
            ColumnDrift(name, comparison.distance, threshold, p_value, drifted=comparison.distance >= threshold)
        )
    return columns


def _level(p_values: Sequence[float], rate: float) -> float:
    """The p-value up to which Benjamini and Hochberg's procedure calls the columns of a family changed."""
    k = len(p_values)
    passed = [rank for rank, p in enumerate(sorted(p_values), start=1) if p <= rate * rank / k]
    return rate * max(passed, default=1) / max(k, 1)


def _excess(column: ColumnDrift) -> float:
    return column.distance / column.threshold


def _moves(columns: Sequence[ColumnDrift], pairs: Sequence[Pair], policy: DriftPolicy) -> list[str]:
    """One line for each column that drifted or moved mildly, the farthest first."""
    by_name = {pair.column: pair for pair in pairs}
    lines = []
    for column in columns:
        significant = column.p_value is not None and column.p_value <= policy.false_discovery_rate
        mild = column.threshold - (policy.distance - policy.mild_distance)
        if column.drifted or (significant and column.distance >= mild):
            verb = "moved" if column.drifted else "moved a little,"
            lines.append(
                f"{column.column} {verb} by D={column.distance:.2f} (limit {column.threshold:.2f}): "
                f"{by_name[column.column].describe()}"
            )
    return lines


def _failures(window: DriftTable, policy: DriftPolicy) -> list[str]:
    total = window.samples + window.failed
    if not window.failed or window.failed <= policy.failed_share * total:
        return []
    return [
        f"{window.failed} of {total} images ({window.failed / total:.0%}) have no prediction "
        f"(limit {policy.failed_share:.0%}): see the failures of the run"
    ]


def _all_clear(columns: Sequence[ColumnDrift]) -> str:
    if not columns:
        return "no column has enough values to be compared"
    farthest = columns[0]
    return (
        f"no column moved beyond its limit; the nearest to it is {farthest.column}, "
        f"D={farthest.distance:.2f} (limit {farthest.threshold:.2f})"
    )
