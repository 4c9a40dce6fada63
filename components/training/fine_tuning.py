"""Fine-tune a model in production on new data without losing what it knew."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, Field

from components.backends.yolo import forget_places, load_yolo
from components.contracts import TaskType
from components.datasets.classes import in_classes_of
from components.datasets.dataset import load_dataset
from components.files import replacing
from components.settings import ComponentSettings
from components.training.checkpoint import load_checkpoint, save_checkpoint
from components.training.device import AUTO, training_device
from components.training.trainers.classifier import ClassifierTraining, measure_classifier, train_classifier
from components.training.trainers.detector import DetectorTraining, absolute_data, train_detector
from components.training.trainers.trained import TrainedModel

_WORTH = 0.02  # of the deciding metric, above which what training lost on old images is the lesser evil


class FineTuning(ComponentSettings):
    """How the champion is to learn from the new data."""

    model_config = ConfigDict(title="Training")

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
        AUTO,
        description="As torch calls it, e.g. cpu or cuda:0; auto: a GPU that torch can use where it runs, else cpu.",
    )

    seed: ClassVar[int] = 0  # of the sampling


@dataclass(frozen=True)
class StartingPoint:
    """A checkpoint to continue from.

    Arguments:
        checkpoint: an Ultralytics `.pt`, or a classifier that `train_classifier` wrote.
        image_size: side of the square model input in pixels, as the checkpoint was trained with.
        trust: the user's word that an Ultralytics checkpoint may be unpickled.
    """

    checkpoint: Path
    image_size: int
    trust: bool = False


def fine_tune(
    start: StartingPoint,
    data: Path,
    output: Path,
    *,
    training: FineTuning | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TrainedModel:
    """Continue the training of a checkpoint, then go back part of the way to where it started.

    Averaging the weights of a model before and after fine-tuning keeps most of what was gained on the new data and
    most of what would be lost on the old (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).
    That holds while the two are near each other: where the average is worse on the validation split by more than 0.02,
    it is not taken.

    Arguments:
        start: the checkpoint.
        data: a YOLO `data.yaml` or an image folder, with `train` and `val` splits and the classes of the checkpoint.
        output: folder for `model.pt` and `curve.csv`; replaced as a whole when all has succeeded.
        training: how.
        progress: called as ``progress(epoch, epochs)`` after each epoch.

    Returns:
        The checkpoint that was taken with its own metrics on the validation split, and the curve of the fine-tuning.

    Raises:
        FovealError: as `train_detector` and `train_classifier` do.
    """
    start_from, image_size = start.checkpoint, start.image_size
    asked = training or FineTuning()
    asked = asked.model_copy(update={"device": training_device(asked.device)})
    same: dict[str, Any] = {
        name: getattr(asked, name) for name in ("epochs", "learning_rate", "batch", "device", "seed")
    }
    with tempfile.TemporaryDirectory(prefix="foveal-training-") as scratch:
        folder, blended = Path(scratch) / "trained", Path(scratch) / "model.pt"
        if load_dataset(data, "train").task is TaskType.DETECT:
            detector = DetectorTraining(image_size=image_size, augment=False, **same)
            trained = train_detector(
                data, folder, training=detector, start_from=start_from, trust=start.trust, progress=progress
            )
            metrics = _blend_detectors(start_from, trained.checkpoint, asked, blended, data, image_size)
        else:
            classifier = ClassifierTraining(image_size=image_size, **same)
            trained = train_classifier(data, folder, training=classifier, start_from=start_from, progress=progress)
            metrics = _blend_classifiers(start_from, trained.checkpoint, asked, blended, data)
        decides = next(name for name in ("map50_95", "top1") if name in metrics)
        if trained.metrics[decides] > metrics[decides] + _WORTH:
            blended, metrics = trained.checkpoint, trained.metrics
        with replacing(output) as aside:
            aside.mkdir()
            shutil.copy(blended, aside / "model.pt")
            shutil.copy(trained.curve, aside / "curve.csv")
    return TrainedModel(output / "model.pt", metrics, output / "curve.csv")


def _blend_detectors(
    before: Path, after: Path, asked: FineTuning, output: Path, data: Path, image_size: int
) -> dict[str, float]:
    old, new = load_yolo(before, trust=True), load_yolo(after, trust=True)
    new.model.float().load_state_dict(_between(old.model.float().state_dict(), new.model.state_dict(), asked.blend))
    new.save(str(output))
    forget_places(output)
    with tempfile.TemporaryDirectory(prefix="foveal-training-") as scratch:
        settings = {"imgsz": image_size, "batch": asked.batch, "device": asked.device, "workers": 0, "plots": False}
        file = str(absolute_data(data, Path(scratch)))
        with contextlib.redirect_stdout(io.StringIO()):
            found = new.val(data=file, project=scratch, name="run", verbose=False, **settings).box
    return {"map50_95": float(found.map), "map50": float(found.map50)}


def _blend_classifiers(before: Path, after: Path, asked: FineTuning, output: Path, data: Path) -> dict[str, float]:
    old, new = load_checkpoint(before), load_checkpoint(after)
    new["network"].load_state_dict(_between(old["state_dict"], new["state_dict"], asked.blend))
    val = in_classes_of(load_dataset(data, "val"), new["class_names"])
    metrics = measure_classifier(new["network"], val, new["image_size"], asked.batch)
    about = {name: new[name] for name in ("architecture", "class_names", "image_size")}
    save_checkpoint(output, new["network"], **about, metrics=metrics)
    return metrics


def _between(old: Mapping[str, Any], new: Mapping[str, Any], share: float) -> dict[str, Any]:
    """Tensors on the way from old to new; what is counted, such as the batches seen, is the new one's."""
    return {
        name: old[name].lerp(tensor, share) if tensor.is_floating_point() else tensor for name, tensor in new.items()
    }
