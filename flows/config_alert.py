"""Parameters of the alert flow."""

from __future__ import annotations

from pydantic import Field

from flows.config import Parameters, at


class AlertConfig(Parameters):
    """What people should know."""

    subject: str = Field(description="What it is about, such as a model's name.", json_schema_extra=at(0))
    rule: str = Field(description="Which rule it comes from.", json_schema_extra=at(1))
    reason: str = Field(description="What happened, in a line.", json_schema_extra=at(2))
