"""Pictures with ground truth: YOLO datasets for detection, image folders for classification."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from components.contracts import Classification, Detections, LabelledImage
from components.datasets.checks import Remarks, Tidied, name_some, tidy_boxes
from components.datasets.labels import UNLABELLED
from components.datasets.yolo_layout import (
    Description,
    Row,
    find_description,
    is_labelled,
    label_file,
    no_split,
    read_rows,
    split_images,
    split_places,
    synonym,
)
from components.errors import DatasetError, ImageError
from components.files import sha256_file, sha256_json
from components.images.reading import image_size
from components.images.sources import list_images, local_file
from components.printing import counted
from components.vision.tasks import task_kind


@dataclass(frozen=True)
class LabelledDataset:
    """One split of a labelled dataset.

    Arguments:
        root: the folder that holds the dataset.
        split: the split that was asked for.
        task: that its truths are of, by its name in `TASKS`.
        class_names: index is class id; the same for every split.
        images: sorted by id; ids are relative to the folder that holds all of the split.
        sha256: content hash of the task, the class names, the images and their labels; where they
            lie does not matter.
        remarks: what people should know of its labels, one line each.
    """

    root: Path
    split: str
    task: str
    class_names: tuple[str, ...]
    images: tuple[LabelledImage, ...]
    sha256: str
    remarks: tuple[str, ...] = ()


def load_dataset(
    path: Path,
    split: str,
    *,
    task: str | None = None,
    objects: bool = True,
    only_labelled: bool = False,
) -> LabelledDataset:
    """Load one split of a dataset, with its ground truth in pixels of the upright images.

    Detection: a dataset in YOLO's form (see `yolo_layout`). The label of an image is the `.txt`
    file under `labels` where the image is under `images`, or else beside it; by the rule of this
    format an image without one shows nothing of interest. Rows are ``class cx cy width height``,
    normalised to the upright image; a polygon becomes its box, keypoints after a box (with
    `kpt_shape`) are passed over. Boxes are checked and tidied as `label_check` says.

    Classification: a folder ``split/class/*.jpg``. Class ids follow the sorted names of the
    training split, or of the split itself where there is none. Images in ``split/_unlabelled`` are
    passed over.

    Arguments:
        path: a `data.yaml`, a folder that holds a dataset, or an image folder.
        split: its name; val, validation and valid mean the same.
        task: that reads its labels as ground truth, see `VisionTask.from_labels`; a dataset with
            the other kind of labels stays as it is. None: detect for boxes, classify for classes.
        objects: of a dataset for detection: whether at least one image must show something; where
            none need, an empty label file is an answer, and there must be one.
        only_labelled: leave out images without a label file, and in CVAT's forms those with an
            empty one: nobody has said yet that they show nothing.

    Raises:
        DatasetError: the split, its images or its labels are missing, damaged or contradict
            themselves.
        ModelError: there is no such task.
    """
    path = Path(os.path.abspath(os.path.expanduser(path)))
    if description := find_description(path):
        found = _load_yolo(description, split, objects, only_labelled)
    elif path.is_dir():
        found = _load_folder(path, split)
    else:
        raise _no_dataset(path)
    return _read_as(task, found) if task else found


def _read_as(task: str, dataset: LabelledDataset) -> LabelledDataset:
    """Read the truths of a dataset as those of a task, if its labels are of the task's kind."""
    kind = task_kind(task)
    if kind.has_boxes != task_kind(dataset.task).has_boxes:
        return dataset
    images = tuple(replace(image, truth=kind.from_labels(image.truth)) for image in dataset.images)
    return replace(dataset, task=task, images=images)


def dataset_splits(path: Path) -> tuple[str, ...]:
    """Name the splits that a dataset has.

    Arguments:
        path: as `load_dataset` takes it.

    Raises:
        DatasetError: there is no dataset, or its description is damaged.
    """
    path = Path(os.path.abspath(os.path.expanduser(path)))
    if description := find_description(path):
        return description.there
    if path.is_dir() and (folders := _folders(path)):
        return tuple(folder.name for folder in folders)
    raise _no_dataset(path)


def _no_dataset(path: Path) -> DatasetError:
    other = "a folder without any of these" if path.is_dir() else "a file of another kind"
    return DatasetError(
        "a YOLO data.yaml, a folder that holds one, or an image folder split/class/*.jpg",
        found=f"{path}, {other}" if path.exists() else f"nothing at {path}",
        hint="check the path",
    )


def _load_yolo(
    description: Description, split: str, objects: bool, only_labelled: bool
) -> LabelledDataset:
    places = split_places(description, split)
    base = os.path.commonpath([place if place.is_dir() else place.parent for place in places])
    files = {image for place in places for image in split_images(place, description)}
    named = sorted((Path(os.path.relpath(image, base)).as_posix(), image) for image in files)
    if only_labelled:
        named = [(name, image) for name, image in named if is_labelled(image, description)]
    read = _rows_of([image for _, image in named], description)
    wrong = [one for one in read if isinstance(one, DatasetError)]
    if wrong and not (only_labelled and len(wrong) < len(named)):
        more = f"; wrong label files: {len(wrong)}" if len(wrong) > 1 else ""
        raise DatasetError(wrong[0].expected, found=f"{wrong[0].found}{more}", hint=wrong[0].hint)
    rows = {
        name: one
        for (name, _), one in zip(named, read, strict=True)
        if not isinstance(one, DatasetError)
    }
    digest, images, remarks = _digest("detect", description.names), [], Remarks()
    for name, image in named:
        if (found := rows.get(name)) is None:
            continue
        tidied = tidy_boxes(
            (int(k), (left, top, right, bottom)) for k, left, top, right, bottom in found
        )
        remarks.add(name, tidied)
        images.append(LabelledImage(name, image, _detections(image, tidied)))
        digest.update(sha256_json([name, _sha256(image), tuple(dict.fromkeys(found))]).encode())
    if not any(
        image.truth.count or (not objects and label_file(image.path).is_file()) for image in images
    ):
        raise DatasetError(
            "labels for at least one image",
            found=f"none for the {len(files)} of {split} in {description.file}",
            hint=f"the label of the first belongs in {label_file(min(files))}",
        )
    said = [image for image in images if is_labelled(image.path, description)]
    counts = _count(said, len(files) - len(wrong), left_out=only_labelled)
    passed_over = ["download is passed over"] if "download" in description.keys else []
    lines = (counts, *_left_out(wrong), *remarks.lines(), *passed_over)
    sha256, names = digest.hexdigest(), description.names
    return LabelledDataset(description.root, split, "detect", names, tuple(images), sha256, lines)


def _rows_of(
    images: Sequence[Path], description: Description
) -> list[tuple[Row, ...] | DatasetError]:
    """Read the label files of all images; what is wrong with one takes the place of its rows."""
    read: list[tuple[Row, ...] | DatasetError] = []
    for image in images:
        try:
            read.append(read_rows(label_file(image), description))
        except DatasetError as error:
            read.append(error)
    return read


def _left_out(wrong: Sequence[DatasetError]) -> tuple[str, ...]:
    """Say which label files are left out, where what people labelled comes in by and by."""
    if not wrong:
        return ()
    many = f"{counted(len(wrong), 'label file')} left out"
    return (
        f"{many}: expected {wrong[0].expected}, found "
        f"{wrong[0].found}{', and others' if wrong[1:] else ''}",
    )


def _count(labelled: Sequence[LabelledImage], files: int, *, left_out: bool) -> str:
    """Say how many images are labelled, empty and without a label."""
    empty = sum(not image.truth.count for image in labelled)
    without = files - len(labelled)
    tail = (
        f", {without} without a label and {'left out' if left_out else 'taken to show nothing'}"
        if without
        else ""
    )
    return f"images: {files}, {len(labelled) - empty} with objects, {empty} labelled as empty{tail}"


def _detections(image: Path, tidied: Tidied[int]) -> Detections:
    if not tidied.boxes:
        return Detections.empty()
    try:
        size = image_size(image)
    except ImageError as error:
        raise DatasetError(
            "images that can be read", found=error.found, hint="mend or remove it"
        ) from error
    boxes = np.array([box for _, box in tidied.boxes]) * np.array(size * 2)
    ids = np.array([class_id for class_id, _ in tidied.boxes], np.int64)
    return Detections(boxes.astype(np.float32), np.ones(len(ids), np.float32), ids)


def _load_folder(root: Path, split: str) -> LabelledDataset:
    splits = {folder.name: folder for folder in _folders(root)}
    if not splits:
        raise DatasetError("a data.yaml, or folders split/class/*.jpg", found=f"neither in {root}")
    found = synonym(split, splits)
    if found is None:
        raise no_split(split, root, splits)
    folder = splits[found]
    names = tuple(
        child.name for child in _folders(splits.get("train", folder)) if child.name != UNLABELLED
    )
    digest, images, classes = _digest("classify", names), [], defaultdict[str, set[str]](set)
    one_hot = dict(zip(names, np.eye(len(names), dtype=np.float32), strict=True))
    for source in list_images(folder):
        name, separator, _ = source.image_id.partition("/")
        if name == UNLABELLED:
            continue
        if not separator:
            raise DatasetError(
                "images in one folder a class", found=f"{name} beside them in {folder}"
            )
        if name not in one_hot:
            raise DatasetError(
                "the classes of the training split",
                found=f"{name} in {folder}",
                hint="rename or remove that folder",
            )
        images.append(
            LabelledImage(source.image_id, local_file(source), Classification(one_hot[name]))
        )
        sha256 = _sha256(local_file(source))
        classes[sha256].add(name)
        digest.update(sha256_json([source.image_id, sha256]).encode())
    twice = [" and ".join(sorted(of)) for of in classes.values() if len(of) > 1]
    remarks = (
        (f"images that lie in two classes: {len(twice)}, {name_some(dict.fromkeys(twice))}",)
        if twice
        else ()
    )
    return LabelledDataset(
        root, split, "classify", names, tuple(images), digest.hexdigest(), remarks
    )


def _folders(parent: Path) -> list[Path]:
    return sorted(
        child for child in parent.iterdir() if child.is_dir() and not child.name.startswith(".")
    )


def _digest(task: str, names: Iterable[str]) -> hashlib._Hash:
    return hashlib.sha256(sha256_json([task, list(names)]).encode())


def _sha256(image: Path) -> str:
    try:
        return sha256_file(image)
    except OSError as error:
        detail = f"{image}: {error.strerror}"
        raise DatasetError(
            "images that can be read", found=detail, hint="mend or remove it"
        ) from error
