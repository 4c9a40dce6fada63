"""Folders to label in: a YOLO dataset for boxes, one folder a class for whole images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from components.contracts import TaskType
from components.errors import DatasetError
from components.images.datasets import label_file, read_description, read_rows, split_places
from components.images.labels import Found, Label, LabelTask, QueuedImage
from components.images.sources import list_images
from components.images.writing import class_folder, link_or_copy, write_description, yolo_text

UNSURE = "_unlabelled"  # the folder of images whose class the model does not say


def write_yolo(images: Sequence[QueuedImage], places: Mapping[str, str], folder: Path, about: LabelTask) -> Path:
    """Write pre-labels beside the images that lie in `folder` already.

    An image in which the model sees nothing gets no label file, so that an empty one is a person's word.

    Arguments:
        images: the queue.
        places: sha256 → path of the image relative to `folder`, below ``images/``.
        folder: where to write.
        about: the model's task and classes.

    Returns:
        The `data.yaml`; for a classifier the folder with one folder a class, into which the images have been moved.

    Raises:
        ConfigError: a class name cannot be a folder.
    """
    if about.task is TaskType.CLASSIFY:
        return _write_classes(images, places, folder, about)
    ids = {name: k for k, name in enumerate(about.class_names)}
    (folder / "labels").mkdir(exist_ok=True)
    for image in images:
        if image.sha256 in places and image.prelabels:
            rows = [(ids[label.class_name], label.box) for label in image.prelabels if label.box]
            label_file(folder / places[image.sha256]).write_text(yolo_text(rows), encoding="utf-8")
    return write_description(folder, about.class_names, {"train": "images", "val": "images"})


def _write_classes(images: Sequence[QueuedImage], places: Mapping[str, str], folder: Path, about: LabelTask) -> Path:
    for name in about.class_names:
        (folder / "train" / class_folder(name)).mkdir(parents=True)
    for image in images:
        if image.sha256 in places:
            name = image.prelabels[0].class_name if image.prelabels else UNSURE
            source = folder / places[image.sha256]
            link_or_copy(source, folder / "train" / name / source.name)
            source.unlink()
    (folder / "images").rmdir()
    return folder / "train"


def read_yolo(file: Path) -> tuple[Found, ...]:
    """Read the labels of all splits of a YOLO dataset; an image without a label file is unlabelled.

    Arguments:
        file: the `data.yaml`.

    Raises:
        DatasetError: a split or a label file is damaged.
    """
    description = read_description(file)
    places = [place for split in description.splits for place in split_places(description, split)]
    images = {Path(image.uri): None for place in dict.fromkeys(places) for image in list_images(place)}
    found = []
    for image in images:
        label = label_file(image)
        labels = tuple(
            Label(description.names[int(k)], (left, top, right, bottom))
            for k, left, top, right, bottom in read_rows(label, description)
        )
        there = label.is_file()
        found.append(Found(image.as_posix(), labels if there else None, stated=there and not labels, file=image))
    return tuple(found)


def read_classes(folder: Path) -> tuple[Found, ...]:
    """Read images that lie in one folder a class, at any depth; those in ``_unlabelled`` are not labelled.

    Raises:
        DatasetError: an image lies in no folder, or there are none.
    """
    found = []
    for image in list_images(folder):
        path = Path(image.uri)
        if "/" not in image.image_id:
            raise DatasetError("images in one folder a class", found=f"{path.name} directly in {folder}")
        name = path.parent.name
        found.append(Found(path.name, None if name == UNSURE else (Label(name),), file=path))
    return tuple(found)
