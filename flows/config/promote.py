"""Parameters of the promotion flow."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from flows.config.base import Named


class PromotionConfig(Named):
    """Which version is to be in production, by a person's decision."""

    action: Literal["promote", "rollback"] = Field(
        "promote",
        description="promote: the version below becomes the champion; rollback: the champion "
        "before this one does, and "
        "with each further rollback the one before that.",
    )
    version: str = Field(
        "challenger",
        min_length=1,
        description="An alias or a version number; a rollback does not look at it.",
    )
    to: int | None = Field(
        None,
        ge=1,
        description="Where a rollback goes back to: a version that was in production; the last one "
        "if empty.",
    )
    reason: str = Field("", description="Why, for the record.")
    who: str = Field(
        "",
        description="Who decides, for the record; by default whoever runs the process: Prefect's "
        "pages know no person.",
    )
