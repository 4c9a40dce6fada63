"""Write the drift report: our page with the verdict first, Evidently's beside it, and both as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.contracts import DriftDecision, DriftReport, InferenceRun, dump
from components.files import replacing, write_json, write_text
from components.monitoring.evidently_report import write_evidently
from components.monitoring.page import render_page
from components.monitoring.pairs import aligned, pair_columns
from components.monitoring.tables import read_reference, read_window

PAGE, EVIDENTLY, RESULTS = "report.html", "evidently.html", "report.json"


def write_report(run: InferenceRun, reference: Path, decision: DriftDecision, output: Path) -> DriftReport:
    """Show a decision to people and to programs.

    The folder holds `report.html`, which needs no other file, `evidently.html`, which it links to, and
    `report.json`: the decision, where it comes from, and Evidently's results. A window with too few images
    has no Evidently report, since Evidently would judge it all the same.

    Arguments:
        run: the window that was judged.
        reference: what it was compared with.
        decision: what `assess` said.
        output: folder to write, replaced as a whole.

    Raises:
        DatasetError: a file of the run or the reference is missing or is not what it should be.
        IncompatibleError: run and reference differ in their columns.
    """
    before, after = aligned(read_reference(reference), read_window(run))
    pairs, _ = pair_columns(before, after, minimum_values=1)
    with replacing(output) as aside:
        aside.mkdir()
        results: dict[str, Any] | None = None
        if any(column.column in before.columns for column in decision.columns):
            results = write_evidently(before, after, decision.columns, aside / EVIDENTLY)
        write_text(aside / PAGE, render_page(run, decision, pairs, evidently=EVIDENTLY if results else None))
        write_json(
            aside / RESULTS,
            {
                "decision": dump(decision),
                "run": dump(run),
                "reference": {"path": str(reference), "model": before.model, "samples": before.samples},
                "statistics_recipe": before.statistics_recipe,
                "evidently": results,
            },
        )
    return DriftReport(output / PAGE, output / RESULTS, decision)
