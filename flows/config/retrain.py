"""Parameters of the retraining flow."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from components.contracts import GateReport
from components.training import Selection
from flows.config.base import Parameters, check_model_name
from flows.config.gates import GatesInput


class RetrainDataInput(Parameters):
    """What a retraining learns from."""

    minimum_labels: int = Field(160, ge=1, description="Newly labelled images, unknown to the champion, that it needs.")
    queue_size: int = Field(200, ge=1, description="Images to queue for labelling when there are fewer.")
    labels: Path | None = Field(
        None,
        description="More labelled images: a YOLO data.yaml or an image folder; besides those of the labelling queue.",
    )
    labels_split: str = Field("train", description="The split that holds them.")
    held_out_share: float = Field(0.25, gt=0, lt=1, description="Of the new images: judged on, never learnt from.")
    most_images: int = Field(4000, ge=1, description="To train on; new images are never cut, original ones are.")
    replay_share: float = Field(0.5, ge=0, lt=1, description="Of the training images that stays original ones.")
    pseudo_share: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Of the training images that may carry the champion's own labels; 0 is none.",
    )
    pseudo_confidence: float = Field(
        0.9, gt=0, le=1, description="Of every one of the champion's labels in such an image."
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


class TrainingInput(Parameters):
    """How the champion is to learn from the new data."""

    epochs: int = Field(6, ge=1, le=1000, description="Passes over the training images.")
    learning_rate: float = Field(0.0005, gt=0, lt=1, description="Highest rate of AdamW.")
    blend: float = Field(
        0.6,
        gt=0,
        le=1,
        description="Share of the way from the champion's weights to the new ones; less forgets less.",
    )
    batch: int = Field(16, ge=2, le=1024, description="Images per step.")
    device: str = Field(
        "auto",
        description="As torch calls it, e.g. cpu or cuda:0; auto: a GPU that torch can use where it runs, else cpu.",
    )


class RetrainConfig(Parameters):
    """Which model, why, from which labels, and what a challenger must show."""

    name: str = Field(description="Name of the registered model.")
    trigger: Literal["by hand", "drift", "accuracy", "schedule"] = Field(
        "by hand",
        description="Why. After a drift or a loss of accuracy the challenger must be better on recent images.",
    )
    event: str = Field("", description="Id of what started it; one that was dealt with does nothing.")
    data: RetrainDataInput = Field(default_factory=RetrainDataInput)
    training: TrainingInput = Field(default_factory=TrainingInput)
    gates: GatesInput = Field(default_factory=GatesInput)
    cooldown_hours: float = Field(
        24,
        ge=0,
        description="How long an automatic retraining waits after a rejection; doubles with each further one.",
    )
    trust_pickle: bool = Field(
        False,
        description="Load the champion's checkpoint, which can run any code, although it was not released from here.",
    )

    _name = field_validator("name")(lambda value: check_model_name(value))

    @property
    def requires_improvement(self) -> bool:
        """Whether recent images set it off, so that a challenger must be better on them."""
        return self.trigger in ("drift", "accuracy")

    @property
    def labels_needed(self) -> int:
        """New labels that a retraining after a drift takes: to learn from, and to judge by."""
        return self.model_copy(update={"trigger": "drift"}).missing(0)

    def labels_to_decide(self, report: GateReport | None) -> int:
        """About how many more new labels would decide a gate on recent images that is undecided; 0 where none is."""
        gates = [gate for gate in report.gates if gate.name == "recent" and gate.images_needed] if report else []
        images = sum((gate.images_needed or 0) - gate.images for gate in gates)
        return max(0, ceil(images / self.data.held_out_share))

    def missing(self, new: int, recent: int | None = None) -> int:
        """How many more newly labelled images it takes to learn from, and to judge by.

        Arguments:
            new: images that there are.
            recent: those of them that are held out to judge on; None where that is not known yet.
        """
        share = self.data.held_out_share
        held_out = int(new * share) if recent is None else recent
        judges = self.gates.minimum_images - held_out if self.requires_improvement else 0
        return max(0, self.data.minimum_labels - new, ceil(judges / share))
