"""Parameters of the gates: the limits, what is examined, and how long is measured."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from components.evaluation import GatePolicy
from flows.config.base import Parameters
from flows.config.monitor import check_statistics
from model_registry import check_name


class GatesInput(Parameters):
    """What a challenger must keep; a limit that is taken away leaves its gate unjudged, and nothing is promoted."""

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
    slice_margin: float | None = Field(0.05, gt=0, le=1, description="What a slice or a class may lose at most.")
    slice_samples: int = Field(50, ge=2, description="Images of a slice, or objects of a class, that it takes.")
    slices: tuple[str, ...] = Field(
        ("brightness", "contrast", "sharpness"),
        description="Image statistics that the golden and the recent set are divided by, into thirds.",
    )
    minimum_images: int = Field(30, ge=2, description="Of the golden and of the recent set, to decide anything.")
    latency_increase: float | None = Field(0.10, ge=0, le=10, description="Of the p95 at most, as a share.")
    size_ratio: float | None = Field(1.25, gt=0.1, le=100, description="Of the model files at most.")
    memory_ratio: float | None = Field(1.25, gt=0.1, le=100, description="Of the peak memory at most.")
    rounds: int = Field(
        10,
        ge=6,
        le=100,
        description="Interleaved rounds; four times as many if it takes them.",
    )
    calls: int = Field(20, ge=1, le=1000, description="Timed calls per model and round; 130 in all.")

    _statistics = field_validator("slices")(lambda value: check_statistics(value))

    def policy(self) -> GatePolicy:
        """The limits as the benchmark room takes them."""
        return GatePolicy(**self.model_dump(exclude={"slices", "rounds", "calls"}))


class GatesConfig(Parameters):
    """Which version is to take the place of which, and on which images they are compared."""

    name: str = Field(description="Name of the registered model.")
    challenger: str = Field("challenger", description="An alias or a version number.")
    against: str = Field("champion", description="An alias or a version number.")
    data: Path = Field(description="A YOLO data.yaml, or an image folder split/class/*.jpg.")
    golden_split: str | None = Field(
        None,
        description="The split that is never trained on; by default the one that the champion was released with.",
    )
    recent_data: Path | None = Field(None, description="Where recent labelled images are, if elsewhere.")
    recent_split: str | None = Field(
        None,
        description="Their split; with recent images the challenger must be better on them.",
    )
    gates: GatesInput = Field(default_factory=GatesInput)

    _name = field_validator("name")(lambda value: check_name(value))

    @property
    def recent(self) -> tuple[Path, str] | None:
        """Dataset and split of recent images, where one of the two was named."""
        if self.recent_data is None and self.recent_split is None:
            return None
        return self.recent_data or self.data, self.recent_split or "val"
