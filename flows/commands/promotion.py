"""`foveal promote`, `rollback`, `history`: who is the champion, who was it, and why; no flow, so no Prefect."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from components.contracts import dump
from components.errors import ConfigError
from flows.commands import promotion_screen as printed
from flows.commands.shared import Json, show
from flows.settings import Settings
from model_registry import BY_HAND, CHAMPION, PREVIOUS_CHAMPION, Grounds, History, Registry

app = typer.Typer()
Reason = Annotated[str, typer.Option(help="Why, for the record.")]
Name = Annotated[str, typer.Argument(help="NAME of a registered model.")]


@app.command()
def promote(
    model: Annotated[str, typer.Argument(help="The version: NAME/version or NAME@challenger.")],
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Make a version the champion, by hand; the one before it becomes the previous champion."""
    name, version = _split(model)
    registry = _registry()
    promoted = registry.promote(name, registry.get(name, version).version, _grounds(reason))
    _show(name, promoted.version, registry.history(name), as_json)


@app.command()
def rollback(model: Name, reason: Reason = "", as_json: Json = False) -> None:
    """Make the previous champion the champion again, and the other way round."""
    registry = _registry()
    restored = registry.rollback(model, _grounds(reason))
    _show(model, restored.version, registry.history(model), as_json)


@app.command()
def history(
    model: Name,
    at: Annotated[datetime | None, typer.Option(help="Which version was in production at this moment?")] = None,
    as_json: Json = False,
) -> None:
    """Every decision on a model, or which version was in production at a moment, and by which decision."""
    registry = _registry()
    if at is None:
        done = registry.history(model)
        if not done.entries:
            registry.get(model, CHAMPION)  # says what there is instead
        show(dump(done.decisions), as_json, lambda: printed.decisions(model, done.decisions))
        return
    moment = at.astimezone(UTC)
    if moment > datetime.now(UTC):
        raise ConfigError("a moment that has passed, for --at", found=f"{moment:%Y-%m-%d %H:%M:%S} UTC")
    reign = registry.champion_at(model, moment)
    if reign is None and not registry.history(model).entries:
        registry.get(model, CHAMPION)
    value: Any = {"model": model, "at": moment.isoformat(), "in_production": dump(reign) if reign else None}
    show(value, as_json, lambda: printed.reign(model, moment, reign))


def _split(model: str) -> tuple[str, str]:
    for mark in "/@":
        name, found, version = model.partition(mark)
        if found and name and version:
            return name, version
    raise ConfigError("a version to promote, NAME/version or NAME@alias", found=model, mend=f"e.g. {model or 'NAME'}/2")


def _show(name: str, version: int, record: History, as_json: bool) -> None:
    last = record.last_change()
    value = {"name": name, CHAMPION: version, PREVIOUS_CHAMPION: record.previous, "decision": dump(last)}
    show(value, as_json, lambda: printed.champion(name, record))


def _grounds(reason: str) -> Grounds:
    return Grounds(BY_HAND, Settings.from_environment().user, (reason,) if reason else ())


def _registry() -> Registry:
    settings = Settings.from_environment()
    return Registry(settings.tracking_uri, settings.artifact_root)
