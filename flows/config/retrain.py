"""Parameters of the retraining flow."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Literal

from pydantic import Field

from components.contracts import GateReport
from components.evaluation import GatePolicy
from components.settings import Parameters
from components.training import FineTuning, Selection
from flows.config.base import Named


class NewLabelsInput(Parameters):
    """Where new labels are, and how many of them it takes."""

    minimum_labels: int = Field(
        160, ge=1, description="Newly labelled images, unknown to the champion, that it needs."
    )
    queue_size: int = Field(
        200, ge=1, description="Images to queue for labelling when there are fewer."
    )
    labels: Path | None = Field(
        None,
        description="More labelled images: a YOLO data.yaml or an image folder; besides those of "
        "the labelling queue.",
    )
    labels_split: str = Field("train", description="The split that holds them.")


class RetrainDataInput(Selection, NewLabelsInput):
    """What a retraining learns from."""


class RetrainConfig(Named):
    """Which model, why, from which labels, and what a challenger must show."""

    trigger: Literal["by hand", "drift", "accuracy", "schedule"] = Field(
        "by hand",
        description="Why. After a drift or a loss of accuracy the challenger must be better on "
        "recent images.",
    )
    event: str = Field(
        "", description="Id of what started it; one that was dealt with does nothing."
    )
    data: RetrainDataInput = Field(default_factory=RetrainDataInput)
    training: FineTuning = Field(default_factory=FineTuning)
    gates: GatePolicy = Field(default_factory=GatePolicy)
    cooldown_hours: float = Field(
        24,
        ge=0,
        description="How long an automatic retraining waits after a rejection; doubles with each "
        "further one.",
    )
    trust_pickle: bool = Field(
        False,
        description="Load the champion's checkpoint, which can run any code, although it was not "
        "released from here.",
    )

    @property
    def requires_improvement(self) -> bool:
        """Tell whether recent images set it off, so that a challenger must be better on them."""
        return self.trigger in ("drift", "accuracy")

    @property
    def labels_needed(self) -> int:
        """New labels that a retraining after a drift takes: to learn from, and to judge by."""
        return self.model_copy(update={"trigger": "drift"}).missing(0)

    def labels_to_decide(self, report: GateReport | None) -> int:
        """Estimate how many new labels decide a gate undecided on recent images; 0 if none is."""
        gates = (
            [gate for gate in report.gates if gate.name == "recent" and gate.images_needed]
            if report
            else []
        )
        images = sum((gate.images_needed or 0) - gate.images for gate in gates)
        return max(0, ceil(images / self.data.held_out_share))

    def missing(self, new: int, recent: int | None = None) -> int:
        """Return how many more newly labelled images it takes to train and to evaluate.

        Arguments:
            new: images that there are.
            recent: those of them that are held out to judge on; None where that is not known yet.
        """
        share = self.data.held_out_share
        held_out = int(new * share) if recent is None else recent
        judges = self.gates.minimum_images - held_out if self.requires_improvement else 0
        return max(0, self.data.minimum_labels - new, ceil(judges / share))
