"""Screen output of `foveal ab`."""

from __future__ import annotations

from rich import box
from rich.table import Table

from components.contracts import AbVerdict
from components.printing import counted
from flows.ab_test import AbSummary
from flows.cli.screens.console import folding, make_console
from flows.reporting.formats import number, short

STYLES = {AbVerdict.A: "bold", AbVerdict.B: "bold", AbVerdict.NO_DIFFERENCE: "green", AbVerdict.UNDECIDED: "yellow"}


def verdict(done: AbSummary) -> None:
    """The two arms, and what their scores say."""
    out = make_console()
    before = f", {done.counted_before} had been counted before" if done.counted_before else ""
    out.print(
        f"{done.experiment} ({done.mode}): {counted(done.new, 'new image')}{before}", highlight=False, markup=False
    )
    table = Table(
        "arm", "version", "images", "failed", "scored", done.score, "p50 ms", "p95 ms", box=box.SIMPLE_HEAD,
        pad_edge=False,
    )  # fmt: skip
    for arm in done.arms:
        counts = (str(arm.images), str(arm.failed), str(arm.scored))
        table.add_row(arm.arm, arm.model, *counts, number(arm.score, 4), number(arm.p50_ms), number(arm.p95_ms))
    out.print(folding(table))
    if done.agreement is not None:
        out.print(
            f"  agreement of the two: {done.agreement:.4f} ({done.score} of one against the other)", highlight=False
        )
    result = done.result
    if result.planned is not None:
        out.print(f"  planned: {result.planned} scored images, for δ = {result.delta:g} at α 0.05 and power 0.8")
    out.print(f"  {result.verdict.value}: {result.reason}", style=STYLES[result.verdict], soft_wrap=True, markup=False)
    out.print(f"  {result.method}; the test is kept in {short(done.folder)}", style="dim", soft_wrap=True, markup=False)
