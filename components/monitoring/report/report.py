"""Write the drift report: our page, verdict first, Evidently's beside it, and both as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from components.contracts import DriftDecision, DriftReport, InferenceRun, dump, load
from components.files import replacing, write_json, write_text
from components.monitoring.report.evidently_report import shown_by_evidently, write_evidently
from components.monitoring.report.evidently_workspace import add_to_workspace
from components.monitoring.report.findings import Findings, ReportContext, Sides, find
from components.monitoring.report.page import render_page
from components.monitoring.store.pictures import Picture
from components.monitoring.store.stored import TrendPoint
from components.printing import counted

PAGE, EVIDENTLY, RESULTS = "report.html", "evidently.html", "report.json"


def write_report(
    run: InferenceRun,
    reference: Path,
    decision: DriftDecision,
    output: Path,
    *,
    context: ReportContext | None = None,
    workspace: Path | None = None,
) -> DriftReport:
    """Show a decision to people and to programs.

    The folder holds `report.html`, which needs no other file, `evidently.html`, which it links to,
    and `report.json`: the decision, where it comes from, this window's `trend_point` for later
    reports, small pictures of both sides, the advice, and Evidently's results. A window with too
    few images has no Evidently report, since Evidently would judge it all the same.

    Arguments:
        run: the window that was judged.
        reference: what it was compared with.
        decision: what `assess` said.
        output: folder to write, replaced as a whole.
        context: what is shown beside it.
        workspace: folder of an Evidently workspace to which its report is added; a window that is
            reported again replaces its earlier one there.

    Raises:
        DatasetError: a file of the run or the reference is missing or is not what it should be.
        IncompatibleError: run and reference differ in their columns.
        UnavailableError: the workspace cannot be written.
    """
    sides = Sides.read(run, reference, decision.condition)
    findings = find(run, sides, decision, context)
    with replacing(output) as aside:
        aside.mkdir()
        results = _evidently(findings, sides, aside / EVIDENTLY, workspace)
        write_text(aside / PAGE, render_page(findings, evidently=EVIDENTLY if results else None))
        write_json(
            aside / RESULTS,
            {
                "decision": dump(decision),
                "run": dump(run),
                "reference": {
                    "path": str(reference),
                    "model": sides.reference.model,
                    "samples": sides.reference.samples,
                },
                "statistics_recipe": sides.reference.statistics_recipe,
                "trend_point": dump(findings.trend[-1]),
                "pictures": {
                    "window": [dump(one) for one in findings.representative],
                    "reference": [dump(one) for one in findings.ordinary],
                },
                "advice": [dump(one) for one in findings.advice],
                "evidently": results,
            },
        )
    return DriftReport(
        output / PAGE, output / RESULTS, decision, output / EVIDENTLY if results else None
    )


def read_trend_point(report: DriftReport) -> TrendPoint:
    """Read the summary of this report's window that later reports show."""
    return load(TrendPoint, _read(report)["trend_point"])


def read_pictures(report: DriftReport) -> tuple[tuple[Picture, ...], tuple[Picture, ...]]:
    """Return the pictures that stand for the window or its drift, and those of the reference."""
    pictures = _read(report)["pictures"]
    window, reference = (
        tuple(load(Picture, one) for one in pictures[side]) for side in ("window", "reference")
    )
    return window, reference


def _read(report: DriftReport) -> Any:
    return json.loads(report.json.read_text(encoding="utf-8"))


def _evidently(
    findings: Findings, sides: Sides, html: Path, workspace: Path | None
) -> dict[str, object] | None:
    """Write Evidently's page and its run in the workspace; None without a column it could judge."""
    run, quality = findings.run, findings.quality
    columns = [
        column
        for column in findings.decision.columns
        if shown_by_evidently(sides.window, column.column)
    ]
    if not columns:
        return None
    name, _, version = run.model.partition("/")
    snapshot, results = write_evidently(
        sides.reference,
        sides.window,
        columns,
        html,
        at=findings.trend[-1].at,
        tags=[tag for tag in (version, findings.decision.state.value) if tag],
    )
    if workspace is not None:
        when = f"{quality.first} to {quality.last}" if quality.first else run.folder.name
        window = f"{run.model}, {counted(quality.rows, 'image')}, {when}"
        add_to_workspace(
            workspace, name, window, snapshot, sorted(column.column for column in columns)
        )
    return results
