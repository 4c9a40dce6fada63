"""What the registered models are ready for."""

from __future__ import annotations

from components.errors import FovealError
from flows.doctor.finding import Finding, State, failed
from flows.doctor.storage import database_is_whole
from flows.readiness import readiness
from flows.settings import Settings
from model_registry import Registry


def examine(settings: Settings) -> list[Finding]:
    """Find champions that a drift cannot retrain."""
    if settings.embedded_tracking and not settings.registry_database.exists():
        return []  # nothing was ever released, and a look makes no database
    try:
        names = [one.name for one in Registry(settings.tracking_uri, settings.artifact_root).standings()]
        found = {name: readiness(name, settings) for name in names}
    except FovealError as error:
        return [failed("models", error)] if database_is_whole(settings) else []
    return [
        Finding(
            f"model {name}",
            State.WARN,
            f"{model.untrainable}: a drift fills the labelling queue, and retrains nothing",
            "release it from its checkpoint, or set retraining.automatic: false for it in foveal.yaml",
        )
        for name, model in found.items()
        if model.untrainable
    ]
