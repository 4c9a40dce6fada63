"""What a watched model is ready for: nights need a released version, retraining a checkpoint that it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.contracts import ModelVersion
from components.errors import NotRegisteredError, RegistryError
from flows.settings import Settings
from model_registry import CHAMPION, Registry

TRAINABLE = ".pt"


@dataclass(frozen=True)
class Readiness:
    """Of one model.

    Arguments:
        released: it has a champion.
        untrainable: why a drift cannot retrain the champion; empty when it can, or when there is none.
    """

    released: bool
    untrainable: str = ""


def readiness(name: str, settings: Settings) -> Readiness:
    """Look a model up in the registry.

    Raises:
        RegistryError: MLflow failed.
    """
    registry = Registry(settings.tracking_uri, settings.artifact_root)
    try:
        champion = registry.get(name, CHAMPION)
    except NotRegisteredError:
        return Readiness(released=False)
    except RegistryError as error:
        if error.__cause__ is not None:  # another library's
            raise
        return Readiness(released=False)
    return Readiness(released=True, untrainable=_untrainable(champion, registry))


def why_untrainable(version: ModelVersion, source: Path) -> str:
    """Say why training cannot go on from the file that a version was made from; empty when it can."""
    if source.suffix == TRAINABLE:
        return ""
    label = f"{version.name}/{version.version}"
    return f"{label} was released from {source.name}; training goes on from a checkpoint ({TRAINABLE})"


def _untrainable(champion: ModelVersion, registry: Registry) -> str:
    try:
        path = registry.parameters(champion)["model"]["path"]
    except RegistryError as error:
        return f"{champion.name}/{champion.version}: {error}"
    return why_untrainable(champion, Path(str(path)))
