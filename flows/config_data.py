"""Parameters of a retraining's data: how much of what, and how many labels it needs."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from components.training import Selection
from flows.config import Parameters, at


class RetrainDataInput(Parameters):
    """What a retraining learns from."""

    minimum_labels: int = Field(
        160, ge=1, description="Newly labelled images, unknown to the champion, that it needs.", json_schema_extra=at(0)
    )
    queue_size: int = Field(
        200, ge=1, description="Images to queue for labelling when there are fewer.", json_schema_extra=at(1)
    )
    labels: Path | None = Field(
        None,
        description="More labelled images: a YOLO data.yaml or an image folder; besides those of the labelling queue.",
        json_schema_extra=at(2),
    )
    labels_split: str = Field("train", description="The split that holds them.", json_schema_extra=at(3))
    held_out_share: float = Field(
        0.25, gt=0, lt=1, description="Of the new images: judged on, never learnt from.", json_schema_extra=at(4)
    )
    most_images: int = Field(
        4000, ge=1, description="To train on; new images are never cut, original ones are.", json_schema_extra=at(5)
    )
    replay_share: float = Field(
        0.5, ge=0, lt=1, description="Of the training images that stays original ones.", json_schema_extra=at(6)
    )
    pseudo_share: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Of the training images that may carry the champion's own labels; 0 is none.",
        json_schema_extra=at(7),
    )
    pseudo_confidence: float = Field(
        0.9, gt=0, le=1, description="Of every one of the champion's labels in such an image.", json_schema_extra=at(8)
    )

    def selection(self) -> Selection:
        """As the component wants it."""
        return Selection(
            held_out_share=self.held_out_share,
            most_images=self.most_images,
            replay_share=self.replay_share,
            pseudo_share=self.pseudo_share,
            pseudo_confidence=self.pseudo_confidence,
        )
