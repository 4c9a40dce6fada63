"""A person decides which version is in production: what the commands and the flow share; no Prefect."""

from __future__ import annotations

from components.contracts import ModelVersion
from flows.config_promotion import PromotionConfig
from flows.settings import Settings
from model_registry import BY_HAND, Grounds, Registry


def decide_by_hand(config: PromotionConfig) -> ModelVersion:
    """Promote a version, or go back to a former champion; gives the champion.

    Raises:
        RegistryError: no such version, none to go back to, or somebody changed the champion meanwhile.
    """
    registry = open_registry()
    who = config.who or Settings.from_environment().user
    grounds = Grounds(BY_HAND, who, (config.reason,) if config.reason else ())
    if config.action == "rollback":
        return registry.rollback(config.name, grounds, config.to)
    return registry.promote(config.name, registry.get(config.name, config.version).version, grounds)


def open_registry() -> Registry:
    """The model registry that the environment names."""
    settings = Settings.from_environment()
    settings.make_root()
    return Registry(settings.tracking_uri, settings.artifact_root, settings.seen)
