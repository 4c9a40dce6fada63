"""What the gates leave in the Prefect UI: one table, and why."""

from __future__ import annotations

from prefect.artifacts import create_markdown_artifact

from components.contracts import GateReport
from flows.gates_rows import HEADINGS, cells, headline
from flows.links import to_comparison


def publish_gates(report: GateReport) -> None:
    """The table of all gates, the reasons and a link to both versions, as Markdown."""
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
