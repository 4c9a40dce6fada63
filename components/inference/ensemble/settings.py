"""Settings of a pipeline: one model for Python, command line and YAML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from components.contracts import Prediction
from components.settings import ComponentSettings
from components.vision.combining.settings import Combining, Flip, Tiling
from components.vision.rules import Rules


class PipelineSettings(ComponentSettings):
    """What a pipeline makes of the predictions of its models."""

    combine: Combining = Field(
        default_factory=Combining, description="How several predictions of an image become one."
    )
    flips: tuple[Flip, ...] = Field(
        (), description="Flipped views that each model predicts, too: an ensemble of one model."
    )
    tiling: Tiling | None = Field(None, description="Cut images into tiles; none does not.")
    keep: Rules = Field(default_factory=Rules, description="Which detections are kept.")

    @field_validator("flips")
    @classmethod
    def _once(cls, flips: tuple[Flip, ...]) -> tuple[Flip, ...]:
        if len(set(flips)) < len(flips):
            raise ValueError("expected each flip once")
        return flips


class Combine(Protocol):
    """A function of the caller's own that merges what several models said about an image."""

    def __call__(self, predictions: Sequence[Any], weights: Sequence[float]) -> Prediction:
        """Return one prediction of the same kind.

        Arguments:
            predictions: of each model, or of each view of each model, in pixels of the image and
                in the class ids of the pipeline.
            weights: of the models, in the same order.
        """


class Postprocess(Protocol):
    """A function of the caller's own that changes the prediction of an image."""

    def __call__(self, prediction: Any, image: npt.NDArray[np.uint8]) -> Prediction:
        """Return a prediction of the same kind.

        Arguments:
            prediction: of the image, in its pixels.
            image: (height, width, 3) uint8 BGR.
        """


@dataclass(frozen=True)
class Hooks:
    """Functions of the caller's own within a pipeline; an error in one costs its image only.

    Arguments:
        combine: in place of the method in `PipelineSettings.combine`.
        postprocess: called last.
    """

    combine: Combine | None = None
    postprocess: Postprocess | None = None
