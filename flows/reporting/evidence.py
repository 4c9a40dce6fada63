"""Gates and decisions for people: the tables and the pages that show them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from components.contracts import Decided, Gate, GateReport, Outcome, Verdict
from components.tables import Table, interval, number

_GATES = ("gate", "champion", "challenger", "change [95 %]", "limit", "n", "verdict")
_DECISIONS = ("#", "when (UTC)", "outcome", "version", "champion", "trigger", "who")


def headline(report: GateReport) -> str:
    """Sum the result of the gates up in one line."""
    against = f" against {report.champion}" if report.champion else ", without a champion"
    return f"{report.challenger}{against}: {'passed' if report.passed else 'not passed'}"


def held_by(report: GateReport) -> str:
    """Name the first required gate that was not passed; empty if none holds it back."""
    held = (gate for gate in report.gates if gate.required and gate.verdict is not Verdict.PASS)
    return next((gate.name for gate in held), "")


def gates_table(gates: Sequence[Gate]) -> Table:
    """Lay gates out as rows."""
    return Table(_GATES, [_gate(gate) for gate in gates], kinds="tnnnnnt")


def gates_page(report: GateReport) -> str:
    """Write a report as a Markdown page."""
    reasons = [f"- {reason}" for reason in report.reasons]
    table = gates_table(report.gates).to_markdown()
    return "\n".join([f"# {headline(report)}", "", *reasons, "", table])


def decisions_table(decisions: Sequence[Decided], *, reasons: bool) -> Table:
    """Lay decisions out as rows, in their order; with a last column for the reasons if wanted."""
    if not reasons:
        return Table(_DECISIONS, [_decision(one) for one in decisions])
    rows = [(*_decision(one), "; ".join(one.decision.reasons)) for one in decisions]
    return Table((*_DECISIONS, "why"), rows)


def outcome(decided: Decided) -> str:
    """Return the outcome in words."""
    return decided.decision.outcome.value.replace("_", " ")


def decision_time(at: datetime) -> str:
    """Format a moment, to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _gate(gate: Gate) -> tuple[object, ...]:
    ratio = gate.is_ratio
    digits = 2 if ratio or gate.name.startswith("budget ") else 3
    return (
        gate.name,
        number(gate.champion, digits),
        number(gate.challenger, digits),
        _change(gate),
        None if gate.limit is None else f"{gate.limit:.2f}×" if ratio else f"{gate.limit:g}",
        gate.images or None,
        gate.verdict.value if gate.required else f"{gate.verdict.value} (not required)",
    )


def _change(gate: Gate) -> str:
    if not gate.is_ratio:
        return interval(gate.difference, "+.3f")
    if gate.difference and gate.difference[1] == gate.difference[2]:
        return f"{gate.difference[0]:.2f}×"
    return interval(gate.difference, unit="×")


def _decision(decided: Decided) -> tuple[object, ...]:
    made = decided.decision
    at, version = decision_time(decided.at), f"v{made.version}"
    return decided.number, at, outcome(decided), version, _move(decided), made.trigger, made.who


def _move(decided: Decided) -> str:
    decision = decided.decision
    before = "–" if decision.champion_before is None else f"v{decision.champion_before}"
    if decision.outcome is Outcome.REJECTED:
        return f"{before} stays"
    return f"{before} → {'–' if decision.outcome is Outcome.WITHDRAWN else f'v{decision.version}'}"
