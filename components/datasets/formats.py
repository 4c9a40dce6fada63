"""Export of a queue in the format of a labelling tool, and import of the labels that come back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from components.datasets.labels import Found, LabelTask, QueuedImage
from components.datasets.yolo_folder import read_classes
from components.documents import read_json
from components.errors import ConfigError, DatasetError, FovealError
from components.files import replacing
from components.images.bounded import read_bytes
from components.plugins import plugin


class LabelFormat(StrEnum):
    """Formats that labels are exported in and read back from."""

    LABEL_STUDIO = "label-studio"
    YOLO = "yolo"
    COCO = "coco"
    CSV = "csv"


DATASET_FORMATS = {  # in the order in which a document is offered to them
    "label-studio": "components.datasets.label_studio:LabelStudio",
    "yolo": "components.datasets.yolo_folder:YoloFolder",
    "coco": "components.datasets.coco:Coco",
    "csv": "components.datasets.tables.csv_labels:Csv",
}
# what Label Studio fetches by itself
_SERVED = ("http://", "https://", "s3://", "gs://", "azure-blob://")


class DatasetFormat(Protocol):
    """Format that labels are written in for people and read back from."""

    fetches: bool  # the tool fetches images by itself from where they are served
    is_folder: bool  # it is read from its path, and not from one JSON document

    @staticmethod
    def write(
        images: Sequence[QueuedImage], places: Mapping[str, str], folder: Path, about: LabelTask
    ) -> Path:
        """Write a queue with its pre-labels.

        Arguments:
            images: the queue.
            places: sha256 → path relative to `folder`, or URL, of each image that could be had.
            folder: where to write.
            about: the model's task and classes.

        Returns:
            The file, or the folder, to import.
        """

    @staticmethod
    def recognises(source: object, about: LabelTask) -> bool:
        """Tell whether a folder's path, or a JSON document, is of this format."""

    @staticmethod
    def read(source: Any, file: Path, about: LabelTask) -> tuple[Found, ...]:
        """Read a folder or a JSON document.

        Arguments:
            source: the folder's path, or the parsed JSON.
            file: where it was found, to find the images and for messages.
            about: the model's task and classes.
        """


def format_of(name: str) -> DatasetFormat:
    """Return the format of a name in `DATASET_FORMATS`."""
    found: DatasetFormat = plugin(DATASET_FORMATS, name, "a format of labels")()
    return found


@dataclass(frozen=True)
class Exported:
    """An export: its folder, its images' sha256, and one line for each unavailable image."""

    folder: Path
    images: tuple[str, ...]
    gone: tuple[str, ...]


def export_labels(
    images: Sequence[QueuedImage], output: Path, form: LabelFormat, about: LabelTask
) -> Exported:
    """Write a queue with its pre-labels.

    Images are copied to ``images/``, except those that Label Studio fetches itself.

    Arguments:
        images: the queue.
        output: a new or empty folder.
        form: of which tool.
        about: the model's task and classes.

    Raises:
        ConfigError: the folder holds something, or a class name cannot be a folder where it has to
            be one.
        DatasetError: none of the images is there any more.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(
            "a new or empty folder", found=f"{output}, which holds something", hint="name another"
        )
    with replacing(output) as aside:
        (aside / "images").mkdir(parents=True)
        places, gone = {}, []
        for image in images:
            try:
                places[image.sha256] = _place(image, aside, form)
            except FovealError as error:
                gone.append(f"{image.image_id}: {error.found}")
        if not places:
            raise DatasetError(
                "images of the queue",
                found=f"none of {len(images)}: {gone[0] if gone else 'no queue'}",
            )
        format_of(form).write(
            [_in_classes_of(image, about) for image in images], places, aside, about
        )
    return Exported(output, tuple(places), tuple(gone))


def _in_classes_of(image: QueuedImage, about: LabelTask) -> QueuedImage:
    """Leave out classes that the model has no more, and what is no label of its task."""
    return replace(image, prelabels=tuple(filter(about.takes, image.prelabels)))


def _place(image: QueuedImage, folder: Path, form: LabelFormat) -> str:
    if format_of(form).fetches and image.uri.startswith(_SERVED):
        return image.uri
    content = content_of(image.uri, image.sha256)
    (folder / "images" / image.name).write_bytes(content)
    return f"images/{image.name}"


def content_of(uri: str, sha256: str) -> bytes:
    """The bytes of an image, if they are still what they were.

    Raises:
        ImageError: it cannot be read.
        DatasetError: it is another image now.
    """
    content = read_bytes(uri)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DatasetError("the image as it was predicted", found=f"{uri} with another content")
    return content


def read_labels(path: Path, about: LabelTask, form: LabelFormat | None = None) -> tuple[Found, ...]:
    """Read labels, in whatever of the formats they are.

    Arguments:
        path: a file, or a folder as a tool exports it; COCO's files of several splits are read
            together.
        about: the model's task and classes.
        form: of which tool; None finds out.

    Raises:
        DatasetError: it is none of these formats, or damaged.
    """
    if not path.exists():
        raise DatasetError(
            "a file or a folder of labels", found=f"nothing at {path}", hint="check the path"
        )
    folders = [one for one in _offered(form) if one.is_folder]
    for one in folders:
        if one.recognises(path, about):
            return one.read(path, path, about)
    if form and folders:
        return _read_folder(path, about)
    documents = path.is_dir() or path.suffix.lower() == ".json"
    files = ([path] if path.is_file() else _documents(path)) if documents else []
    if not files:
        return _read_folder(path, about)
    return tuple(found for file in files for found in _read_document(file, about, form))


def _read_folder(path: Path, about: LabelTask) -> tuple[Found, ...]:
    if not about.has_boxes:
        return read_classes(path)
    raise DatasetError(
        "labels as YOLO (data.yaml, classes.txt or obj.data), COCO, CSV or Label Studio export "
        "them",
        found=f"none of these in {path}",
        hint="name the folder that holds that file",
    )


def _documents(folder: Path) -> list[Path]:
    """Find the JSON files of a folder, or those one folder down.

    Roboflow, CVAT and Label Studio put them one folder down.

    Raises:
        DatasetError: it is not clear which is meant.
    """
    if described := sorted(folder.glob("*.json")):
        if len(described) > 1:
            raise DatasetError(
                "one file of labels",
                found=", ".join(file.name for file in described),
                hint="name the file",
            )
        return described
    patterns = ("annotations/*.json", "*/_annotations.coco.json")
    return next((found for pattern in patterns if (found := sorted(folder.glob(pattern)))), [])


def _read_document(file: Path, about: LabelTask, form: LabelFormat | None) -> tuple[Found, ...]:
    document = read_json(file, "labels as JSON")
    offered = [one for one in _offered(form) if not one.is_folder]
    taken = next((one for one in offered if form or one.recognises(document, about)), offered[-1])
    return taken.read(document, file, about)


def _offered(form: LabelFormat | None) -> list[DatasetFormat]:
    """Return the format that was named, else all."""
    return [format_of(name) for name in ([form] if form else DATASET_FORMATS)]
