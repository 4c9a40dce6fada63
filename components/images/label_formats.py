"""Hand a queue to people in the format of their tool, and read back what they said."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from components.contracts import TaskType
from components.errors import ConfigError, DatasetError, FovealError
from components.files import replacing
from components.images.coco import read_coco, write_coco
from components.images.datasets import description_file
from components.images.label_studio import read_tasks, write_tasks
from components.images.labels import Found, LabelTask, QueuedImage
from components.images.sources import read_bytes
from components.images.yolo_folder import read_classes, read_yolo, write_yolo


class LabelFormat(StrEnum):
    """Formats that labels are exported in and read back from."""

    LABEL_STUDIO = "label-studio"
    YOLO = "yolo"
    COCO = "coco"


_WRITERS = {LabelFormat.LABEL_STUDIO: write_tasks, LabelFormat.YOLO: write_yolo, LabelFormat.COCO: write_coco}
_SERVED = ("http://", "https://", "s3://", "gs://", "azure-blob://")  # what Label Studio fetches by itself


@dataclass(frozen=True)
class Exported:
    """An export: its folder, the sha256 of the images in it, and one line for each image that could not be had."""

    folder: Path
    images: tuple[str, ...]
    gone: tuple[str, ...]


def export_labels(images: Sequence[QueuedImage], output: Path, form: LabelFormat, about: LabelTask) -> Exported:
    """Write a queue with its pre-labels; images are copied to ``images/``, but those that Label Studio fetches itself.

    Arguments:
        images: the queue.
        output: a new or empty folder.
        form: of which tool.
        about: the model's task and classes.

    Raises:
        ConfigError: the folder holds something, or a class name cannot be a folder where it has to be one.
        DatasetError: none of the images is there any more.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError("a new or empty folder", found=f"{output}, which holds something", mend="name another")
    with replacing(output) as aside:
        (aside / "images").mkdir(parents=True)
        places, gone = {}, []
        for image in images:
            try:
                places[image.sha256] = _place(image, aside, form)
            except FovealError as error:
                gone.append(f"{image.image_id}: {error.found}")
        if not places:
            raise DatasetError("images of the queue", found=f"none of {len(images)}: {gone[0] if gone else 'no queue'}")
        _WRITERS[form](images, places, aside, about)
    return Exported(output, tuple(places), tuple(gone))


def _place(image: QueuedImage, folder: Path, form: LabelFormat) -> str:
    if form is LabelFormat.LABEL_STUDIO and image.uri.startswith(_SERVED):
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
        path: a file or a folder.
        about: the model's task and classes.
        form: of which tool; None finds out.

    Raises:
        DatasetError: it is none of these formats, or damaged.
    """
    file = _file_of(path)
    form = form or _format_of(file)
    match form:
        case LabelFormat.LABEL_STUDIO:
            return read_tasks(file)
        case LabelFormat.COCO:
            return read_coco(file, about)
        case _ if about.task is TaskType.CLASSIFY:
            return read_classes(file)
    return read_yolo(file)


def _file_of(path: Path) -> Path:
    """The file that describes a folder; the folder itself where none does."""
    if not path.exists():
        raise DatasetError("a file or a folder of labels", found=f"nothing at {path}", mend="check the path")
    if path.is_file():
        return path
    if description := description_file(path):
        return description
    described = sorted(path.glob("*.json"))
    if len(described) > 1:
        raise DatasetError("one file of labels", found=", ".join(file.name for file in described), mend="name the file")
    return described[0] if described else path


def _format_of(file: Path) -> LabelFormat:
    if file.suffix.lower() != ".json":
        return LabelFormat.YOLO
    try:
        document = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DatasetError("labels as JSON", found=f"{file}: {' '.join(str(error).split())}") from error
    return LabelFormat.LABEL_STUDIO if isinstance(document, list) else LabelFormat.COCO
