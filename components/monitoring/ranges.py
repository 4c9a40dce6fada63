"""Refuses settings of a policy that are out of their range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from components.errors import ConfigError


def check_ranges(policy: Any, what: str, at_least: Mapping[str, float]) -> None:
    """Refuse a policy with a value out of its range.

    Arguments:
        policy: a dataclass of numbers; those that `at_least` does not name are shares between 0 and 1.
        what: it is, for the message.
        at_least: setting → its smallest value.

    Raises:
        ConfigError: names the setting, its range and what was found.
    """
    for setting in fields(policy):
        value = getattr(policy, setting.name)
        floor = at_least.get(setting.name)
        if not (0 < value < 1 if floor is None else floor <= value < float("inf")):
            expected = "between 0 and 1" if floor is None else f"of at least {floor:g}"
            raise ConfigError(f"{setting.name} {expected}", found=str(value), mend=f"change the {what}")
