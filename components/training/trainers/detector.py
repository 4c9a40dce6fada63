"""Train or fine-tune a YOLO detector with Ultralytics."""

from __future__ import annotations

import contextlib
import csv
import difflib
import io
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from components.backends.yolo import (
    forget_places,
    import_ultralytics,
    is_ultralytics,
    load_yolo,
)
from components.contracts import TrainedModel
from components.datasets.classes import same_classes
from components.datasets.dataset import load_dataset
from components.datasets.yolo_layout import read_description, split_images, split_places
from components.documents import read_yaml
from components.errors import ConfigError, DatasetError, IncompatibleError
from components.files import replacing
from components.training.trainers import Progress, TrainingStep, between

if TYPE_CHECKING:
    from ultralytics import YOLO

_STRIDE = 32  # Ultralytics would round another image size up without being asked


@dataclass(frozen=True)
class DetectorTraining:
    """Settings of a detector's training run.

    Arguments:
        architecture: an Ultralytics model name such as ``"yolo11n"``; unused when fine-tuning.
        width: the architecture's width multiple (0.25 is YOLO's own ``n``), or None to keep it.
        image_size: side of the square model input in pixels.
        epochs: passes over the training split.
        batch: images per step.
        learning_rate: initial rate of AdamW.
        augment: mosaic and scale augmentation; mirroring is always off, since it changes a digit or
            a text.
        device: an Ultralytics device string.
        seed: of weights and sampling.
        extra: further Ultralytics training arguments, passed on as they are.

    Raises:
        ConfigError: a value is out of its range.
    """

    architecture: str = "yolo11n"
    width: float | None = None
    image_size: int = 256
    epochs: int = 40
    batch: int = 16
    learning_rate: float = 0.002
    augment: bool = True
    device: str = "cpu"
    seed: int = 0
    extra: tuple[tuple[str, object], ...] = ()

    def __post_init__(self) -> None:
        for name, right, expected in (
            (
                "image_size",
                self.image_size > 0 and self.image_size % _STRIDE == 0,
                f"a multiple of {_STRIDE}",
            ),
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch", self.batch >= 1, "at least 1"),
            ("learning_rate", 0 < self.learning_rate < 1, "between 0 and 1"),
            ("width", self.width is None or self.width > 0, "above 0"),
        ):
            if not right:
                raise ConfigError(f"{name} {expected}", found=str(getattr(self, name)))


def train_detector(
    data: Path,
    output: Path,
    *,
    training: DetectorTraining | None = None,
    start_from: Path | None = None,
    trust: bool = False,
    progress: Progress | None = None,
) -> TrainedModel:
    """Train from scratch or fine-tune `start_from`; keep the best validation mAP50-95 checkpoint.

    Arguments:
        data: a YOLO `data.yaml` with `train` and `val` splits.
        output: folder for `model.pt` and `curve.csv`; replaced as a whole when training has
            succeeded.
        training: what is asked for.
        start_from: a `.pt` checkpoint to fine-tune.
        trust: the user's word that `start_from` may be unpickled.
        progress: called as ``progress(epoch, epochs)`` after each epoch.

    Raises:
        ConfigError: Ultralytics has no such architecture.
        DatasetError: a split is missing, or its labels are wrong.
        IncompatibleError: `start_from` has the classes of the data in another order.
        ModelError: `start_from` is missing or is no Ultralytics checkpoint.
        UntrustedModelError: `start_from` is given without `trust`.
        UnavailableError: Ultralytics is not installed.
    """
    training = training or DetectorTraining()
    _require_detection(data)
    ultralytics = import_ultralytics()
    with tempfile.TemporaryDirectory(prefix="foveal-training-") as scratch:
        model = (
            load_yolo(start_from, trust=trust)
            if start_from
            else _untrained(ultralytics, training, Path(scratch))
        )
        model.add_callback("on_train_start", lambda _: _use_all_cores())
        if start_from:
            _require_order(model, data)
        if progress:
            model.add_callback(
                "on_fit_epoch_end", lambda trainer: progress(trainer.epoch + 1, training.epochs)
            )
        with contextlib.redirect_stdout(io.StringIO()):
            # its bars would be mixed with what a command prints
            result = model.train(
                data=str(absolute_data(data, Path(scratch))),
                project=scratch,
                name="run",
                **_arguments(training, pretrained=start_from is not None),
            )
        run = Path(scratch) / "run"
        with replacing(output) as aside:
            aside.mkdir()
            shutil.copy(run / "weights" / "best.pt", aside / "model.pt")
            forget_places(aside / "model.pt")
            _write_curve(run / "results.csv", aside / "curve.csv")
    metrics = {
        "map50_95": float(result.box.map),
        "map50": float(result.box.map50),
        "precision": float(result.box.mp),
        "recall": float(result.box.mr),
    }
    return TrainedModel(output / "model.pt", metrics, output / "curve.csv")


def _require_detection(data: Path) -> None:
    """Check every label before the first epoch, and not where Ultralytics comes across it."""
    if not data.is_file():
        raise DatasetError("a YOLO data.yaml", found=f"no file at {data}", hint="check the path")
    for split in ("train", "val"):
        if load_dataset(data, split).task != "detect":
            raise DatasetError(
                "labels for detection", found=f"an image folder for classification: {data}"
            )


def _use_all_cores() -> None:
    """Let torch use all cores that this process may run on; Ultralytics leaves one idle."""
    import torch

    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    torch.set_num_threads(len(affinity(0)) if affinity else os.cpu_count() or 1)


def _arguments(training: DetectorTraining, *, pretrained: bool) -> dict[str, object]:
    mosaic = 1.0 if training.augment else 0.0
    arguments: dict[str, object] = {
        "imgsz": training.image_size,
        "epochs": training.epochs,
        "batch": training.batch,
        "device": training.device,
        "seed": training.seed,
        "deterministic": True,
        "workers": 2,
        "pretrained": pretrained,
        "optimizer": "AdamW",
        "lr0": training.learning_rate,
        "lrf": 0.02,
        "cos_lr": True,
        "warmup_epochs": min(2.0, training.epochs / 10),
        "mosaic": mosaic,
        "close_mosaic": max(1, training.epochs // 4),
        "fliplr": 0.0,
        "scale": 0.3 if training.augment else 0.0,
        "translate": 0.1,
        "hsv_h": 0.015,  # more would turn classes into each other that differ in colour
        "hsv_s": 0.5,
        "hsv_v": 0.3,
        "erasing": 0.0,
        "amp": False,
        "plots": False,
        "cache": "ram",
        "verbose": False,
        "exist_ok": True,
    }
    return arguments | dict(training.extra)


def _untrained(ultralytics: ModuleType, training: DetectorTraining, scratch: Path) -> YOLO:
    """A model with random weights, built from the architecture file that Ultralytics ships."""
    described = _architecture(training.architecture)
    if training.width is not None:
        scale = described["scale"]
        if scale not in described.get("scales", {}):
            raise ConfigError(
                "an architecture with scales, such as yolo11n", found=training.architecture
            )
        depth, _, limit = described["scales"][scale]
        described["scales"] = {scale: [depth, training.width, limit]}
    # it reads the scale from the name, and must read no more
    path = scratch / f"yolo0{described.pop('scale')}.yaml"
    path.write_text(yaml.safe_dump(described))
    return ultralytics.YOLO(str(path))


def _architecture(name: str) -> Any:
    """Load an architecture that Ultralytics ships, not one of the working directory or an address.

    Raises:
        ConfigError: it ships nothing of that name.
    """
    from ultralytics.nn.tasks import guess_model_scale
    from ultralytics.utils import ROOT

    shipped = {file.stem: file for file in (ROOT / "cfg" / "models").rglob("*.yaml")}
    file = shipped.get(name) or shipped.get(re.sub(r"(\d+)[nslmx]", r"\1", name, count=1))
    if file is None:
        close = difflib.get_close_matches(name, shipped)
        raise ConfigError(
            "a model of Ultralytics, such as yolo11n",
            found=repr(name),
            hint=f"did you mean {' or '.join(close)}?" if close else "check its spelling",
        )
    return yaml.safe_load(file.read_text(encoding="utf-8")) | {"scale": guess_model_scale(name)}


def absolute_data(data: Path, scratch: Path) -> Path:
    """Write a data.yaml for Ultralytics with absolute places and nothing to download.

    Ultralytics resolves other places by itself.
    """
    described = read_description(data)
    settings = read_yaml(data, "a readable YAML file")
    places: dict[str, list[str]] = {"train": [], "val": []}
    for split, found in places.items():
        for number, place in enumerate(split_places(described, split)):
            if place.is_file():
                listed = "\n".join(map(str, split_images(place, described)))
                place = scratch / f"{split}-{number}.txt"
                place.write_text(listed, encoding="utf-8")
            found.append(str(place))
    kept = {key: settings[key] for key in ("kpt_shape", "flip_idx") if key in settings}
    copy = scratch / "data.yaml"
    copy.write_text(yaml.safe_dump({"names": dict(enumerate(described.names)), **places, **kept}))
    return copy


def _require_order(model: YOLO, data: Path) -> None:
    """Refuse to go on from a checkpoint whose class ids mean other classes of the same names.

    Raises:
        IncompatibleError: the names are in another order.
    """
    names, wanted = tuple(model.names.values()), read_description(data).names
    if names != wanted and same_classes(names, wanted):
        raise IncompatibleError(
            f"the classes in the order of the checkpoint, {', '.join(names)}",
            found=f"{', '.join(wanted)} in {data}",
            hint="write the labels in that order, as `compose_dataset` does with class_names",
        )


def _write_curve(results: Path, target: Path) -> None:
    """Keep the columns a person reads: epoch, losses and validation metrics."""
    wanted = {
        "epoch": "epoch",
        "train/box_loss": "train_box_loss",
        "train/cls_loss": "train_class_loss",
        "val/box_loss": "val_box_loss",
        "val/cls_loss": "val_class_loss",
        "metrics/mAP50(B)": "map50",
        "metrics/mAP50-95(B)": "map50_95",
    }
    with results.open() as source, target.open("w", newline="") as sink:
        rows = [
            {key.strip(): value.strip() for key, value in row.items()}
            for row in csv.DictReader(source)
        ]
        writer = csv.DictWriter(sink, wanted.values())
        writer.writeheader()
        writer.writerows({new: row.get(old, "") for old, new in wanted.items()} for row in rows)


class DetectorTrainer:
    """Fine-tunes Ultralytics checkpoints; see `Trainer`."""

    metric: ClassVar[str] = "map50_95"
    starts_from: ClassVar[str] = "a checkpoint (.pt) of Ultralytics"

    @staticmethod
    def can_start_from(checkpoint: Path) -> bool:
        return is_ultralytics(checkpoint)

    @staticmethod
    def train(step: TrainingStep, output: Path, progress: Progress | None) -> TrainedModel:
        settings = DetectorTraining(image_size=step.image_size, augment=False, **step.common())
        return train_detector(
            step.data,
            output,
            training=settings,
            start_from=step.start_from,
            trust=step.trust,
            progress=progress,
        )

    @staticmethod
    def blend(step: TrainingStep, trained: Path, output: Path) -> dict[str, float]:
        old, new = load_yolo(step.start_from, trust=True), load_yolo(trained, trust=True)
        weights = between(
            old.model.float().state_dict(), new.model.state_dict(), step.settings.blend
        )
        new.model.float().load_state_dict(weights)
        new.save(str(output))
        forget_places(output)
        with tempfile.TemporaryDirectory(prefix="foveal-training-") as scratch:
            about = {
                "imgsz": step.image_size,
                "batch": step.settings.batch,
                "device": step.settings.device,
            }
            file = str(absolute_data(step.data, Path(scratch)))
            with contextlib.redirect_stdout(io.StringIO()):
                found = new.val(
                    data=file,
                    project=scratch,
                    name="run",
                    verbose=False,
                    workers=0,
                    plots=False,
                    **about,
                ).box
        return {"map50_95": float(found.map), "map50": float(found.map50)}
