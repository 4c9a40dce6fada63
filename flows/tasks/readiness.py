"""Readiness of a watched model: its nights need a released version, its retraining a checkpoint."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from components.backends.yolo import has_ultralytics, require_ultralytics
from components.contracts import ModelVersion
from components.errors import NotRegisteredError, RegistryError
from flows.runtime.settings import Settings
from model_registry import CHAMPION

TRAINABLE = ".pt"


@dataclass(frozen=True)
class Readiness:
    """Readiness of one model.

    Arguments:
        released: it has a champion.
        untrainable: why a drift cannot retrain the champion; empty when it can, or when there is none.
        checkpoint: what the champion was released from, where it was then.
    """

    released: bool
    untrainable: str = ""
    checkpoint: Path | None = None


def readiness(name: str, settings: Settings) -> Readiness:
    """Look a model up in the registry.

    Raises:
        RegistryError: MLflow failed.
    """
    registry = settings.registry()
    try:
        champion = registry.get(name, CHAMPION)
    except NotRegisteredError:
        return Readiness(released=False)
    except RegistryError as error:
        if error.__cause__ is not None:  # another library's
            raise
        return Readiness(released=False)
    try:
        checkpoint = Path(str(registry.parameters(champion)["model"]["path"]))
    except RegistryError as error:
        return Readiness(released=True, untrainable=f"{champion.name}/{champion.version}: {error}")
    return Readiness(released=True, untrainable=why_untrainable(champion, checkpoint), checkpoint=checkpoint)


def require_trainer(name: str, settings: Settings) -> None:
    """Find before anything is started that what trained a champion is not installed here.

    Raises:
        UnavailableError: the champion is an Ultralytics checkpoint, and Ultralytics is not installed.
        RegistryError: there is no champion.
    """
    if has_ultralytics():
        return
    registry = settings.registry()
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        if source := registry.download_source(registry.get(name, CHAMPION), Path(scratch)):
            require_ultralytics(source)


def why_untrainable(version: ModelVersion, source: Path) -> str:
    """Say why training cannot go on from the file that a version was made from; empty when it can."""
    if source.suffix == TRAINABLE:
        return ""
    label = f"{version.name}/{version.version}"
    return f"{label} was released from {source.name}; training goes on from a checkpoint ({TRAINABLE})"
