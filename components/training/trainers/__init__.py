"""Trainers: fine-tune a checkpoint of one task. One file each, and one line in the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from components.contracts import TrainedModel
from components.plugins import plugin

if TYPE_CHECKING:
    import torch

    from components.training.fine_tuning import FineTuning

Progress = Callable[[int, int], None]

TRAINERS = {
    "detect": "components.training.trainers.detector:DetectorTrainer",
    "classify": "components.training.trainers.classifier:ClassifierTrainer",
}


@dataclass(frozen=True)
class TrainingStep:
    """One fine-tuning.

    Arguments:
        start_from: the checkpoint.
        data: the dataset, with `train` and `val` splits.
        image_size: side of the square model input in pixels.
        settings: epochs, learning rate and the like.
        trust: the user's word that the checkpoint may be unpickled.
    """

    start_from: Path
    data: Path
    image_size: int
    settings: FineTuning
    trust: bool = False

    def common(self) -> dict[str, Any]:
        """Settings that the training of every task takes, by name."""
        return {
            name: getattr(self.settings, name)
            for name in ("epochs", "learning_rate", "batch", "device", "seed")
        }


class Trainer(Protocol):
    """Fine-tunes checkpoints of one task."""

    metric: ClassVar[str]  # that decides
    starts_from: ClassVar[str]  # what its checkpoints are called in messages

    @staticmethod
    def can_start_from(checkpoint: Path) -> bool:
        """Tell by what a file holds, without loading it, whether training can go on from it."""

    @staticmethod
    def train(step: TrainingStep, output: Path, progress: Progress | None) -> TrainedModel:
        """Continue the training of a checkpoint; ``progress(epoch, epochs)`` after each epoch."""

    @staticmethod
    def blend(step: TrainingStep, trained: Path, output: Path) -> dict[str, float]:
        """Write the average of the checkpoints before and after; return its `val` split metrics."""


def trainer_of(task: str) -> type[Trainer]:
    """Return the trainer of a task.

    Raises:
        ModelError: there is none.
    """
    found: type[Trainer] = plugin(TRAINERS, task, "a task that can be trained")
    return found


def what_is_missing(task: str, checkpoint: Path) -> str:
    """Name what training of a task goes on from, where a file is not that; else empty."""
    if task not in TRAINERS:
        return f"training takes {' and '.join(TRAINERS)}, not {task}"
    trainer = trainer_of(task)
    return (
        "" if trainer.can_start_from(checkpoint) else f"training goes on from {trainer.starts_from}"
    )


def between(
    old: Mapping[str, torch.Tensor], new: Mapping[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """Blend tensors from old to new; counts, such as the batches seen, are the new one's."""
    return {
        name: old[name].lerp(tensor, share) if tensor.is_floating_point() else tensor
        for name, tensor in new.items()
    }
