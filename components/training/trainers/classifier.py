"""Train or fine-tune an image classifier of torchvision."""

from __future__ import annotations

import csv
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from components import telemetry
from components.backends.torch_pickle import pickle_of
from components.contracts import Classification, Fit, TrainedModel, VisionSpec
from components.contracts.arrays import Image, Ints
from components.datasets.classes import in_classes_of, same_classes
from components.datasets.dataset import LabelledDataset, load_dataset
from components.errors import ConfigError, DatasetError, IncompatibleError, UnavailableError
from components.files import replacing
from components.images.reading import read_image
from components.training.checkpoint import (
    CLASSIFIER_KEY,
    MEAN,
    STD,
    Checkpoint,
    build_network,
    load_checkpoint,
    save_checkpoint,
)
from components.training.trainers import Progress, TrainingStep, between
from components.training.trainers.augmentation import augment
from components.vision.fit import fit_image

if TYPE_CHECKING:
    import torch

_LABEL_SMOOTHING = 0.05
_WEIGHT_DECAY = 0.02


@dataclass(frozen=True)
class ClassifierTraining:
    """Settings of a classifier's training run.

    Arguments:
        architecture: a torchvision classifier such as ``"resnet18"``; unused when fine-tuning.
        image_size: side of the square model input in pixels; unused when fine-tuning.
        epochs: passes over the training split.
        batch: images per step.
        learning_rate: highest rate of AdamW, reached after a third of the steps (one-cycle
            schedule).
        augment: turn, shift, zoom and relight the training images a little.
        device: a torch device string.
        seed: of weights, order and augmentation.

    Raises:
        ConfigError: a value is out of its range.
    """

    architecture: str = "resnet18"
    image_size: int = 64
    epochs: int = 10
    batch: int = 32
    learning_rate: float = 0.002
    augment: bool = True
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, lowest in (("image_size", 16), ("epochs", 1), ("batch", 2)):
            if getattr(self, name) < lowest:
                raise ConfigError(f"{name} of at least {lowest}", found=str(getattr(self, name)))
        if not 0 < self.learning_rate < 1:
            raise ConfigError("a learning_rate between 0 and 1", found=str(self.learning_rate))


@dataclass(frozen=True, eq=False)
class _Split:
    """Fitted images (n, side, side, 3) uint8 BGR on disk, and labels (n,) int64."""

    images: Image
    labels: Ints


def train_classifier(
    data: Path,
    output: Path,
    *,
    training: ClassifierTraining | None = None,
    start_from: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TrainedModel:
    """Train from scratch or fine-tune `start_from`; keep the best checkpoint by validation top-1.

    The same data, settings and number of threads give the same weights.

    Arguments:
        data: an image folder ``split/class/*.jpg`` with `train` and `val` splits.
        output: folder for `model.pt` and `curve.csv`; replaced as a whole when training has
            succeeded.
        training: what is asked for.
        start_from: a checkpoint of an earlier run to fine-tune; it holds no code, so it needs no
            trust.
        progress: called as ``progress(epoch, epochs)`` after each epoch.

    Returns:
        The checkpoint with `top1` and `top5` on the validation split.

    Raises:
        ConfigError: the architecture is unknown or does not take the image size, or training
            diverged.
        DatasetError: a split is missing or too small.
        ImageError: an image cannot be read.
        IncompatibleError: `start_from` knows other classes than the data.
        ModelError: `start_from` is missing, damaged, or of another kind.
        UnavailableError: there is no such device.
    """
    telemetry.switch_off()
    import torch

    training = training or ClassifierTraining()
    train, val = (_classes_to_learn(load_dataset(data, split)) for split in ("train", "val"))
    with torch.random.fork_rng(), tempfile.TemporaryDirectory(prefix="foveal-training-") as scratch:
        torch.manual_seed(training.seed)
        start = _start(training, start_from, train.class_names)
        train, val = in_classes_of(train, start.class_names), in_classes_of(val, start.class_names)
        start.network.to(_device(training.device))
        spec = VisionSpec(
            "classify", start.class_names, (start.image_size,) * 2, Fit.STRETCH, "logits"
        )
        learned, judged = (_fitted(dataset, spec, Path(scratch)) for dataset in (train, val))
        with replacing(output) as aside:
            aside.mkdir()
            curve, best = [], {"top1": -1.0}
            for row in _epochs(start.network, learned, judged, training):
                curve.append(row)
                if progress:
                    progress(len(curve), training.epochs)
                if row["top1"] > best["top1"]:
                    best = {"top1": row["top1"], "top5": row["top5"]}
                    save_checkpoint(aside / "model.pt", replace(start, metrics=best))
            _write_curve(aside / "curve.csv", curve)
    return TrainedModel(output / "model.pt", best, output / "curve.csv")


def measure_classifier(
    network: torch.nn.Module, dataset: LabelledDataset, image_size: int, batch: int = 32
) -> dict[str, float]:
    """Measure how often a network is right on a split: `top1` and `top5`.

    Arguments:
        network: of torchvision, in the form that `train_classifier` makes.
        dataset: a split of an image folder, with the network's classes.
        image_size: side of the network's square input in pixels.
        batch: images per step.
    """
    spec = VisionSpec(
        "classify", dataset.class_names, (image_size, image_size), Fit.STRETCH, "logits"
    )
    with tempfile.TemporaryDirectory(prefix="foveal-training-") as scratch:
        found = _validate(network, _fitted(dataset, spec, Path(scratch)), batch)
    return {name: found[name] for name in ("top1", "top5")}


def _classes_to_learn(dataset: LabelledDataset) -> LabelledDataset:
    if dataset.task != "classify":
        raise DatasetError(
            "an image folder split/class/*.jpg", found=f"a detection dataset: {dataset.root}"
        )
    if len(dataset.class_names) < 2 or len(dataset.images) < 2:
        raise DatasetError(
            f"at least two classes and two images in the {dataset.split} split",
            found=f"{len(dataset.class_names)} and {len(dataset.images)}",
        )
    return dataset


def _start(
    training: ClassifierTraining, start_from: Path | None, class_names: tuple[str, ...]
) -> Checkpoint:
    """Return the network that training starts from: random weights, or a checkpoint's."""
    if start_from is None:
        network = build_network(training.architecture, len(class_names), training.image_size)
        return Checkpoint(training.architecture, class_names, training.image_size, network)
    start = load_checkpoint(start_from)
    if not same_classes(start.class_names, class_names):
        raise IncompatibleError(
            f"the classes that {start_from.name} knows: {', '.join(start.class_names)}",
            found=", ".join(class_names),
            hint="train from scratch for other classes",
        )
    return start


def _device(name: str) -> torch.device:
    import torch

    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        # an assertion is how torch says that it was built without CUDA
        raise UnavailableError(
            f"a torch device {name!r}", found=str(error).splitlines()[0], hint="use cpu"
        ) from error


def _fitted(dataset: LabelledDataset, spec: VisionSpec, scratch: Path) -> _Split:
    """Decode every image once as inference would give it, and keep it on disk, not in memory."""
    shape = (len(dataset.images), *spec.input_size, 3)
    images = np.lib.format.open_memmap(
        scratch / f"{dataset.split}.npy", mode="w+", dtype=np.uint8, shape=shape
    )
    labels = np.empty(len(images), np.int64)
    for k, image in enumerate(dataset.images):
        images[k], _ = fit_image(read_image(image.path), spec)
        labels[k] = image.truth.class_id if isinstance(image.truth, Classification) else -1
    return _Split(images, labels)


def _epochs(
    network: torch.nn.Module, train: _Split, val: _Split, training: ClassifierTraining
) -> Iterator[dict[str, float]]:
    """Train epoch by epoch, and yield a row of the curve after each."""
    import torch

    generator = torch.Generator().manual_seed(training.seed)
    optimizer = torch.optim.AdamW(
        network.parameters(), training.learning_rate, weight_decay=_WEIGHT_DECAY, fused=True
    )
    # A rest of one image would have no variance to normalise by.
    starts = [k for k in range(0, len(train.labels), training.batch) if len(train.labels) - k > 1]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.learning_rate, total_steps=max(2, training.epochs * len(starts))
    )
    for epoch in range(1, training.epochs + 1):
        network.train()
        order, losses = torch.randperm(len(train.labels), generator=generator).numpy(), []
        for start in starts:
            inputs, labels = _batch(train, order[start : start + training.batch], network)
            inputs = augment(inputs, generator) if training.augment else inputs
            logits = network(_normalised(inputs))
            loss = torch.nn.functional.cross_entropy(
                logits, labels, label_smoothing=_LABEL_SMOOTHING
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        train_loss = float(np.mean(losses))
        if not math.isfinite(train_loss):
            raise ConfigError(
                "a finite training loss",
                found=f"{train_loss} in epoch {epoch}",
                hint="lower learning_rate",
            )
        yield {"epoch": epoch, "train_loss": train_loss, **_validate(network, val, training.batch)}


def _validate(network: torch.nn.Module, val: _Split, batch: int) -> dict[str, float]:
    import torch

    network.eval()
    loss, right, near = 0.0, 0, 0
    with torch.inference_mode():
        for start in range(0, len(val.labels), batch):
            inputs, labels = _batch(
                val, np.arange(start, min(start + batch, len(val.labels))), network
            )
            logits = network(_normalised(inputs))
            loss += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))
            best = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
            right, near = right + int(best[:, 0].sum()), near + int(best.sum())
    n = len(val.labels)
    return {"val_loss": loss / n, "top1": right / n, "top5": near / n}


def _batch(
    split: _Split, rows: Ints, network: torch.nn.Module
) -> tuple[torch.Tensor, torch.Tensor]:
    """RGB values in 0–1, (n, 3, side, side) float32, and labels (n,), where the network is."""
    import torch

    device = next(network.parameters()).device
    pictures = torch.from_numpy(
        split.images[rows][..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255
    )
    return pictures.to(device), torch.from_numpy(split.labels[rows]).to(device)


def _normalised(inputs: torch.Tensor) -> torch.Tensor:
    mean, std = (inputs.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (inputs - mean) / std


def _write_curve(path: Path, rows: list[dict[str, float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)


class ClassifierTrainer:
    """Fine-tunes Foveal's own classifier checkpoints; see `Trainer`."""

    metric: ClassVar[str] = "top1"
    starts_from: ClassVar[str] = "a checkpoint (.pt) of Foveal's own classifier training"

    @staticmethod
    def can_start_from(checkpoint: Path) -> bool:
        return CLASSIFIER_KEY.encode() in pickle_of(checkpoint)

    @staticmethod
    def train(step: TrainingStep, output: Path, progress: Progress | None) -> TrainedModel:
        settings = ClassifierTraining(image_size=step.image_size, **step.common())
        return train_classifier(
            step.data, output, training=settings, start_from=step.start_from, progress=progress
        )

    @staticmethod
    def blend(step: TrainingStep, trained: Path, output: Path) -> dict[str, float]:
        old, new = load_checkpoint(step.start_from), load_checkpoint(trained)
        weights = between(old.network.state_dict(), new.network.state_dict(), step.settings.blend)
        new.network.load_state_dict(weights)
        val = in_classes_of(load_dataset(step.data, "val"), new.class_names)
        metrics = measure_classifier(new.network, val, new.image_size, step.settings.batch)
        save_checkpoint(output, replace(new, metrics=metrics))
        return metrics
