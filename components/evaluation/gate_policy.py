"""Limits that a challenger must keep to be promoted; without its limit, nothing passes a gate."""

from __future__ import annotations

from pydantic import ConfigDict, Field, field_validator

from components.images.statistics import check_statistics
from components.settings import ComponentSettings


class GatePolicy(ComponentSettings):
    """What a challenger must keep.

    A limit that is taken away leaves its gate unjudged, and nothing is promoted.
    """

    model_config = ConfigDict(title="Gates")

    margin: float | None = Field(
        0.02,
        gt=0,
        le=1,
        description="What the deciding metric may lose on the golden set at most.",
    )
    least_improvement: float | None = Field(
        0.02,
        ge=0,
        le=1,
        description="What it must gain on recent images where drift was the cause.",
    )
    slice_margin: float | None = Field(
        0.05, gt=0, le=1, description="What a slice or a class may lose at most."
    )
    slice_samples: int = Field(
        50, ge=2, description="Images of a slice, or objects of a class, that it takes."
    )
    slices: tuple[str, ...] = Field(
        ("brightness", "contrast", "sharpness"),
        description="Image statistics that the golden and the recent set are divided by, into "
        "thirds.",
    )
    minimum_images: int = Field(
        30, ge=2, description="Of the golden and of the recent set, to decide anything."
    )
    latency_increase: float | None = Field(
        0.10, ge=0, le=10, description="Of the p95 at most, as a share."
    )
    size_ratio: float | None = Field(
        1.25, gt=0.1, le=100, description="Of the model files at most."
    )
    memory_ratio: float | None = Field(
        1.25, gt=0.1, le=100, description="Of the peak memory at most."
    )
    rounds: int = Field(
        10,
        ge=6,
        le=100,
        description="Interleaved rounds; four times as many if it takes them.",
    )
    calls: int = Field(
        20, ge=1, le=1000, description="Timed calls per model and round; 130 in all."
    )

    _statistics = field_validator("slices")(lambda value: check_statistics(value))
