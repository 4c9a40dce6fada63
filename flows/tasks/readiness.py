"""Readiness of a watched model: its nights need a released version, its retraining a checkpoint."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from components.backends.yolo import has_ultralytics, is_ultralytics, require_ultralytics
from components.contracts import ModelVersion
from components.errors import NoChampionError, NotRegisteredError, RegistryError
from components.training.trainers import what_is_missing
from flows.runtime.settings import Settings
from model_registry import CHAMPION, Registry

NOT_KEPT = Path("a file that was not kept")


@dataclass(frozen=True)
class Readiness:
    """Readiness of one model.

    Arguments:
        released: it has a champion.
        untrainable: why a drift cannot retrain the champion; empty when it can, or when there is
            none.
        ultralytics: name of the checkpoint that the champion was released from, where Ultralytics
            retrains it.
    """

    released: bool
    untrainable: str = ""
    ultralytics: str = ""


def readiness(name: str, settings: Settings) -> Readiness:
    """Look a model up in the registry.

    Raises:
        RegistryError: MLflow failed.
    """
    registry = settings.registry()
    try:
        champion = registry.get(name, CHAMPION)
    except (NotRegisteredError, NoChampionError):
        return Readiness(released=False)
    try:
        return _of_champion(champion, registry)
    except RegistryError as error:
        return Readiness(released=True, untrainable=f"{champion.name}/{champion.version}: {error}")


def _of_champion(champion: ModelVersion, registry: Registry) -> Readiness:
    registry.parameters(champion)  # without them it cannot be released again
    task = registry.tags(champion).get("task", "")
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        source = registry.download_source(champion, Path(scratch)) or NOT_KEPT
        why = why_untrainable(champion, source, task)
        named = source.name if not why and is_ultralytics(source) else ""
    return Readiness(released=True, untrainable=why, ultralytics=named)


def require_trainer(name: str, settings: Settings) -> None:
    """Find before anything is started that what trained a champion is not installed here.

    Raises:
        UnavailableError: the champion is an Ultralytics checkpoint, and Ultralytics is not
            installed.
        RegistryError: there is no champion.
    """
    if has_ultralytics():
        return
    registry = settings.registry()
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        if source := registry.download_source(registry.get(name, CHAMPION), Path(scratch)):
            require_ultralytics(source)


def why_untrainable(version: ModelVersion, source: Path, task: str) -> str:
    """Say why training cannot go on from the file that a version was made from; empty when it can.

    Arguments:
        version: in the registry.
        source: a copy of that file.
        task: of the version, which decides who trains it.
    """
    missing = what_is_missing(task, source)
    label = f"{version.name}/{version.version}"
    return f"{label} was released from {source.name}; {missing}" if missing else ""
