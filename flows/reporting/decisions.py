"""Decisions for people: rows of a table."""

from __future__ import annotations

from datetime import datetime

from components.contracts import Decided, Outcome

DECISION_HEADINGS = ("#", "when (UTC)", "outcome", "version", "champion", "trigger", "who")


def decision_cells(decided: Decided) -> tuple[str, ...]:
    """One row, in the order of `DECISION_HEADINGS`."""
    decision = decided.decision
    return (
        str(decided.number),
        decision_time(decided.at),
        outcome(decided),
        f"v{decision.version}",
        _move(decided),
        decision.trigger,
        decision.who,
    )


def _move(decided: Decided) -> str:
    decision = decided.decision
    before = "–" if decision.champion_before is None else f"v{decision.champion_before}"
    if decision.outcome is Outcome.REJECTED:
        return f"{before} stays"
    return f"{before} → {'–' if decision.outcome is Outcome.WITHDRAWN else f'v{decision.version}'}"


def outcome(decided: Decided) -> str:
    """The outcome in words."""
    return decided.decision.outcome.value.replace("_", " ")


def decision_time(at: datetime) -> str:
    """A moment, to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S}"
