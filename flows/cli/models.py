"""`foveal models` and `foveal compare`: what is registered, and two versions side by side."""

from __future__ import annotations

import webbrowser
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from components.contracts import dump
from flows.cli.screens import compare as printed
from flows.cli.screens.console import folding, make_console
from flows.cli.shared import VERSIONS, Json, show
from flows.runtime.settings import Settings
from flows.services.mlflow_ui import mlflow_ui
from model_registry import CHALLENGER, CHAMPION, PREVIOUS_CHAMPION, ModelSummary

app = typer.Typer()
_ALIASES = (CHAMPION, CHALLENGER, PREVIOUS_CHAMPION)


@app.command(rich_help_panel=VERSIONS)
def models(as_json: Json = False) -> None:
    """List the registered models, their versions, and which is the champion."""
    settings = Settings.from_environment()
    found = settings.registry().model_summaries()
    show([dump(one) for one in found], as_json, lambda: _show(found))


def _show(found: tuple[ModelSummary, ...]) -> None:
    out = make_console()
    if not found:
        out.print("no model is registered yet: foveal release CONFIG", highlight=False)
        return
    table = Table("model", "versions", *(alias.replace("_", " ") for alias in _ALIASES), box=box.SIMPLE_HEAD)
    for one in found:
        aliases = (str(one.aliases.get(alias, "–")) for alias in _ALIASES)
        table.add_row(one.name, str(one.versions), *aliases)
    out.print(folding(table))


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
    show(dump(found), as_json, lambda: printed.comparison(found))
    if not open_ui:
        return
    if not settings.embedded_tracking:
        webbrowser.open(found.url)
        return
    with mlflow_ui(settings) as ui:
        webbrowser.open(registry.comparison_url(model, first, second, ui.address))
        printed.serving(ui.address)
        ui.wait()
