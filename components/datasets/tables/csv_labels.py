"""Labels as CSV: ``image,class``, and for boxes ``x1,y1,x2,y2,width,height`` in pixels."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.datasets.labels import Box, Found, Label, LabelTask, QueuedImage
from components.errors import DatasetError
from components.files import replacing
from components.regular import read_regular

LABELS = "labels.csv"
_NAMES, _CORNERS, _SIDES = ("image", "class"), ("x1", "y1", "x2", "y2"), ("width", "height")
_MAX_BYTES = 2**28

Row = Mapping[str, str]


def write_csv(
    images: Sequence[QueuedImage], places: Mapping[str, str], folder: Path, about: LabelTask
) -> Path:
    """Write a queue with its pre-labels as `labels.csv`; see `DatasetFormat`."""
    columns = [*_NAMES, *((*_CORNERS, *_SIDES) if about.has_boxes else ())]
    with replacing(folder / LABELS) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for image in images:
            if place := places.get(image.sha256):
                cells = [_cells(image, label, about) for label in image.prelabels] or [[""]]
                width = len(columns) - 1
                writer.writerows([place, *row, *[""] * (width - len(row))] for row in cells)
    return folder / LABELS


def _cells(image: QueuedImage, label: Label, about: LabelTask) -> list[Any]:
    if not about.has_boxes:
        return [label.class_name]
    sides = image.width, image.height
    corners = [
        share * side for share, side in zip(label.box or (0, 0, 1, 1), sides * 2, strict=True)
    ]
    return [label.class_name, *corners, *sides]


def read_csv(source: Any, file: Path, about: LabelTask) -> tuple[Found, ...]:
    """Read labels: rows of one image belong together, in the order in which the images come.

    A row without a class says that the image is listed and has no label; as in COCO that is
    nobody's word.

    Arguments:
        source: path of the file.
        file: where it was found, for messages.
        about: the model's task and classes.

    Raises:
        DatasetError: it is no text, or lacks a column.
    """
    needed = (*_NAMES, *((*_CORNERS, *_SIDES) if about.has_boxes else ()))
    expected = f"CSV with the columns {', '.join(needed)}"
    try:
        place = Path(source) / LABELS if Path(source).is_dir() else Path(source)
        text = read_regular(place, _MAX_BYTES).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text), strict=True)
        header = [str(name).strip().lower() for name in reader.fieldnames or ()]
        if missing := [name for name in needed if name not in header]:
            found = f"{file} without {', '.join(missing)}"
            raise DatasetError(expected, found=found, hint="name the columns in the first row")
        reader.fieldnames = header
        rows = [(reader.line_num, row) for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise DatasetError(
            expected, found=f"{file}: {error}", hint="save it as UTF-8 CSV"
        ) from error
    file = place
    images: dict[str, list[tuple[int, Row]]] = {}
    for number, row in rows:
        images.setdefault(_cell(row, "image").replace("\\", "/"), []).append((number, row))
    return tuple(_found(name, lines, file, about) for name, lines in images.items())


def _found(name: str, lines: Sequence[tuple[int, Row]], file: Path, about: LabelTask) -> Found:
    copy = _copy_of(name, file)
    if not name:
        return Found("a row without an image", (), problem=f"line {lines[0][0]} names no image")
    labelled = [(number, row) for number, row in lines if _cell(row, "class")]
    if not about.has_boxes:
        whole = tuple(Label(_cell(row, "class")) for _, row in labelled)
        return Found(name, whole or None, file=copy)
    try:
        sizes = {_size(number, row) for number, row in labelled}
        if len(sizes) > 1:
            raise ValueError(f"line {labelled[0][0]} and later give the image different sizes")
        labels = tuple(Label(_cell(row, "class"), _box(number, row)) for number, row in labelled)
    except ValueError as error:
        return Found(name, (), file=copy, problem=str(error))
    return Found(name, labels, file=copy, size=next(iter(sizes), None))


def _box(number: int, row: Row) -> Box:
    """Take corners to shares of the image."""
    width, height = _size(number, row)
    left, top, right, bottom = _numbers(number, row, _CORNERS)
    return left / width, top / height, right / width, bottom / height


def _size(number: int, row: Row) -> tuple[float, float]:
    width, height = _numbers(number, row, _SIDES)
    if not (0 < width < float("inf") and 0 < height < float("inf")):
        raise ValueError(f"line {number} gives the image's size as {width:g} × {height:g}")
    return width, height


def _numbers(number: int, row: Row, names: Sequence[str]) -> Iterator[float]:
    for name in names:
        try:
            yield float(_cell(row, name))
        except ValueError as error:
            found = _cell(row, name)[:40]
            raise ValueError(f"line {number}: {name} is {found!r}, and not a number") from error


def _cell(row: Row, name: str) -> str:
    return (row.get(name) or "").strip()


def _copy_of(name: str, file: Path) -> Path | None:
    """Find an image beside its labels; a name leads nowhere outside."""
    if not name or name.startswith("/") or ".." in name.split("/"):
        return None
    beside = (file.parent / name, file.parent / "images" / name)
    return next((place for place in beside if place.is_file()), None)


class Csv:
    """One row an object; see `DatasetFormat`."""

    fetches = False
    is_folder = True  # it is read from its path, and is no JSON
    write = staticmethod(write_csv)
    read = staticmethod(read_csv)

    @staticmethod
    def recognises(source: object, about: LabelTask) -> bool:
        if not isinstance(source, Path):
            return False
        return source.suffix.lower() == ".csv" or (source / LABELS).is_file()
