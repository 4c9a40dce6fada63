"""`foveal promote`, `rollback`, `history`, `models`, `compare`: versions, by hand, no flow."""

from __future__ import annotations

import webbrowser
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from components.contracts import dump
from components.errors import ConfigError
from flows.cli.screens import versions as screen
from flows.cli.screens.console import write_error
from flows.cli.screens.verbosity import Verbosity, verbosity
from flows.cli.shared import VERSIONS, Json, show
from flows.config.base import validate_config
from flows.config.promote import PromotionConfig
from flows.runtime.settings import Settings
from flows.services.mlflow_ui import mlflow_ui
from flows.tasks.decide import begin_schedules, decide_by_hand
from flows.tasks.predict import open_registry
from model_registry import CHAMPION, PREVIOUS_CHAMPION

app = typer.Typer()
Who = Annotated[
    str, typer.Option(help="Who decides, for the record; by default whoever runs the command.")
]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]
Name = Annotated[str, typer.Argument(help="NAME of a registered model.")]
Which = Annotated[str, typer.Argument(help="A version's number, or an alias such as champion.")]


@app.command(rich_help_panel=VERSIONS)
def promote(
    model: Annotated[
        str, typer.Argument(help="The version: NAME/version or NAME@challenger, or NAME alone.")
    ],
    version: Annotated[
        str | None, typer.Argument(help="After a NAME alone, its version or alias.")
    ] = None,
    reason: Reason = "",
    who: Who = "",
    as_json: Json = False,
) -> None:
    """Make a version the champion, by hand; the one before it becomes the previous champion."""
    name, version = (model, version) if version else _split(model)
    _decide({"name": name, "version": version, "reason": reason, "who": who}, as_json)


@app.command(rich_help_panel=VERSIONS)
def rollback(
    model: Name,
    to: Annotated[
        int | None, typer.Option(min=1, help="A version that was champion once, not just the last.")
    ] = None,
    reason: Reason = "",
    who: Who = "",
    as_json: Json = False,
) -> None:
    """Make the champion before this one the champion again; a second rollback goes back further."""
    _decide({"name": model, "action": "rollback", "to": to, "reason": reason, "who": who}, as_json)


@app.command(rich_help_panel=VERSIONS)
def history(
    model: Name,
    at: Annotated[
        datetime | None, typer.Option(help="Which version was in production at this moment?")
    ] = None,
    as_json: Json = False,
) -> None:
    """List a model's decisions, or the version in production at a moment and its decision."""
    registry = open_registry()
    if at is None:
        done = registry.history(model)
        if not done.entries:
            registry.get(model, CHAMPION)  # says what there is instead
        show(dump(done.decisions), as_json, screen.decisions(model, done.decisions))
        for line in done.broken:
            write_error(f"warning: {model}: {line} outside of Foveal")
        return
    moment = at.astimezone(UTC)
    if moment > datetime.now(UTC):
        raise ConfigError(
            "a moment that has passed, for --at", found=f"{moment:%Y-%m-%d %H:%M:%S} UTC"
        )
    period = registry.champion_at(model, moment)
    if period is None and not registry.history(model).entries:
        registry.get(model, CHAMPION)
    value: Any = {
        "model": model,
        "at": moment.isoformat(),
        "in_production": dump(period) if period else None,
    }
    show(value, as_json, screen.period(model, moment, period))


@app.command(rich_help_panel=VERSIONS)
def models(as_json: Json = False) -> None:
    """List the registered models, their versions, and which is the champion."""
    found = Settings.from_environment().registry().model_summaries()
    show([dump(one) for one in found], as_json, screen.models(found))


@app.command(rich_help_panel=VERSIONS)
def compare(
    model: Name,
    first: Which,
    second: Which,
    open_ui: Annotated[
        bool, typer.Option("--open", help="Open MLflow's own comparison in the browser.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show two versions side by side: what decided, metrics, differing parameters and hashes."""
    settings, registry = Settings.from_environment(), open_registry()
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


def _split(model: str) -> tuple[str, str]:
    for mark in "/@":
        name, found, version = model.partition(mark)
        if found and name and version:
            return name, version
    raise ConfigError(
        "a version to promote, NAME/version or NAME@alias",
        found=model,
        hint=f"e.g. {model or 'NAME'}/2",
    )


def _decide(values: dict[str, Any], as_json: bool) -> None:
    config = validate_config(values, PromotionConfig, source="the command line")
    name, version = config.name, decide_by_hand(config).version
    record = open_registry().history(name)
    last = record.last_change()
    value = {
        "name": name,
        CHAMPION: version,
        PREVIOUS_CHAMPION: record.previous,
        "decision": dump(last),
    }
    show(value, as_json, screen.champion(name, record))
    first = last is not None and last.decision.champion_before is None
    if first and not begin_schedules(name) and verbosity() is not Verbosity.QUIET:
        begin = "schedules begin with the next foveal deploy or foveal up"
        write_error(f"note: no Prefect server answers here: {begin}")
