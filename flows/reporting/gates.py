"""Gates for people: rows of a table, and a page in the Prefect UI."""

from __future__ import annotations

from components.contracts import Gate, GateReport, Verdict
from flows.reporting.formats import number
from flows.reporting.links import to_comparison

HEADINGS = ("gate", "champion", "challenger", "change [95 %]", "limit", "n", "verdict")


def headline(report: GateReport) -> str:
    """Sum the result up in one line."""
    against = f" against {report.champion}" if report.champion else ", without a champion"
    return f"{report.challenger}{against}: {'passed' if report.passed else 'not passed'}"


def held_by(report: GateReport) -> str:
    """Name the first required gate that was not passed; empty where none holds the challenger back."""
    held = (gate for gate in report.gates if gate.required and gate.verdict is not Verdict.PASS)
    return next((gate.name for gate in held), "")


def cells(gate: Gate) -> tuple[str, ...]:
    """One row, in the order of `HEADINGS`."""
    ratio = gate.is_ratio
    digits = 2 if ratio or gate.name.startswith("budget ") else 3
    limit = "–" if gate.limit is None else f"{gate.limit:.2f}×" if ratio else f"{gate.limit:g}"
    return (
        gate.name,
        number(gate.champion, digits),
        number(gate.challenger, digits),
        _difference(gate.difference, ratio),
        limit,
        str(gate.images) if gate.images else "–",
        gate.verdict.value if gate.required else f"{gate.verdict.value} (not required)",
    )


def _difference(difference: tuple[float, float, float] | None, ratio: bool) -> str:
    if difference is None:
        return "–"
    value, low, high = difference
    if not ratio:
        return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
    return f"{value:.2f}×" if low == high else f"{value:.2f}× [{low:.2f}, {high:.2f}]"


def publish_gates(report: GateReport) -> None:
    """The table of all gates, the reasons and a link to both versions, as Markdown."""
    from prefect.artifacts import create_markdown_artifact

    link = to_comparison(report.champion, report.challenger) if report.champion else ""
    page = "\n\n".join(filter(None, (markdown(report), link)))
    create_markdown_artifact(key="gates", markdown=page, description="Challenger against champion")


def markdown(report: GateReport) -> str:
    """The report as a Markdown page."""
    lines = [f"# {headline(report)}", ""]
    lines += [f"- {reason}" for reason in report.reasons]
    lines += ["", f"| {' | '.join(HEADINGS)} |", "|" + " --- |" * len(HEADINGS)]
    lines += [f"| {' | '.join(cells(gate))} |" for gate in report.gates]
    return "\n".join(lines)
