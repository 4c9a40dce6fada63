"""Fine-tune a model in production on new data without losing what it knew."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, Field

from components import telemetry
from components.contracts import TrainedModel
from components.datasets.dataset import load_dataset
from components.files import replacing
from components.settings import ComponentSettings
from components.training.trainers import TrainingStep, trainer_of

AUTO = "auto"  # a device: the first GPU that torch can use where it runs, else the processor
# of the deciding metric, above which what training lost on old images is the lesser evil
_WORTH = 0.02


class FineTuning(ComponentSettings):
    """How the champion is to learn from the new data."""

    model_config = ConfigDict(title="Training")

    epochs: int = Field(6, ge=1, le=1000, description="Passes over the training images.")
    learning_rate: float = Field(0.0005, gt=0, lt=1, description="Highest rate of AdamW.")
    blend: float = Field(
        0.6,
        gt=0,
        le=1,
        description="Share of the way from the champion's weights to the new ones; less forgets "
        "less.",
    )
    batch: int = Field(16, ge=2, le=1024, description="Images per step.")
    device: str = Field(
        AUTO,
        description="As torch calls it, e.g. cpu or cuda:0; auto: a GPU that torch can use where "
        "it runs, else cpu.",
    )

    seed: ClassVar[int] = 0  # of the sampling


@dataclass(frozen=True)
class StartingPoint:
    """A checkpoint to continue from.

    Arguments:
        checkpoint: an Ultralytics `.pt`, or a classifier that `train_classifier` wrote.
        image_size: side of the square model input in pixels, as the checkpoint was trained with.
        trust: the user's word that an Ultralytics checkpoint may be unpickled.
        task: of the model, by its name in `TASKS`, which decides the trainer; None: that of the
            dataset.
    """

    checkpoint: Path
    image_size: int
    trust: bool = False
    task: str | None = None


def fine_tune(
    start: StartingPoint,
    data: Path,
    output: Path,
    *,
    training: FineTuning | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TrainedModel:
    """Continue the training of a checkpoint, then go back part of the way to where it started.

    Averaging the weights of a model before and after fine-tuning keeps most of what was gained on
    the new data and most of what would be lost on the old (Wortsman et al., "Robust fine-tuning of
    zero-shot models", CVPR 2022). That holds while the two are near each other: where the average
    is worse on the validation split by more than 0.02, it is not taken.

    Arguments:
        start: the checkpoint.
        data: a YOLO `data.yaml` or an image folder, with `train` and `val` splits and the classes
            of the checkpoint.
        output: folder for `model.pt` and `curve.csv`; replaced as a whole when all has succeeded.
        training: how.
        progress: called as ``progress(epoch, epochs)`` after each epoch.

    Returns:
        The checkpoint that was taken with its own metrics on the validation split and its blend,
        which is 1 where the average was not taken, and the curve of the fine-tuning.

    Raises:
        FovealError: as `train_detector` and `train_classifier` do, or there is no trainer of the
            task.
    """
    start_from, image_size = start.checkpoint, start.image_size
    asked = training or FineTuning()
    step = TrainingStep(
        start_from,
        data,
        image_size,
        asked.model_copy(update={"device": training_device(asked.device)}),
        start.trust,
    )
    with tempfile.TemporaryDirectory(prefix="foveal-training-") as scratch:
        folder, blended = Path(scratch) / "trained", Path(scratch) / "model.pt"
        trainer = trainer_of(start.task or load_dataset(data, "train").task)
        trained = trainer.train(step, folder, progress)
        metrics: Mapping[str, float] = trainer.blend(step, trained.checkpoint, blended)
        decides, blend = trainer.metric, asked.blend
        if trained.metrics[decides] > metrics[decides] + _WORTH:
            blended, metrics, blend = trained.checkpoint, trained.metrics, trained.blend
        with replacing(output) as aside:
            aside.mkdir()
            shutil.copy(blended, aside / "model.pt")
            shutil.copy(trained.curve, aside / "curve.csv")
    return TrainedModel(output / "model.pt", metrics, output / "curve.csv", blend)


def training_device(name: str) -> str:
    """Resolve a device's name: `auto` is the first GPU that torch can use here, else the processor.

    Arguments:
        name: `auto`, or a device as torch calls it, which is left as it is.
    """
    if name != AUTO:
        return name
    telemetry.switch_off()
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"
