"""Parameters of an A/B test."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from components.contracts import AbMode
from components.statistics.fixed_size import PILOT
from flows.config.base import Named, check_address, check_model_name


class AbConfig(Named):
    """Which two versions, over which images, and how the test is to be judged."""

    a: str = Field(description="Version A: a version number, an alias, or the path of a bundle.")
    b: str = Field(description="Version B, likewise.")
    images: str = Field(description="A folder, a glob, a manifest or a URL.")
    labels: Path | None = Field(
        None,
        description="A YOLO data.yaml or an image folder; images are matched by id. Without labels "
        "nothing is decided.",
    )
    labels_split: str = Field("val", description="The split that holds them.")
    mode: AbMode = Field(
        AbMode.SHADOW,
        description="shadow: both versions see every image; split: each sees its share, by the "
        "hash of the image's id.",
    )
    share: float = Field(0.5, gt=0, lt=1, description="Of the images that B sees in a split.")
    delta: float = Field(
        0.02,
        gt=0,
        lt=1,
        description="δ: the smallest difference of mean scores that matters.",
    )
    sequential: bool = Field(
        False,
        description="Judge at any time by an always-valid test; otherwise once, at a fixed number "
        "of images.",
    )
    samples: int | None = Field(
        None,
        ge=PILOT,
        description=f"That number; none plans it by δ and the spread of the first {PILOT} scores.",
    )
    experiment: str | None = Field(
        None, description="Name of the test; one of that name is gone on with."
    )
    salt: str | None = Field(
        None, description="Of the hash that divides the images; none takes the test's name."
    )

    _images = field_validator("images")(lambda value: check_address(value))
    _experiment = field_validator("experiment")(lambda value: value and check_model_name(value))

    @model_validator(mode="after")
    def _one_method(self) -> Self:
        if self.sequential and self.samples is not None:
            raise ValueError("expected a fixed number of samples or a sequential test, not both")
        return self

    def model_of(self, version: str) -> str:
        """A version as `serving` takes it: a bundle's path, `NAME/version` or `NAME@alias`."""
        from components.package import is_bundle

        if version.isdigit():
            return f"{self.name}/{version}"
        return version if "/" in version or is_bundle(Path(version)) else f"{self.name}@{version}"
