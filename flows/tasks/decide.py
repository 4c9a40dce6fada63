"""A person's decision on the version in production, shared by commands and flow; no Prefect."""

from __future__ import annotations

import os

from components.contracts import ModelVersion
from components.errors import UnavailableError
from flows.config.promote import PromotionConfig
from flows.runtime.outages import outages_named
from flows.runtime.root_lock import running_up
from flows.runtime.server import prefect_api, running_server
from flows.runtime.settings import Settings
from flows.tasks.predict import open_registry
from model_registry import BY_HAND, Rationale


def decide_by_hand(config: PromotionConfig) -> ModelVersion:
    """Promote a version, or go back to a former champion; gives the champion.

    Raises:
        RegistryError: no such version, none to go back to, or somebody changed the champion
            meanwhile.
    """
    registry = open_registry()
    who = config.who or Settings.from_environment().user
    rationale = Rationale(BY_HAND, who, (config.reason,) if config.reason else ())
    if config.action == "rollback":
        return registry.rollback(config.name, rationale, config.to)
    return registry.promote(
        config.name, registry.get(config.name, config.version).version, rationale
    )


def begin_schedules(name: str) -> bool:
    """Start schedules that waited for a champion, if a Prefect API is there; tell whether it is.

    None is started for it: `foveal up` and `foveal deploy` start what has a champion.
    """
    settings = Settings.from_environment()
    named = (
        os.environ.get("PREFECT_API_URL")
        or running_up(settings.root)
        or running_server(settings.prefect_home)
    )
    if not named:
        return False
    try:
        with prefect_api(settings) as url, outages_named(settings, url):
            from flows.tasks.schedules import start

            start(name)
    except UnavailableError:
        return False
    return True
