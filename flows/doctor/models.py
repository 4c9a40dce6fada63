"""Checks of the registered models: whether a drift can retrain them."""

from __future__ import annotations

from collections.abc import Iterator

from components.backends.yolo import INSTALL, has_ultralytics
from components.errors import FovealError
from flows.doctor.finding import Finding, State, failed
from flows.doctor.storage import database_is_whole
from flows.runtime.settings import Settings
from flows.tasks.readiness import Readiness, readiness


def examine(settings: Settings) -> list[Finding]:
    """Find champions that a drift cannot retrain."""
    if settings.embedded_tracking and not settings.registry_database.exists():
        return []  # nothing was ever released, and a look makes no database
    try:
        names = [one.name for one in settings.registry().model_summaries()]
        found = {name: readiness(name, settings) for name in names}
    except FovealError as error:
        return [failed("models", error)] if database_is_whole(settings) else []
    return [finding for name, model in found.items() for finding in _of(name, model)]


def _of(name: str, model: Readiness) -> Iterator[Finding]:
    if model.untrainable:
        found = f"{model.untrainable}: a drift fills the labelling queue, and retrains nothing"
        hint = (
            "release it from its checkpoint, or set retraining.automatic: false for it in "
            "foveal.yaml"
        )
        yield Finding(f"model {name}", State.WARN, found, hint)
    elif model.ultralytics and not has_ultralytics():
        found = (
            f"released from {model.ultralytics}, and Ultralytics, which retrains it, is not "
            "installed"
        )
        yield Finding(f"model {name}", State.WARN, found, INSTALL)
