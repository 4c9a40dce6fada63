"""Write images and their labels as a YOLO dataset or an image folder, to train on or label in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from components.datasets.labels import UNLABELLED, Found, Label, LabelTask, QueuedImage
from components.datasets.yolo_layout import (
    Description,
    find_description,
    label_file,
    read_rows,
    split_images,
    split_places,
)
from components.errors import ConfigError, DatasetError
from components.images.sources import list_images, local_file


def link_or_copy(source: Path, target: Path) -> None:
    """Put a file at a free second place: by hard link, or by copy if the file system has none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)  # resolved: a link to a link would break with it
    except FileExistsError:
        # a copy would write through the link that it may be, into somebody's image
        raise
    except OSError:
        shutil.copy2(source, target)


def yolo_text(rows: Iterable[tuple[int, Sequence[float]]]) -> str:
    """A YOLO label file, one line ``class cx cy width height`` an object.

    Arguments:
        rows: of each its class id, and left, top, right and bottom as shares of the image.
    """
    lines = (
        f"{k} {(left + right) / 2:.6f} {(top + bottom) / 2:.6f} {right - left:.6f} "
        f"{bottom - top:.6f}\n"
        for k, (left, top, right, bottom) in rows
    )
    return "".join(lines)


def write_description(
    folder: Path, class_names: Sequence[str], splits: dict[str, str], **more: object
) -> Path:
    """Write a `data.yaml` with these splits, paths relative to it; return it."""
    file = folder / "data.yaml"
    described = {"names": dict(enumerate(class_names)), **splits, **more}
    file.write_text(
        yaml.safe_dump(described, sort_keys=False, allow_unicode=True), encoding="utf-8"
    )
    return file


def class_folder(class_name: str) -> str:
    """A class's name as that of a folder.

    Raises:
        ConfigError: it cannot be one.
    """
    if not class_name or class_name.startswith(".") or set(class_name) & set('/\\:*?"<>|\0'):
        raise ConfigError(
            "class names that can be folders",
            found=repr(class_name),
            hint="choose the format label-studio or coco",
        )
    return class_name


def write_yolo(
    images: Sequence[QueuedImage], places: Mapping[str, str], folder: Path, about: LabelTask
) -> Path:
    """Write pre-labels beside the images that lie in `folder` already.

    An image in which the model sees nothing gets no label file, so that an empty one is a person's
    word. The images lie below ``images/``; see `DatasetFormat.write`.

    Returns:
        The `data.yaml`; for a classifier the folder with one folder a class, into which the images
        have been moved.

    Raises:
        ConfigError: a class name cannot be a folder.
    """
    if not about.has_boxes:
        return _write_classes(images, places, folder, about)
    ids = {name: k for k, name in enumerate(about.class_names)}
    (folder / "labels").mkdir(exist_ok=True)
    for image in images:
        if image.sha256 in places and image.prelabels:
            rows = [(ids[label.class_name], label.box) for label in image.prelabels if label.box]
            label_file(folder / places[image.sha256]).write_text(yolo_text(rows), encoding="utf-8")
    return write_description(folder, about.class_names, {"train": "images", "val": "images"})


def _write_classes(
    images: Sequence[QueuedImage], places: Mapping[str, str], folder: Path, about: LabelTask
) -> Path:
    for name in about.class_names:
        (folder / "train" / class_folder(name)).mkdir(parents=True)
    for image in images:
        if image.sha256 in places:
            name = image.prelabels[0].class_name if image.prelabels else UNLABELLED
            source = folder / places[image.sha256]
            link_or_copy(source, folder / "train" / name / source.name)
            source.unlink()
    (folder / "images").rmdir()
    return folder / "train"


def read_yolo(description: Description) -> tuple[Found, ...]:
    """Read the labels of all splits that are there.

    An image without a label file is unlabelled; an empty file says that nothing is there, as
    Ultralytics, Roboflow and Label Studio write it, but not in the forms that CVAT exports
    (`Description.empty_is_word`). Where a tool exported labels alone, each file is taken for the
    label of an image of its name.

    Raises:
        DatasetError: none of the splits is there.
    """
    if not description.there:
        if description.root.joinpath("labels").is_dir():
            labels = sorted(description.root.joinpath("labels").rglob("*.txt"))
            return tuple(_found(label.with_suffix(""), label, description) for label in labels)
        for split in description.splits:
            split_places(description, split)
    places = [place for split in description.there for place in split_places(description, split)]
    images = dict.fromkeys(
        image for place in dict.fromkeys(places) for image in split_images(place, description)
    )
    return tuple(_found(image, label_file(image), description) for image in images)


def _found(image: Path, label: Path, description: Description) -> Found:
    file = image if image.is_file() else None
    if not label.is_file():
        return Found(image.as_posix(), None, file=file)
    try:
        rows = read_rows(label, description)
    except DatasetError as error:
        return Found(
            image.as_posix(),
            (),
            file=file,
            problem=f"{error.found}, where {error.expected} is expected",
        )
    labels = tuple(
        Label(description.names[int(k)], (left, top, right, bottom))
        for k, left, top, right, bottom in rows
    )
    return Found(
        image.as_posix(), labels, stated=not labels and description.empty_is_word, file=file
    )


def read_classes(folder: Path) -> tuple[Found, ...]:
    """Read images that lie in one folder a class, at any depth.

    Those in ``_unlabelled`` are not labelled.

    Raises:
        DatasetError: an image lies in no folder, or there are none.
    """
    found = []
    for image in list_images(folder):
        path = local_file(image)
        if "/" not in image.image_id:
            raise DatasetError(
                "images in one folder a class", found=f"{path.name} directly in {folder}"
            )
        name = path.parent.name
        found.append(Found(path.name, None if name == UNLABELLED else (Label(name),), file=path))
    return tuple(found)


class YoloFolder:
    """A YOLO dataset, described by a file; see `DatasetFormat`."""

    fetches = False
    is_folder = True
    write = staticmethod(write_yolo)

    @staticmethod
    def recognises(source: object, about: LabelTask) -> bool:
        return about.has_boxes and isinstance(source, Path) and find_description(source) is not None

    @staticmethod
    def read(source: Any, file: Path, about: LabelTask) -> tuple[Found, ...]:
        description = find_description(source)
        if description is None:
            raise DatasetError(
                "a YOLO dataset with its description",
                found=f"none in {file}",
                hint="name its folder",
            )
        return read_yolo(description)
