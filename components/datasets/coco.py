"""COCO's JSON for object detection, https://cocodataset.org/#format-data.

The class of a whole image is a box around it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.datasets.labels import Box, Found, Label, LabelTask, QueuedImage
from components.documents import shorten
from components.errors import DatasetError
from components.files import write_json

ANNOTATIONS = "annotations.json"
_WHOLE = (0.0, 0.0, 1.0, 1.0)


def write_coco(
    images: Sequence[QueuedImage], places: Mapping[str, str], folder: Path, about: LabelTask
) -> Path:
    """Write the queue with its pre-labels as `annotations.json`; see `DatasetFormat.write`."""
    there = [image for image in images if image.sha256 in places]
    ids = {name: k for k, name in enumerate(about.class_names, start=1)}
    labelled = [
        (k, image, label) for k, image in enumerate(there, start=1) for label in image.prelabels
    ]
    document = {
        "info": {"description": f"pre-labels of {there[0].model}, to be checked" if there else ""},
        "images": [
            {
                "id": k,
                "file_name": places[image.sha256],
                "width": image.width,
                "height": image.height,
            }
            for k, image in enumerate(there, start=1)
        ],
        "annotations": [
            {
                "id": number,
                "image_id": k,
                "category_id": ids[label.class_name],
                "iscrowd": 0,
                **_sides(image, label),
            }
            for number, (k, image, label) in enumerate(labelled, start=1)
        ],
        "categories": [{"id": k, "name": name} for name, k in ids.items()],
    }
    return write_json(folder / ANNOTATIONS, document)


def _sides(image: QueuedImage, label: Label) -> dict[str, object]:
    left, top, right, bottom = label.box or _WHOLE
    width, height = (right - left) * image.width, (bottom - top) * image.height
    box = [left * image.width, top * image.height, width, height]
    return {"bbox": box, "area": width * height, "score": label.confidence}


def read_coco(document: Any, file: Path, about: LabelTask) -> tuple[Found, ...]:
    """Read labels; crowds are passed over, and a box that CVAT turned becomes the box around it.

    The format does not say whether an image without annotations was looked at: such labels are
    empty and not `stated`. See `DatasetFormat.read`.

    Raises:
        DatasetError: it is another kind of file, gives an id twice, or names an image or a category
            that it does not list.
    """
    try:
        names = _by_id(document["categories"], "category")
        images = _by_id(document["images"], "image")
        boxes: defaultdict[Any, list[Any]] = defaultdict(list)
        for annotation in document["annotations"]:
            if annotation["image_id"] not in images or annotation["category_id"] not in names:
                raise ValueError(
                    f"annotation {shorten(annotation)} of an image or a category that is not listed"
                )
            if not annotation.get("iscrowd"):
                boxes[annotation["image_id"]].append(annotation)
        return tuple(_found(image, boxes[key], names, file, about) for key, image in images.items())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        detail = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise DatasetError(
            "COCO's JSON of images, annotations and categories", found=f"{file}: {detail}"
        ) from error


def _by_id(entries: Any, what: str) -> dict[Any, Any]:
    found = {entry["id"]: entry for entry in entries}
    if len(found) < len(entries):
        raise ValueError(f"an id for each {what} is expected, {len(entries) - len(found)} repeated")
    return found


def _found(
    image: Any, annotations: Sequence[Any], names: Mapping[Any, Any], file: Path, about: LabelTask
) -> Found:
    name = str(image["file_name"]).replace("\\", "/")
    copy = _copy_of(name, file)
    if not about.has_boxes:
        labels = tuple(Label(str(names[one["category_id"]]["name"])) for one in annotations)
        return Found(name, labels, file=copy)
    try:
        size = _size(image)
        labels = tuple(
            Label(str(names[one["category_id"]]["name"]), _box(one, size)) for one in annotations
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        return Found(name, (), file=copy, problem=str(error) or type(error).__name__)
    return Found(name, labels, file=copy, size=size)


def _size(image: Any) -> tuple[float, float]:
    try:
        size = float(image["width"]), float(image["height"])
    except (ValueError, KeyError, TypeError, OverflowError):
        size = 0.0, 0.0
    if not all(0 < side < math.inf for side in size):
        stated = shorten(image.get("width")), shorten(image.get("height"))
        raise ValueError(f"the image's width and height are given as {stated[0]} and {stated[1]}")
    return size


def _box(annotation: Any, size: tuple[float, float]) -> Box:
    """Take a box to shares of the image."""
    try:
        x, y, w, h = map(float, annotation["bbox"])
        attributes = annotation.get("attributes")
        angle = float(attributes.get("rotation") or 0) if isinstance(attributes, dict) else 0.0
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(
            f"the box {shorten(annotation.get('bbox'))} is not x, y, width and height"
        ) from error
    if math.isfinite(angle) and angle % 360 and w >= 0 and h >= 0:
        # turning would hide a negative size
        x, y, w, h = _around(x, y, w, h, math.radians(angle))
    return x / size[0], y / size[1], (x + w) / size[0], (y + h) / size[1]


def _around(
    x: float, y: float, w: float, h: float, angle: float
) -> tuple[float, float, float, float]:
    """Give the box around one that is turned about its centre, as CVAT does."""
    cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
    width, height = w * cos + h * sin, w * sin + h * cos
    return x + (w - width) / 2, y + (h - height) / 2, width, height


def _copy_of(name: str, file: Path) -> Path | None:
    """Find an image beside its labels, wherever a known export puts it.

    The exports are those of COCO, Roboflow and Label Studio, CVAT, and FiftyOne.
    """
    if name.startswith("/") or ".." in name.split("/"):
        return None
    folder, split = file.parent, file.stem.removeprefix("instances_")
    pictures = folder.parent / "images"
    beside = (folder, folder / "images", folder / "data", pictures, pictures / split)
    return next((place / name for place in beside if (place / name).is_file()), None)


class Coco:
    """COCO's JSON; see `DatasetFormat`."""

    fetches = False
    is_folder = False
    write = staticmethod(write_coco)
    read = staticmethod(read_coco)

    @staticmethod
    def recognises(source: object, about: LabelTask) -> bool:
        return isinstance(source, dict)
