"""`foveal doctor`: what is wrong here, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.text import Text

from components.contracts import dump
from flows.cli.screens.console import Part
from flows.cli.screens.progress import progress
from flows.cli.shared import OPERATING, Json, show
from flows.doctor.finding import Finding, State
from flows.runtime.settings import Settings

app = typer.Typer()
_STYLES = {State.OK: "green", State.WARN: "yellow", State.FAIL: "bold red"}


@app.command(rich_help_panel=OPERATING)
def doctor(
    relocate: Annotated[
        bool, typer.Option("--relocate", help="Mend a storage root that was moved or copied.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check versions, servers, storage, GPU, ports; say how to mend faults; exit 1 if any fails."""
    from flows.doctor.examine import examine
    from flows.doctor.storage import mend_place

    mended = (mend_place(Settings.from_environment()),) if relocate else ()
    with progress(as_json) as bars:
        bars.phase("examining")
        findings = (*mended, *examine(Settings.from_environment()))
    well = all(finding.state is not State.FAIL for finding in findings)
    show({"ok": well, "findings": dump(findings)}, as_json, _screen(findings))
    if not well:
        raise typer.Exit(1)


def _screen(findings: tuple[Finding, ...]) -> Iterator[Part]:
    for finding in findings:
        state = f"{finding.state:<5}", _STYLES[finding.state]
        yield Text.assemble(state, f"{finding.name}: {finding.found}")
        if finding.hint:
            yield Text.assemble("     ", ("hint: ", "bold"), finding.hint)
