"""`foveal models` and `foveal compare`: what is registered, and two versions side by side."""

from __future__ import annotations

import webbrowser
from typing import Annotated

import typer

from components.contracts import dump
from flows.cli.screens import versions as screen
from flows.cli.screens.console import write_error
from flows.cli.shared import VERSIONS, Json, show
from flows.runtime.settings import Settings
from flows.services.mlflow_ui import mlflow_ui

app = typer.Typer()


@app.command(rich_help_panel=VERSIONS)
def models(as_json: Json = False) -> None:
    """List the registered models, their versions, and which is the champion."""
    settings = Settings.from_environment()
    found = settings.registry().model_summaries()
    show([dump(one) for one in found], as_json, screen.models(found))


Which = Annotated[str, typer.Argument(help="A version's number, or an alias such as champion.")]


@app.command(rich_help_panel=VERSIONS)
def compare(
    model: Annotated[str, typer.Argument(help="NAME of a registered model.")],
    first: Which,
    second: Which,
    open_ui: Annotated[bool, typer.Option("--open", help="Open MLflow's own comparison in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Show two versions side by side: what decided, metrics, and the parameters and hashes that differ."""
    settings = Settings.from_environment()
    settings.make_root()
    registry = settings.registry()
    found = registry.compare(model, first, second)
    show(dump(found), as_json, screen.comparison(found))
    if not open_ui:
        return
    if not settings.embedded_tracking:
        webbrowser.open(found.url)
        return
    with mlflow_ui(settings) as ui:
        webbrowser.open(registry.comparison_url(model, first, second, ui.address))
        write_error(f"MLflow's UI is at {ui.address}; Ctrl-C stops it")
        ui.wait()
