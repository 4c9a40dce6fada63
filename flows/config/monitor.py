"""Parameters of monitoring, nightly and by hand: the images, the labels, and the limits."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from components.images.statistics import check_statistics
from components.monitoring.alerts.rules import AlertPolicy
from components.monitoring.drift.policy import DriftPolicy
from flows.config.base import Named, check_address


class WatchConfig(Named):
    """What nightly monitoring and looks by hand share: the model, any labels, and the limits."""

    version: str = Field("champion", description="An alias or a version number.")
    labels: Path | None = Field(
        None,
        description="Labels as they arrive: a YOLO data.yaml or an image folder; images are "
        "matched by id.",
    )
    labels_split: str = Field("val", description="The split that holds them.")
    drift: DriftPolicy = Field(default_factory=DriftPolicy)
    alerts: AlertPolicy = Field(default_factory=AlertPolicy)
    slices: tuple[str, ...] = Field(
        ("brightness", "contrast", "sharpness"),
        description="Image statistics that the labelled images are divided by, into thirds: "
        "accuracy is shown of each.",
    )

    _statistics = field_validator("slices")(lambda value: check_statistics(value))


class LookInput(Named):
    """Images at a place, or those that were kept of a time range."""

    images: str | None = Field(
        None, description="A folder, a glob, a manifest or a URL; none for a time range."
    )
    since: datetime | None = Field(None, description="First moment of the time range.")
    until: datetime | None = Field(None, description="Moment after its last.")

    _aware = field_validator("since", "until")(lambda value: _in_utc(value))
    _images = field_validator("images")(lambda value: check_address(value))

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.images is None) == (self.since is None and self.until is None):
            raise ValueError("expected either images or a time range (since, until)")
        return self


class MonitorConfig(WatchConfig, LookInput):
    """Which images to look at by hand: those at a place, or those kept of a time range."""

    tell: bool = Field(
        True,
        description="Tell of drift and alerts, as nightly monitoring does; else only look.",
    )

    keep_going: bool = Field(
        False,
        description="A host that does not answer costs its own images, as long as others do; else "
        "it ends the run.",
    )


class ArrivalsInput(Named):
    """Where a model's images arrive, and for how long their rows are kept."""

    images: str = Field(description="Where images arrive: a folder, a glob, a manifest or a URL.")
    most_images: int | None = Field(
        None, ge=1, description="Of one window; the others wait for the next run."
    )
    keep_days: int | None = Field(
        None, ge=1, description="Remove stored rows that are older; none keeps all."
    )

    _images = field_validator("images")(lambda value: check_address(value))


class NightlyConfig(WatchConfig, ArrivalsInput):
    """Which model, where its images arrive, and what is worth telling."""

    quiet_hours: float | None = Field(
        48, gt=0, description="Tell when no new image came for so long; none never tells."
    )
    keep_going: bool = Field(
        True,
        description="A host that does not answer costs its own images and is an alert, as long as "
        "others do; "
        "else it ends the night, whose images wait for the next.",
    )


def _in_utc(value: datetime | None) -> datetime | None:
    """A time without a zone is meant in this machine's."""
    return value.astimezone(UTC) if value else None
