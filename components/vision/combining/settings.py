"""Settings of combining predictions: one model for pipeline, command line and YAML."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from components.settings import ComponentSettings

Flip = Literal["horizontal", "vertical", "both"]


class Combining(ComponentSettings):
    """Way in which several predictions of an image become one."""

    method: str | None = Field(
        None,
        description="nms, soft_nms or wbf (weighted boxes fusion) for detectors, average for "
        "classifiers; none is the first that the task has.",
    )
    weights: tuple[float, ...] | None = Field(
        None, description="How much each model counts, in their order; none weighs them alike."
    )
    iou: float = Field(
        0.6, ge=0, le=1, description="Overlap above which two boxes of a class show one object."
    )
    confidence: float = Field(
        0.001, ge=0, le=1, description="Combined detections that do not score more are dropped."
    )
    decay: Literal["linear", "gaussian"] = Field(
        "gaussian", description="How soft_nms lowers the score of a box that overlaps another."
    )
    sigma: float = Field(0.5, gt=0, description="Width of the Gaussian decay of soft_nms.")
    max_detections: int = Field(300, ge=1, description="How many an image keeps at most.")

    @field_validator("weights")
    @classmethod
    def _positive(cls, weights: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if weights is not None and not all(0 < weight < float("inf") for weight in weights):
            raise ValueError("expected a positive weight for each model")
        return weights


class Tiling(ComponentSettings):
    """Cutting of a large image into overlapping tiles, so that small objects stay large enough."""

    size: int = Field(ge=16, description="Side of a tile in pixels of the image.")
    overlap: float = Field(
        0.2,
        ge=0.05,
        le=0.8,
        description="Share of its side by which a tile overlaps the next one, at least.",
    )
    whole: bool = Field(
        True, description="Predict the whole image, too, for objects that are larger than a tile."
    )
    merge: str = Field("join", description="How what the tiles show becomes one prediction.")
    iou: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Overlap, within what two tiles both show, from which their boxes are of one "
        "object.",
    )
