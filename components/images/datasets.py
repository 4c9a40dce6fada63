"""Pictures with their ground truth: YOLO datasets for detection, image folders for classification."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from components.contracts import Classification, Detections, LabelledImage, TaskType
from components.errors import DatasetError, ImageError
from components.files import sha256_file, sha256_json
from components.images.reading import image_size
from components.images.sources import list_images

_DESCRIPTIONS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_VALIDATION = ("val", "validation", "valid")  # three names in use for one split
_TOLERANCE = 0.01  # how far outside 0–1 a coordinate may lie; Ultralytics allows as much


@dataclass(frozen=True)
class LabelledDataset:
    """One split of a labelled dataset.

    Arguments:
        root: the folder that holds the dataset.
        split: the split that was asked for.
        task: detect or classify.
        class_names: index is class id; the same for every split.
        images: sorted by id; ids are relative to the folder that holds all of the split.
        sha256: content hash of the task, the class names, the images and their labels; where they lie does not matter.
    """

    root: Path
    split: str
    task: TaskType
    class_names: tuple[str, ...]
    images: tuple[LabelledImage, ...]
    sha256: str


@dataclass(frozen=True)
class Description:
    """What a YOLO `data.yaml` says."""

    file: Path
    root: Path
    names: tuple[str, ...]
    row_lengths: frozenset[int]  # fields of a row that starts with a box
    splits: Mapping[str, tuple[str, ...]]

    def candidates(self, place: str) -> list[Path]:
        """Where a folder of images or a `.txt` list of them may lie."""
        # Roboflow's exports are one folder off; Ultralytics bears with it too.
        texts = [place, place[3:]] if place.startswith("../") else [place]
        return [Path(os.path.abspath(self.root / text)) for text in texts]


def load_dataset(path: Path, split: str, *, objects: bool = True) -> LabelledDataset:
    """Load one split of a dataset, with its ground truth in pixels of the upright images.

    Detection: a YOLO `data.yaml`, or the folder that holds it. The label of an image is the `.txt` file under `labels`
    where the image is under `images`, or else beside it; an image without one shows nothing of interest. Rows are
    ``class cx cy width height``, normalised to the image; a polygon becomes its box, keypoints after a box (with
    `kpt_shape`) are passed over, boxes are cut at the image's edge, and a row that is written twice counts once.

    Classification: a folder ``split/class/*.jpg``. Class ids follow the sorted names of the training split, or of
    the split itself where there is none.

    Arguments:
        path: a `data.yaml`, a folder that holds one, or an image folder.
        split: its name; val, validation and valid mean the same.
        objects: of a dataset for detection: whether at least one image must show something; where none need, an empty
            label file is an answer, and there must be one.

    Raises:
        DatasetError: the split, its images or its labels are missing, damaged or contradict themselves.
    """
    path = Path(os.path.abspath(os.path.expanduser(path)))
    if description := description_file(path):
        return _load_yolo(description, split, objects)
    if path.is_dir():
        return _load_folder(path, split)
    raise DatasetError(
        "a YOLO data.yaml, a folder that holds one, or an image folder split/class/*.jpg",
        found=f"{path}, a file of another kind" if path.exists() else f"nothing at {path}",
        mend="check the path",
    )


def description_file(path: Path) -> Path | None:
    """The `data.yaml` that a path is, or that the folder holds; None where there is none."""
    if path.is_dir():
        return next((path / name for name in _DESCRIPTIONS if (path / name).is_file()), None)
    return path if path.is_file() and path.suffix.lower() in {".yaml", ".yml"} else None


def _load_yolo(file: Path, split: str, objects: bool) -> LabelledDataset:
    description = read_description(file)
    places = split_places(description, split)
    base = os.path.commonpath([place if place.is_dir() else place.parent for place in places])
    files = {Path(image.uri) for place in places for image in list_images(place)}
    named = sorted((Path(os.path.relpath(image, base)).as_posix(), image) for image in files)
    digest, images = _digest(TaskType.DETECT, description.names), []
    for name, image in named:
        rows = read_rows(label_file(image), description)
        images.append(LabelledImage(name, image, _detections(image, rows)))
        digest.update(sha256_json([name, _sha256(image), rows]).encode())
    if not any(_is_labelled(image, objects) for image in images):
        raise DatasetError(
            "labels for at least one image",
            found=f"none for the {len(images)} of {split} in {file}",
            mend=f"the label of the first belongs in {label_file(images[0].path)}",
        )
    return LabelledDataset(
        description.root, split, TaskType.DETECT, description.names, tuple(images), digest.hexdigest()
    )


def _is_labelled(image: LabelledImage, objects: bool) -> bool:
    if isinstance(image.truth, Detections) and len(image.truth):
        return True
    return not objects and label_file(image.path).is_file()


def read_description(file: Path) -> Description:
    """Read a YOLO `data.yaml`.

    Raises:
        DatasetError: it is no such file, or its class names have gaps.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DatasetError("a readable YAML file", found=f"{file}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise DatasetError("a YOLO data.yaml with names and splits", found=f"{file}, which is no mapping")
    root = file.parent / str(content.get("path") or "")
    names = _class_names(content.get("names"), file)
    row_lengths = {5}
    match content.get("kpt_shape"):
        case [int(points), int(dimensions)]:
            row_lengths.add(5 + points * dimensions)
    splits = {
        str(key): tuple([value] if isinstance(value, str) else value)
        for key, value in content.items()
        if key not in {"path", "names"} and _is_place(value)
    }
    return Description(file, Path(os.path.abspath(root)), names, frozenset(row_lengths), splits)


def _is_place(value: Any) -> bool:
    places = value if isinstance(value, list) else [value]
    return bool(places) and all(isinstance(place, str) and place for place in places)


def _class_names(names: Any, file: Path) -> tuple[str, ...]:
    """A list, or a mapping from class id that leaves none out."""
    if isinstance(names, list):
        names = dict(enumerate(names))
    try:
        by_id = {int(key): str(name) for key, name in names.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise DatasetError("names as a list or as a mapping by class id", found=f"{names!r} in {file}") from error
    if not by_id or sorted(by_id) != list(range(len(by_id))):
        raise DatasetError("a name for each class id from 0 on", found=f"names for the ids {sorted(by_id)} in {file}")
    return tuple(by_id[key] for key in range(len(by_id)))


def split_places(description: Description, split: str) -> list[Path]:
    """The folders of images, or `.txt` lists of them, that make up a split.

    Raises:
        DatasetError: there is no such split, or nothing where it should be.
    """
    candidates = {
        name: [description.candidates(place) for place in places] for name, places in description.splits.items()
    }
    exist = [name for name, places in candidates.items() if all(any(map(Path.exists, place)) for place in places)]
    name = _synonym(split, candidates)
    if name is None:
        raise _no_split(split, description.file, exist)
    if name not in exist:
        missing = next(place[0] for place in candidates[name] if not any(map(Path.exists, place)))
        raise DatasetError(
            "a folder of images or a .txt list of them",
            found=f"nothing at {missing}",
            mend=f"correct {name} or path in {description.file}: relative paths start at its folder",
        )
    return [next(filter(Path.exists, place)) for place in candidates[name]]


def _synonym(split: str, splits: Iterable[str]) -> str | None:
    """The name under which a dataset has this split."""
    names = (split, *_VALIDATION) if split in _VALIDATION else (split,)
    return next((name for name in names if name in splits), None)


def _no_split(split: str, where: Path, known: Iterable[str]) -> DatasetError:
    return DatasetError(
        f"the split {split} in {where}", found=", ".join(known) or "no splits", mend="name one of these, or add it"
    )


def label_file(image: Path) -> Path:
    """Where the label of an image belongs: under `labels` where it is under `images`, or else beside it."""
    parts = list(image.parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")


def read_rows(label: Path, description: Description) -> tuple[tuple[float, ...], ...]:
    """The rows of a label file, if there is one, as (class id, left, top, right, bottom), normalised.

    Raises:
        DatasetError: the file is damaged, or a row is wrong.
    """
    if not label.is_file():
        return ()
    try:
        lines = label.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError("a label file as text", found=f"{label}: {error}") from error
    rows = [
        _parse_row(line.split(), f"line {number} of {label}", description)
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    return tuple(dict.fromkeys(rows))


def _parse_row(fields: list[str], where: str, description: Description) -> tuple[float, ...]:
    try:
        class_id, *values = map(float, fields)
    except ValueError as error:
        raise DatasetError("numbers in a label file", found=f"{' '.join(fields)[:60]!r} in {where}") from error
    is_box = len(fields) in description.row_lengths
    if not is_box and (len(fields) < 7 or len(fields) % 2 == 0):
        raise DatasetError(
            "class cx cy width height, or a class and the points of a polygon",
            found=f"{len(fields)} fields in {where}",
        )
    if class_id not in range(len(description.names)):
        raise DatasetError(
            f"a class id from 0 to {len(description.names) - 1}, as named in {description.file}",
            found=f"{fields[0]} in {where}",
        )
    if is_box:
        values = values[:4]
    wrong = [value for value in values if not -_TOLERANCE <= value <= 1 + _TOLERANCE]
    wrong += [extent for extent in values[2:] if is_box and extent < 0]
    if wrong:
        raise DatasetError(
            "coordinates from 0 to 1",
            found=f"{wrong[0]:g} in {where}",
            mend="divide x and width by the image's width, y and height by its height",
        )
    return (class_id, *(_box_edges(*values) if is_box else _bounds(values)))


def _box_edges(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _bounds(polygon: list[float]) -> tuple[float, float, float, float]:
    xs, ys = polygon[::2], polygon[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def _detections(image: Path, rows: tuple[tuple[float, ...], ...]) -> Detections:
    if not rows:
        return Detections.empty()
    try:
        size = image_size(image)
    except ImageError as error:
        raise DatasetError("images that can be read", found=error.found, mend="mend or remove it") from error
    table = np.array(rows)
    boxes = table[:, 1:].clip(0, 1) * np.array(size * 2)
    return Detections(boxes.astype(np.float32), np.ones(len(table), np.float32), table[:, 0].astype(np.int64))


def _load_folder(root: Path, split: str) -> LabelledDataset:
    splits = {folder.name: folder for folder in _folders(root)}
    if not splits:
        raise DatasetError("a data.yaml, or folders split/class/*.jpg", found=f"neither in {root}")
    found = _synonym(split, splits)
    if found is None:
        raise _no_split(split, root, splits)
    folder = splits[found]
    names = tuple(child.name for child in _folders(splits.get("train", folder)))
    digest, images = _digest(TaskType.CLASSIFY, names), []
    one_hot = dict(zip(names, np.eye(len(names), dtype=np.float32), strict=True))
    for source in list_images(folder):
        name, separator, _ = source.image_id.partition("/")
        if not separator:
            raise DatasetError("images in one folder a class", found=f"{name} beside them in {folder}")
        if name not in one_hot:
            raise DatasetError(
                "the classes of the training split", found=f"{name} in {folder}", mend="rename or remove that folder"
            )
        images.append(LabelledImage(source.image_id, Path(source.uri), Classification(one_hot[name])))
        digest.update(sha256_json([source.image_id, _sha256(Path(source.uri))]).encode())
    return LabelledDataset(root, split, TaskType.CLASSIFY, names, tuple(images), digest.hexdigest())


def _folders(parent: Path) -> list[Path]:
    return sorted(child for child in parent.iterdir() if child.is_dir() and not child.name.startswith("."))


def _digest(task: TaskType, names: Iterable[str]) -> Any:
    return hashlib.sha256(sha256_json([task, list(names)]).encode())


def _sha256(image: Path) -> str:
    try:
        return sha256_file(image)
    except OSError as error:
        detail = f"{image}: {error.strerror}"
        raise DatasetError("images that can be read", found=detail, mend="mend or remove it") from error
