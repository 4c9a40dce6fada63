"""Drift decision on a window and its reference, with a controlled false-alarm rate.

A column has moved when its distance is both more than chance explains and large enough to matter:

* chance: Smirnov's test for numbers, permutation tests for categories and vectors, with the false
  discovery rate controlled over each family of columns (Benjamini and Hochberg, J. R. Stat. Soc. B
  57, 1995); the families are the image statistics, the embedding and the predictions, so that a
  drift of one does not lower the bar of another;
* matter: a limit on the distance itself, since with thousands of images chance explains nothing.
  Where the reference pools enough accepted batches, they have taught how far each column moves when
  nothing is wrong. Values that moved by less than the column's smallest change, such as two grey
  levels, have not moved.

Neighbouring frames of one scene are not independent: chance is that of as many images as they are
worth.

A reference may know several conditions, such as day and night. A window is compared with each of
them and with all together, and judged by the one that it is nearest to: what a model was accepted
on is no drift, whenever it comes.

One such window is a warning; it takes two of three within a month to be a drift. A window that is
judged without a history has to show it in each of its halves. Broken images are a data fault,
whatever else moved: there is nothing to learn from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from components.contracts import ColumnDrift, DriftDecision, DriftState, InferenceRun
from components.errors import IncompatibleError
from components.monitoring.drift.faults import data_faults
from components.monitoring.drift.history import PastWindow, confirmed, cools_down
from components.monitoring.drift.pairs import Pair, aligned, pair_columns
from components.monitoring.drift.tables import DriftTable, family_of, read_reference, read_window
from components.monitoring.drift.tolerance import UNTAUGHT
from components.printing import counted
from components.settings import ComponentSettings

_FAMILIES = ("image", "embedding", "prediction")


class DriftPolicy(ComponentSettings):
    """What counts as drift."""

    minimum_samples: int = Field(
        50, ge=4, description="Images with a prediction that a window needs."
    )
    false_discovery_rate: float = Field(
        0.01, gt=0, lt=1, description="Share of false alarms among the columns that moved."
    )
    distance: float = Field(
        UNTAUGHT,
        gt=0,
        lt=1,
        description="How much farther than by chance a column must move, until 20 accepted windows "
        "have taught it.",
    )
    fault_share: float = Field(
        0.02, gt=0, lt=1, description="Share of broken images beyond the usual."
    )
    cooldown_hours: float = Field(
        72, ge=0, description="How long after a drift another one is not told."
    )

    # Values that a column needs in window and reference, where some images have none; and images
    # that a condition of the reference needs to be compared on its own: with few of them its limits
    # are wide.
    minimum_values: ClassVar[int] = 20


def assess(
    run: InferenceRun,
    reference: Path,
    policy: DriftPolicy | None = None,
    *,
    history: Sequence[PastWindow] | None = None,
    now: datetime | None = None,
) -> DriftDecision:
    """Evaluate the images of a finished run against a reference.

    Arguments:
        run: the window.
        reference: what `build_reference` wrote.
        policy: what counts as drift.
        history: earlier windows of the same model version, the latest last, none before the first;
            None to judge the run on its own.
        now: when it is judged; by default the present time.

    Raises:
        DatasetError: a file is missing or is not what it should be.
        IncompatibleError: the two were not made by the same model, statistics recipe and columns.
    """
    return compare_tables(
        read_reference(reference), read_window(run), policy, history=history, now=now
    )


def compare_tables(
    reference: DriftTable,
    window: DriftTable,
    policy: DriftPolicy | None = None,
    *,
    history: Sequence[PastWindow] | None = None,
    now: datetime | None = None,
) -> DriftDecision:
    """Evaluate a window against a reference, both in memory; see `assess`."""
    policy, now = policy or DriftPolicy(), now or datetime.now(UTC)
    _require_same_origin(reference, window)
    reference, window = aligned(reference, window)
    faults = data_faults(reference, window, share=policy.fault_share)
    scarce = [
        f"the {name} has {counted(table.samples, 'image')} with a prediction, "
        f"{policy.minimum_samples} are needed"
        for name, table in (("window", window), ("reference", reference))
        if table.samples < policy.minimum_samples
    ]
    if scarce:
        state = DriftState.DATA_FAULT if faults else DriftState.INSUFFICIENT_DATA
        return DriftDecision(state, (*faults, *scarce), (), reference.samples, window.samples)
    nearest = _nearest(reference, window, policy)
    columns, moves = nearest.columns, nearest.moves
    raised = bool(moves) and not faults  # what is broken is no evidence that the world has changed
    state, fires, note = DriftState.OK, False, []
    if faults:
        state = DriftState.DATA_FAULT
    elif raised and _agrees(reference, window, policy, history, now):
        state, fires = DriftState.DRIFT, not cools_down(history or (), now, policy.cooldown_hours)
    elif raised:
        state, note = DriftState.WARN, [_alone(history)]
    found = (*faults, *moves[:1], *note, *nearest.named, *moves[1:]) or (_all_clear(columns),)
    reasons, condition = (*found, *nearest.unknown), nearest.condition
    return DriftDecision(
        state, reasons, columns, reference.samples, window.samples, raised, fires, condition
    )


@dataclass(frozen=True)
class _Compared:
    """A window against one condition of the reference.

    Arguments:
        condition: which.
        columns: the farthest first.
        moves: a line for each that moved.
        unknown: a line for each that could not be compared.
        named: a line that names the condition, where there are several.
    """

    condition: str
    columns: tuple[ColumnDrift, ...]
    moves: tuple[str, ...]
    unknown: tuple[str, ...]
    named: tuple[str, ...]

    @property
    def distance(self) -> tuple[int, float]:
        """Distance of the window from this condition, to be compared with others."""
        return len(self.moves), _excess(self.columns[0]) if self.columns else 0.0


def _nearest(reference: DriftTable, window: DriftTable, policy: DriftPolicy) -> _Compared:
    """The window against the condition that it is nearest to."""
    known = reference.by_condition(policy.minimum_values)
    compared = [
        _compare(name, part, window, policy, several=len(known) > 1) for name, part in known.items()
    ]
    return min(compared, key=lambda one: one.distance)


def _compare(
    condition: str, reference: DriftTable, window: DriftTable, policy: DriftPolicy, *, several: bool
) -> _Compared:
    pairs, unknown = pair_columns(reference, window, minimum_values=policy.minimum_values)
    learnt = reference.tolerances.get(condition, {})
    found = [
        column
        for family in _FAMILIES
        for column in _judge(
            [pair for pair in pairs if family_of(pair.column) == family], learnt, policy
        )
    ]
    columns = tuple(sorted(found, key=_excess, reverse=True))
    moves = _moves(columns, pairs)
    named = (f"of the known conditions it is nearest to {condition}",) if several and moves else ()
    return _Compared(condition, columns, moves, unknown, named)


def _agrees(
    reference: DriftTable,
    window: DriftTable,
    policy: DriftPolicy,
    history: Sequence[PastWindow] | None,
    now: datetime,
) -> bool:
    """Tell whether another window confirms the drift.

    That is an earlier one, or each half of one that stands alone.
    """
    if history is not None:
        return confirmed(history, now)
    half = window.samples // 2
    return all(
        _nearest(reference, window.rows(part), policy).moves
        for part in (slice(half), slice(half, None))
    )


def _alone(history: Sequence[PastWindow] | None) -> str:
    if history is None:
        return "not in both halves of the window, so not called a drift"
    return "the first such window: a drift when one of the next two agrees"


def _require_same_origin(reference: DriftTable, window: DriftTable) -> None:
    """Refuse a window of another model or statistics recipe than the reference's.

    A reference of ``"digits"``, made before its version had a number, is that of ``"digits/3"``
    too.
    """
    models = reference.model, window.model
    recipes = str(reference.statistics_recipe), str(window.statistics_recipe)
    same_model = all(a == b for a, b in zip(*(model.split("/") for model in models), strict=False))
    for what, same, (before, after) in (
        ("model", same_model, models),
        ("statistics recipe", recipes[0] == recipes[1], recipes),
    ):
        if not same:
            raise IncompatibleError(
                f"a window made with the {what} of the reference, {before}",
                found=after,
                hint="build a new reference from an accepted run",
            )


def _judge(
    family: Sequence[Pair], learnt: Mapping[str, float], policy: DriftPolicy
) -> list[ColumnDrift]:
    """Compare the columns of one family and control its false discovery rate."""
    from scipy.stats import false_discovery_control

    compared = [(pair, pair.compare()) for pair in family]
    tested = [comparison.p_value for _, comparison in compared if comparison.p_value is not None]
    adjusted = iter(false_discovery_control(tested) if tested else ())
    level = _level(tested, policy.false_discovery_rate)
    columns = []
    for pair, comparison in compared:
        threshold = comparison.limit(learnt.get(pair.column, policy.distance), level)
        p_value = None if comparison.p_value is None else float(next(adjusted))
        drifted = comparison.distance >= threshold
        columns.append(
            ColumnDrift(
                pair.column, comparison.distance, threshold, p_value, drifted, pair.smallest_change
            )
        )
    return columns


def _level(p_values: Sequence[float], rate: float) -> float:
    """Return the p-value up to which Benjamini and Hochberg's procedure calls columns changed."""
    k = len(p_values)
    passed = [rank for rank, p in enumerate(sorted(p_values), start=1) if p <= rate * rank / k]
    return rate * max(passed, default=1) / max(k, 1)


def _excess(column: ColumnDrift) -> float:
    return column.distance / column.threshold


def _moves(columns: Sequence[ColumnDrift], pairs: Sequence[Pair]) -> tuple[str, ...]:
    """One line for each column that moved, the farthest first."""
    by_name = {pair.column: pair for pair in pairs}
    return tuple(
        f"{column.column} moved by D={column.distance:.2f} (limit {column.threshold:.2f}): "
        f"{by_name[column.column].describe()}"
        for column in columns
        if column.drifted
    )


def _all_clear(columns: Sequence[ColumnDrift]) -> str:
    if not columns:
        return "no column has enough values to be compared"
    farthest = columns[0]
    return (
        f"no column moved beyond its limit; the nearest to it is {farthest.column}, "
        f"D={farthest.distance:.2f} (limit {farthest.threshold:.2f})"
    )
