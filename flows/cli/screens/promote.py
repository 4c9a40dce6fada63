"""Screen output of the commands on the decision record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from components.contracts import Decided, Outcome
from flows.cli.screens.console import make_console
from flows.cli.screens.verbosity import Verbosity, verbosity
from flows.reporting.decisions import DECISION_HEADINGS, decision_cells, decision_time, outcome
from model_registry import ChampionPeriod, History

_STYLES = {Outcome.REJECTED: "yellow", Outcome.ROLLED_BACK: "bold red", Outcome.WITHDRAWN: "bold red"}
_out = make_console()
_err = make_console(stderr=True)


def champion(name: str, record: History) -> None:
    """The champion after a decision."""
    before = "–" if record.previous is None else f"{name}/{record.previous}"
    _line(f"{name}: champion is {name}/{record.champion}, previous champion {before}")
    if last := record.last_change():
        _line(f"  {_sentence(last)}", "dim")


def schedules_wait() -> None:
    """Say on stderr that a first champion has started no schedules."""
    text = "note: no Prefect server answers here: schedules begin with the next foveal deploy or foveal up"
    if verbosity() is not Verbosity.QUIET:
        _err.print(text, highlight=False, soft_wrap=True, markup=False)


def decisions(name: str, rows: Sequence[Decided]) -> None:
    """The record as a table, oldest first, with the reasons beneath each decision."""
    cells = [DECISION_HEADINGS, *(decision_cells(decided) for decided in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(DECISION_HEADINGS))]
    _line(name)
    for row, decided in zip(cells, [None, *rows], strict=True):
        style = "bold" if decided is None else _STYLES.get(decided.decision.outcome)
        _line("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), style)
        for reason in decided.decision.reasons if decided else ():
            _line(" " * (widths[0] + 4) + reason, "dim")


def broken(name: str, lines: Sequence[str]) -> None:
    """Print the faults of a decision record on stderr."""
    for line in lines:
        _err.print(f"warning: {name}: {line} outside of Foveal", highlight=False, soft_wrap=True, markup=False)


def period(name: str, moment: datetime, found: ChampionPeriod | None) -> None:
    """Print which version was in production at a moment."""
    if found is None:
        _line(f"{decision_time(moment)} UTC: no version of {name} was in production")
        return
    until = f"until {decision_time(found.until)} UTC" if found.until else "and still is"
    since = f"in production since {decision_time(found.since)} UTC {until}"
    _line(f"{decision_time(moment)} UTC: {name}/{found.version}, {since}")
    _line(f"  began with {_sentence(found.by)}", "dim")
    if found.ended_by:
        _line(f"  ended with {_sentence(found.ended_by)}", "dim")


def _sentence(decided: Decided) -> str:
    decision = decided.decision
    what = f"decision {decided.number}, {outcome(decided)} v{decision.version} by {decision.who} ({decision.trigger})"
    return f"{what}: {'; '.join(decision.reasons)}" if decision.reasons else what


def _line(text: str, style: str | None = None) -> None:
    _out.print(text, highlight=False, soft_wrap=True, markup=False, style=style)
