"""Label Studio: tasks with pre-labels to import there, and the JSON that it exports.

Formats: https://labelstud.io/guide/predictions and https://labelstud.io/guide/task_format. Boxes
are in per cent of the upright image; annotations are kept apart from predictions, so what a person
has not looked at is never a label.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import quoteattr

import numpy as np

from components.datasets.labels import Box, Found, Label, LabelTask, QueuedImage
from components.documents import shorten
from components.errors import DatasetError
from components.files import write_json, write_text

TASKS, CONFIG = "tasks.json", "labels.xml"
_HASH = "foveal_sha256"  # a field of a task's data, which Label Studio hands through
_LOCAL = "/data/local-files/?d="
_UNNAMED = "rectangle"  # which a rectangle has beside its label, or alone where nobody chose one
_REMARKS = ("textarea", "rating", "relation")
_HINT = "in Label Studio choose Export, then JSON"


def write_tasks(
    images: Sequence[QueuedImage], places: Mapping[str, str], folder: Path, about: LabelTask
) -> Path:
    """Write tasks to import and the labelling configuration beside them; see `DatasetFormat.write`.

    `folder` is to be Label Studio's document root, where an image is not at a URL.
    """
    write_text(folder / CONFIG, _config(about))
    tasks = [
        _task(image, places[image.sha256], about) for image in images if image.sha256 in places
    ]
    return write_json(folder / TASKS, tasks)


def _task(image: QueuedImage, place: str, about: LabelTask) -> dict[str, object]:
    url = place if "://" in place else _LOCAL + quote(place)
    data = {
        "image": url,
        _HASH: image.sha256,
        "image_id": image.image_id,
        "score": round(image.score, 4),
    }
    confidences = [label.confidence for label in image.prelabels if label.confidence is not None]
    prediction = {
        "model_version": image.model,
        "score": float(np.mean(confidences)) if confidences else 0.0,
        "result": [_region(k, label, image, about) for k, label in enumerate(image.prelabels)],
    }
    return {"data": data, "predictions": [prediction]}


def _region(number: int, label: Label, image: QueuedImage, about: LabelTask) -> dict[str, object]:
    common = {
        "id": f"prelabel-{number}",
        "from_name": "label",
        "to_name": "image",
        "score": label.confidence,
    }
    if not about.has_boxes or label.box is None:
        return {**common, "type": "choices", "value": {"choices": [label.class_name]}}
    left, top, right, bottom = (100 * side for side in label.box)
    value = {"x": left, "y": top, "width": right - left, "height": bottom - top, "rotation": 0}
    return {
        **common,
        "type": "rectanglelabels",
        "original_width": image.width,
        "original_height": image.height,
        "image_rotation": 0,
        "value": {**value, "rectanglelabels": [label.class_name]},
    }


def _config(about: LabelTask) -> str:
    kind, extra, one = ("RectangleLabels", "", "Label")
    if not about.has_boxes:
        kind, extra, one = "Choices", ' choice="single" showInLine="true"', "Choice"
    names = "".join(f"    <{one} value={quoteattr(name)}/>\n" for name in about.class_names)
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <{kind} name="label" toName="image"{extra}>\n{names}  </{kind}>\n</View>\n'
    )


def read_tasks(document: Any, file: Path) -> tuple[Found, ...]:
    """Read what Label Studio exported as JSON.

    Of several annotations of a task the latest that was not skipped counts.

    An annotation without regions that somebody submitted says that nothing is there. See
    `DatasetFormat.read`.

    Raises:
        DatasetError: it is another kind of file, or holds other labels than rectangles and choices.
    """
    try:
        return tuple(_found(task, file) for task in document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        detail = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise DatasetError(
            "the JSON export of Label Studio", found=f"{file}: {detail}", hint=_HINT
        ) from error


def _found(task: dict[str, Any], file: Path) -> Found:
    data = task["data"]
    image = str(data["image"])
    name = str(data.get("image_id") or unquote(image.partition("?d=")[2] or image))
    sha256 = str(data.get(_HASH) or "")
    valid = [one for one in task["annotations"] if not one.get("was_cancelled")]
    if not valid:
        return Found(name, None, sha256=sha256)
    last = max(valid, key=lambda one: _time(one) or datetime.min.replace(tzinfo=UTC))
    said = Found(name, (), True, sha256, _time(last), _person(last.get("completed_by")))
    regions = [region for region in last["result"] if region["type"] not in _REMARKS]
    named = {region.get("id") for region in regions if region["type"] != _UNNAMED}
    try:
        size = _size(regions)
        if any(region["type"] == _UNNAMED and region.get("id") not in named for region in regions):
            raise ValueError("a rectangle without a class")
        labels = tuple(
            _label(region, f"{name} in {file}") for region in regions if region["type"] != _UNNAMED
        )
    except (ValueError, OverflowError, KeyError, TypeError) as error:
        return replace(said, problem=" ".join(str(error).split()) or type(error).__name__)
    return replace(said, labels=labels, size=size)


def _size(regions: Sequence[dict[str, Any]]) -> tuple[float, float] | None:
    """Size of the image that the regions were drawn on; None where they do not tell.

    Raises:
        ValueError: they were drawn on several, or on an image that was turned.
    """
    if turned := [
        angle for region in regions if float(angle := region.get("image_rotation") or 0) % 360
    ]:
        raise ValueError(
            f"an image that was turned by {turned[0]}° while it was labelled; turn it back there"
        )
    found = dict.fromkeys(
        (region.get("original_width"), region.get("original_height")) for region in regions
    )
    sizes = [
        (float(width), float(height))
        for width, height in found
        if width is not None and height is not None
    ]
    if len(sizes) > 1 or not all(0 < side < math.inf for size in sizes for side in size):
        raise ValueError(f"the image's width and height are given as {shorten(sizes)}")
    return sizes[0] if sizes else None


def _label(region: dict[str, Any], where: str) -> Label:
    value = region.get("value", {})
    match region["type"]:
        case "rectanglelabels" if len(value.get("rectanglelabels", ())) == 1:
            return Label(str(value["rectanglelabels"][0]), _box(region, value))
        case "choices" if len(value.get("choices", ())) == 1:
            return Label(str(value["choices"][0]))
        case kind:
            raise DatasetError(
                "rectangles or a single choice, each with one class",
                found=f"{kind} with {shorten(value)} of {where}",
                hint=f"label with the configuration {CONFIG} that was exported",
            )


def _box(region: dict[str, Any], value: dict[str, Any]) -> Box:
    """Take a rectangle to shares of the image; of a turned one the box around it.

    Label Studio turns clockwise about the left upper corner, and in pixels, not in per cent.
    """
    width, height = (
        float(region.get("original_width") or 1),
        float(region.get("original_height") or 1),
    )
    x, y, w, h = (float(value[name]) / 100 for name in ("x", "y", "width", "height"))
    angle = math.radians(float(value.get("rotation") or 0))
    if not angle or not (0 <= w < math.inf and 0 <= h < math.inf):
        # turning would hide what is wrong with it
        return x, y, x + w, y + h
    cos, sin = math.cos(angle), math.sin(angle)
    along = (w * cos, w * sin * width / height)
    across = (-h * sin * height / width, h * cos)
    xs = [x + part for part in (0, along[0], across[0], along[0] + across[0])]
    ys = [y + part for part in (0, along[1], across[1], along[1] + across[1])]
    return min(xs), min(ys), max(xs), max(ys)


def _time(annotation: dict[str, Any]) -> datetime | None:
    text = annotation.get("updated_at") or annotation.get("created_at")
    if not text:
        return None
    found = datetime.fromisoformat(str(text))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _person(completed_by: object) -> str:
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("email") or completed_by.get("id")
    return "" if completed_by is None else str(completed_by)


class LabelStudio:
    """Label Studio's JSON; see `DatasetFormat`."""

    fetches = True
    is_folder = False
    write = staticmethod(write_tasks)

    @staticmethod
    def recognises(source: object, about: LabelTask) -> bool:
        return isinstance(source, list)

    @staticmethod
    def read(source: Any, file: Path, about: LabelTask) -> tuple[Found, ...]:
        return read_tasks(source, file)
