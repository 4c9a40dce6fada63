"""Compose a retraining's dataset from the original, a replay of it, and newly labelled images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from components.contracts import DatasetVersion, LabelledImage, dump, load
from components.datasets.classes import in_classes_of
from components.datasets.dataset import LabelledDataset, load_dataset
from components.datasets.yolo_folder import link_or_copy, write_description, yolo_text
from components.datasets.yolo_layout import description_file, find_description, label_file
from components.documents import read_yaml
from components.errors import IncompatibleError
from components.files import is_whole, replacing, sha256_file, sha256_json, write_json
from components.images.reading import image_size
from components.training.selection import Chosen, Entry, Material, Role, Selection, choose
from components.vision import task_kind

_RECORD = "dataset.json"
Splits = Mapping[str, Sequence[Entry]]

_LAYOUT = 1  # raise when what is written for the same choice changes


@dataclass(frozen=True)
class SplitNames:
    """Names of the original dataset's splits; two may be the same, as in a release."""

    train: str = "train"
    val: str = "val"
    calibration: str = "train"
    golden: str = "val"


@dataclass(frozen=True)
class OriginalData:
    """The labelled data of a champion.

    Arguments:
        data: a YOLO `data.yaml` or an image folder.
        splits: what its splits are called.
        class_names: of the champion; index is class id. None keeps the data's own.
        conditions: parts of its validation split that stay apart, since each is a condition of its
            own.
    """

    data: Path
    splits: SplitNames = field(default_factory=SplitNames)
    class_names: Sequence[str] | None = None
    conditions: Sequence[str] = ()


def compose_dataset(
    original: OriginalData,
    new: Sequence[LabelledDataset],
    output: Path,
    *,
    pseudo: Sequence[LabelledImage] = (),
    selection: Selection | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DatasetVersion:
    """Write the dataset that a retraining learns from and is judged on.

    Its splits: `train`; `val`, the original one and the held-out part of the new images; `recent`,
    that part alone, where there is any; `known_1`, `known_2`, …, the parts of `val` that are in
    each of its `conditions`; `golden`, the original's byte for byte under its own names; and
    `calibration`, where the original has one of its own. No image of one split is in another by
    content, but for the parts of `val`, and `golden` where the original's is its validation split.

    Arguments:
        original: the dataset of the champion.
        new: newly labelled images, those that came earlier first; classes are matched by name.
        output: the folder of all versions; this one is ``output/SHA256``, and is left as it is when
            it is there with all of its images.
        pseudo: images labelled by the champion: `scores` or `probs` say how sure it was; for
            training alone.
        selection: how to choose.
        progress: called with (done, total) while images are looked at.

    Raises:
        DatasetError: a split is missing or damaged.
        ImageError: an image cannot be read.
        IncompatibleError: new images have another task or unknown classes.
    """
    source, splits, class_names = original.data, original.splits, original.class_names
    train, val, golden = (
        _in_order(load_dataset(source, name), class_names)
        for name in (splits.train, splits.val, splits.golden)
    )
    own = splits.calibration not in (splits.train, splits.val, splits.golden)
    calibration = _in_order(load_dataset(source, splits.calibration), class_names) if own else None
    material = Material(
        golden=golden.images if splits.golden != splits.val else (),
        val=val.images,
        calibration=calibration.images if calibration else (),
        new=[image for part in new for image in _in_classes_of(train, part)],
        train=train.images,
        pseudo=pseudo,
    )
    chosen = choose(material, selection or Selection(), progress)
    conditions = (load_dataset(source, name, objects=False) for name in original.conditions)
    known = [{sha256_file(image.path) for image in condition.images} for condition in conditions]
    written = _by_split(chosen, known)
    sha256 = _identity(train, golden, written)
    folder = output / sha256
    if not _is_whole(folder):
        with replacing(folder) as aside:
            aside.mkdir(parents=True)
            writer = _YoloWriter if task_kind(train.task).has_boxes else _FolderWriter
            place = writer(source, train, aside).write(written, golden)
            images = {name: len(entries) for name, entries in written.items()} | {
                "golden": len(golden.images)
            }
            described = DatasetVersion(
                Path(place), sha256, images, chosen.sources, dict(chosen.dropped)
            )
            write_json(aside / _RECORD, dump(described))
    found = load(DatasetVersion, json.loads((folder / _RECORD).read_text(encoding="utf-8")))
    return replace(found, data=folder / "data.yaml" if task_kind(train.task).has_boxes else folder)


def _in_order(dataset: LabelledDataset, class_names: Sequence[str] | None) -> LabelledDataset:
    return in_classes_of(dataset, class_names) if class_names else dataset


def _is_whole(folder: Path) -> bool:
    """Tell whether a version is there, with as many images as it had when it was made."""
    if not is_whole(folder / _RECORD):
        return False
    images: dict[str, int] = json.loads((folder / _RECORD).read_text(encoding="utf-8"))["images"]
    pictures = folder / "images" if (folder / "images").is_dir() else folder
    there = {
        name: [file for file in (pictures / name).rglob("*") if file.is_file()] for name in images
    }
    return all(
        sum(file.stat().st_size > 0 for file in there[name]) == count
        for name, count in images.items()
    )


def _by_split(chosen: Chosen, known: Sequence[set[str]]) -> dict[str, tuple[Entry, ...]]:
    """The splits that have images; `train` and `val` always."""
    before = [entry for entry in chosen.val if entry.role is Role.VALIDATION]
    optional = {
        f"known_{number}": tuple(entry for entry in before if entry.sha256 in hashes)
        for number, hashes in enumerate(known, start=1)
    }
    optional |= {"recent": chosen.recent, "calibration": chosen.calibration}
    return {"train": chosen.train, "val": chosen.val} | {
        name: rows for name, rows in optional.items() if rows
    }


def _identity(train: LabelledDataset, golden: LabelledDataset, written: Splits) -> str:
    """Hash images and labels of all splits, wherever they lie and whatever they are called."""
    splits = {
        name: sorted([entry.sha256, entry.truth.label_content()] for entry in entries)
        for name, entries in written.items()
    }
    return sha256_json([_LAYOUT, train.task, train.class_names, splits, golden.sha256])


def _in_classes_of(original: LabelledDataset, part: LabelledDataset) -> Iterable[LabelledImage]:
    """New images with the class ids of the original."""
    if part.task != original.task:
        raise IncompatibleError(
            f"new labels to {original.task} the model's classes, {', '.join(original.class_names)}",
            found=f"labels to {part.task} in {part.root}",
            hint="label with the model's class names, in any order, or train a new model",
        )
    return in_classes_of(part, original.class_names).images


class _YoloWriter:
    """Writes a YOLO dataset below a folder."""

    def __init__(self, original: Path, train: LabelledDataset, folder: Path) -> None:
        self._train, self._folder = train, folder
        described = find_description(original)
        self._same_ids = described is not None and described.names == train.class_names
        self._keypoints = _keypoints(original) if self._same_ids else {}

    def write(self, splits: Splits, golden: LabelledDataset) -> str:
        """Write all splits; returns what of the folder names the dataset."""
        for split, entries in splits.items():
            for entry in entries:
                self._put(entry, split)
        for image in golden.images:
            target = self._folder / "images" / "golden" / image.image_id
            link_or_copy(image.path, target)
            self._label(image, target, copied=True)
        named = {split: f"images/{split}" for split in (*splits, "golden")}
        return write_description(
            self._folder, self._train.class_names, named, **self._keypoints
        ).name

    def _put(self, entry: Entry, split: str) -> None:
        target = self._folder / "images" / split / _name(entry)
        link_or_copy(entry.path, target)
        self._label(
            entry.image, target, copied=entry.role not in (Role.HELD_OUT, Role.NEW, Role.PSEUDO)
        )

    def _label(self, image: LabelledImage, target: Path, *, copied: bool) -> None:
        """Write a label; the original's own file is copied as it is where its class ids match."""
        source, label = label_file(image.path), label_file(target)
        if copied and not source.is_file():
            return
        label.parent.mkdir(parents=True, exist_ok=True)
        if copied and self._same_ids:
            shutil.copyfile(source, label)
        else:
            size = np.array(image_size(image.path) * 2)
            rows = [
                (one.class_id, tuple((one.box / size).tolist()))
                for one in image.truth.named()
                if one.box
            ]
            label.write_text(yolo_text(rows), encoding="utf-8")


def _keypoints(original: Path) -> dict[str, object]:
    file = description_file(original)
    described = read_yaml(file, "a readable YAML file") if file else {}
    return {key: value for key, value in described.items() if key == "kpt_shape"}


class _FolderWriter:
    """Writes ``split/class/*`` below a folder."""

    def __init__(self, original: Path, train: LabelledDataset, folder: Path) -> None:
        self._train, self._folder = train, folder

    def write(self, splits: Splits, golden: LabelledDataset) -> str:
        """Write all splits; returns what of the folder names the dataset."""
        for name in self._train.class_names:
            (self._folder / "train" / name).mkdir(parents=True)
        for split, entries in splits.items():
            for entry in entries:
                name = self._train.class_names[entry.truth.labels[0]]
                link_or_copy(entry.path, self._folder / split / name / _name(entry))
        for image in golden.images:
            link_or_copy(image.path, self._folder / "golden" / image.image_id)
        return "."


def _name(entry: Entry) -> str:
    return f"{entry.sha256[:24]}{entry.path.suffix.lower()}"
