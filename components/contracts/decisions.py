"""Decisions about versions, as the record keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from components.contracts.evidence import GateReport


class Outcome(StrEnum):
    """Outcome of a decision on a version."""

    PROMOTED = "promoted"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"
    ADOPTED = "adopted"  # somebody had moved the alias outside of Foveal; the record follows
    # somebody had removed the alias, or the version: nothing is in production since
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class Decision:
    """One entry of a model's append-only record.

    Arguments:
        outcome: what happened.
        version: the version that was decided on.
        champion_before: the champion's version at that moment, or None.
        trigger: why, e.g. ``drift``, ``accuracy``, ``schedule``, ``by hand``, ``release``.
        who: a person or a flow.
        reasons: one line each.
        event: id of the event that started it, or empty.
        gates: what it rests on, where there were gates.
        hashes: what was used by role, e.g. ``{"dataset": …, "reference": …}``.
    """

    outcome: Outcome
    version: int
    champion_before: int | None
    trigger: str
    who: str
    reasons: tuple[str, ...] = ()
    event: str = ""
    gates: GateReport | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Decided:
    """A decision with its place in the record.

    `number` counts from 1, and `at` is the registry's clock in UTC.
    """

    number: int
    at: datetime
    decision: Decision
