"""COCO's JSON for object detection, https://cocodataset.org/#format-data; a whole image's class is a box around it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.contracts import TaskType
from components.errors import DatasetError
from components.files import write_json
from components.images.labels import Found, Label, LabelTask, QueuedImage

ANNOTATIONS = "annotations.json"
_WHOLE = (0.0, 0.0, 1.0, 1.0)


def write_coco(images: Sequence[QueuedImage], places: Mapping[str, str], folder: Path, about: LabelTask) -> Path:
    """Write the queue with its pre-labels as `annotations.json`.

    Arguments:
        images: the queue.
        places: sha256 → path of the image relative to `folder`.
        folder: where to write.
        about: the model's task and classes.

    Returns:
        The file.
    """
    there = [image for image in images if image.sha256 in places]
    ids = {name: k for k, name in enumerate(about.class_names, start=1)}
    labelled = [(k, image, label) for k, image in enumerate(there, start=1) for label in image.prelabels]
    document = {
        "info": {"description": f"pre-labels of {there[0].model}, to be checked" if there else ""},
        "images": [
            {"id": k, "file_name": places[image.sha256], "width": image.width, "height": image.height}
            for k, image in enumerate(there, start=1)
        ],
        "annotations": [
            {"id": number, "image_id": k, "category_id": ids[label.class_name], "iscrowd": 0, **_sides(image, label)}
            for number, (k, image, label) in enumerate(labelled, start=1)
        ],
        "categories": [{"id": k, "name": name} for name, k in ids.items()],
    }
    return write_json(folder / ANNOTATIONS, document)


def _sides(image: QueuedImage, label: Label) -> dict[str, Any]:
    left, top, right, bottom = label.box or _WHOLE
    width, height = (right - left) * image.width, (bottom - top) * image.height
    box = [left * image.width, top * image.height, width, height]
    return {"bbox": box, "area": width * height, "score": label.confidence}


def read_coco(file: Path, about: LabelTask) -> tuple[Found, ...]:
    """Read labels; crowds are passed over.

    Raises:
        DatasetError: it is another kind of file, or names an image or a category that it does not list.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8-sig"))
        names = {category["id"]: str(category["name"]) for category in document["categories"]}
        sizes = {image["id"]: (float(image["width"]), float(image["height"])) for image in document["images"]}
        labels: defaultdict[Any, list[Label]] = defaultdict(list)
        for annotation in document["annotations"]:
            if not annotation.get("iscrowd"):
                box = None if about.task is TaskType.CLASSIFY else annotation["bbox"]
                label = _label(names[annotation["category_id"]], box, *sizes[annotation["image_id"]])
                labels[annotation["image_id"]].append(label)
        return tuple(_found(image, tuple(labels[image["id"]]), file) for image in document["images"])
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        detail = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise DatasetError("COCO's JSON of images, annotations and categories", found=f"{file}: {detail}") from error


def _label(name: str, box: Sequence[float] | None, width: float, height: float) -> Label:
    if box is None:
        return Label(name)
    x, y, w, h = map(float, box)
    left, top, right, bottom = (
        min(max(side, 0.0), 1.0) for side in (x / width, y / height, (x + w) / width, (y + h) / height)
    )
    return Label(name, (left, top, right, bottom))


def _found(image: dict[str, Any], labels: tuple[Label, ...], file: Path) -> Found:
    name = str(image["file_name"])
    beside = [file.parent / name, file.parent / "images" / name]
    return Found(name, labels, file=next((path for path in beside if path.is_file()), None))
