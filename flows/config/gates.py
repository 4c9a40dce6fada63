"""Parameters of the gates by hand: the versions, the images and the limits."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from components.evaluation import GatePolicy
from flows.config.base import Named


class GatesConfig(Named):
    """Which version is to take the place of which, and on which images they are compared."""

    challenger: str = Field("challenger", description="An alias or a version number.")
    against: str = Field("champion", description="An alias or a version number.")
    data: Path = Field(description="A YOLO data.yaml, or an image folder split/class/*.jpg.")
    golden_split: str | None = Field(
        None,
        description="The split that is never trained on; by default the one that the champion was "
        "released with.",
    )
    recent_data: Path | None = Field(
        None, description="Where recent labelled images are, if elsewhere."
    )
    recent_split: str | None = Field(
        None, description="Their split; with recent images the challenger must be better on them."
    )
    gates: GatePolicy = Field(default_factory=GatePolicy)

    @property
    def recent(self) -> tuple[Path, str] | None:
        """Dataset and split of recent images, where one of the two was named."""
        if self.recent_data is None and self.recent_split is None:
            return None
        return self.recent_data or self.data, self.recent_split or "val"
