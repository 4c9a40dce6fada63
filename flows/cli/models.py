"""`foveal models`: what is registered, and which version of it is in production."""

from __future__ import annotations

import typer
from rich import box
from rich.table import Table

from components.contracts import dump
from flows.cli.screens.console import folding, make_console
from flows.cli.shared import VERSIONS, Json, show
from flows.runtime.settings import Settings
from model_registry import CHALLENGER, CHAMPION, PREVIOUS_CHAMPION, Standing

app = typer.Typer()
_ALIASES = (CHAMPION, CHALLENGER, PREVIOUS_CHAMPION)


@app.command(rich_help_panel=VERSIONS)
def models(as_json: Json = False) -> None:
    """List the registered models, their versions, and which is the champion."""
    settings = Settings.from_environment()
    found = settings.registry().standings()
    show([dump(one) for one in found], as_json, lambda: _show(found))


def _show(found: tuple[Standing, ...]) -> None:
    out = make_console()
    if not found:
        out.print("no model is registered yet: foveal release CONFIG", highlight=False)
        return
    table = Table("model", "versions", *(alias.replace("_", " ") for alias in _ALIASES), box=box.SIMPLE_HEAD)
    for one in found:
        aliases = (str(one.aliases.get(alias, "–")) for alias in _ALIASES)
        table.add_row(one.name, str(one.versions), *aliases)
    out.print(folding(table))
