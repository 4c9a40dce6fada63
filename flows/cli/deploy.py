"""`foveal deploy`: create or update deployments, schedules and automations on Prefect's server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.shared import OPERATING, Json, running, show
from flows.runtime.settings import Settings

app = typer.Typer()


@app.command(rich_help_panel=OPERATING)
def deploy(
    file: Annotated[
        Path | None,
        typer.Argument(help="Which models to watch; by default foveal.yaml here, else the demo's."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Create or update deployments, schedules and automations; a second time changes nothing."""
    from flows.config.deployments import read_deployments, require_release

    settings = Settings.from_environment()
    config = read_deployments(file, settings)
    require_release(config)
    with running("deploy", as_json):
        from flows.cli.screens.deploy import deployed, who_runs
        from flows.deployment.deploy import deploy as bring

        done = bring(config, settings)
    show(done.to_json(), as_json, deployed(done, who_runs(config, settings)))
