"""Parameters of the alert flow."""

from __future__ import annotations

from datetime import time
from uuid import UUID

from pydantic import Field

from components.settings import Parameters


class NightInput(Parameters):
    """A nightly run, and by when it must have completed."""

    run: UUID = Field(description="Id of the run.")
    cron: str = Field(description="When its nights are due.")
    timezone: str = Field(description="Of the schedule and the deadline.")
    deadline: time = Field(description="By when it must have completed.")


class AlertConfig(Parameters):
    """What people should know."""

    subject: str = Field(description="What it is about, such as a model's name.")
    rule: str = Field(description="Which rule it comes from.")
    reason: str = Field(description="What happened, in a line.")
    night: NightInput | None = Field(
        None, description="Tell of it only if this night has missed its deadline."
    )
