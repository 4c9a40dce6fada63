"""Screen output of `foveal gates`: a row for each gate, and the reasons."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.contracts import GateReport, Verdict
from flows.cli.screens.console import folding, make_console
from flows.cli.screens.results import CHECK_STYLES
from flows.reporting.gates import HEADINGS, cells, headline


def show_gates(report: GateReport, console: Console | None = None) -> None:
    """Print a report; of the slices only those that hold the challenger back. On the terminal unless told otherwise."""
    out = console or make_console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for position, heading in enumerate(HEADINGS):
        left = position in (0, len(HEADINGS) - 1)
        table.add_column(heading, justify="left" if left else "right", no_wrap=not left, overflow="fold")
    for gate in report.gates:
        if gate.slice_of and not (gate.required and gate.verdict is not Verdict.PASS):
            continue
        *values, verdict = cells(gate)
        table.add_row(*values, Text(verdict, style=CHECK_STYLES.get(gate.verdict, "dim")))
    out.print(headline(report), highlight=False, style="bold" if report.passed else "bold red")
    out.print(folding(table))
    for reason in report.reasons:
        out.print(f"  {reason}", highlight=False, soft_wrap=True, style="dim", markup=False)
