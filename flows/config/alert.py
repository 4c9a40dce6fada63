"""Parameters of the alert flow."""

from __future__ import annotations

from datetime import time
from uuid import UUID

from pydantic import Field

from flows.config.base import Parameters, at


class NightInput(Parameters):
    """A nightly run, and by when it must have completed."""

    run: UUID = Field(description="Id of the run.", json_schema_extra=at(0))
    cron: str = Field(description="When its nights are due.", json_schema_extra=at(1))
    timezone: str = Field(description="Of the schedule and the deadline.", json_schema_extra=at(2))
    deadline: time = Field(description="By when it must have completed.", json_schema_extra=at(3))


class AlertConfig(Parameters):
    """What people should know."""

    subject: str = Field(description="What it is about, such as a model's name.", json_schema_extra=at(0))
    rule: str = Field(description="Which rule it comes from.", json_schema_extra=at(1))
    reason: str = Field(description="What happened, in a line.", json_schema_extra=at(2))
    night: NightInput | None = Field(
        None, description="Tell of it only if this night has missed its deadline.", json_schema_extra=at(3)
    )
