"""Find the splits, images and label files of a YOLO dataset, as the tools of the field write it.

- Ultralytics, Roboflow, FiftyOne and CVAT ("Ultralytics YOLO"): a `data.yaml` or `dataset.yaml`
  with names and splits, https://docs.ultralytics.com/datasets/detect/.
- Label Studio ("YOLO") and labelImg: a `classes.txt`, with `labels/` beside `images/` or all in one
  folder.
- CVAT ("YOLO 1.1") and Darknet: `obj.data`, `obj.names` and lists of images.

Nothing is ever fetched: `download` is passed over.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.datasets.checks import box_problem
from components.documents import read_yaml, shorten
from components.errors import DatasetError
from components.images.sources import list_images, local_file
from components.regular import read_regular_text

Row = tuple[float, ...]  # class id, left, top, right, bottom as shares of the image

_DESCRIPTIONS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_CLASSES = ("classes.txt", "obj.names")
_DARKNET = "obj.data"
_VALIDATION = ("val", "validation", "valid")  # three names in use for one split
_SPLITS = ("train", *_VALIDATION, "test")
_SETTINGS = ("path", "names", "nc", "kpt_shape", "kpt_names", "flip_idx", "channels", "download")
_PREFIX = "data/"  # which CVAT and Darknet write before paths that start at the list's folder


@dataclass(frozen=True)
class Description:
    """Description of a dataset.

    Arguments:
        file: what it was read from.
        root: the folder that relative places start at.
        names: of the classes; index is class id.
        row_lengths: numbers of fields of a row that starts with a box.
        splits: name → folders of images, or lists of them.
        keys: all that the file has.
        empty_is_word: an empty label file is a person's word that nothing is there. Not in the
            forms that CVAT exports, which writes one for every image that nobody annotated, too.
    """

    file: Path
    root: Path
    names: tuple[str, ...]
    row_lengths: frozenset[int]
    splits: Mapping[str, tuple[str, ...]]
    keys: tuple[str, ...] = ()
    empty_is_word: bool = True

    def candidates(self, place: str) -> list[Path]:
        """List where a folder of images or a `.txt` list of them may lie, the likeliest first."""
        # Roboflow's exports are one folder off; Ultralytics bears with it too.
        texts = [place, place[3:]] if place.startswith("../") else [place]
        texts += [place.removeprefix(_PREFIX)] if place.startswith(_PREFIX) else []
        roots = dict.fromkeys((self.root, Path(os.path.abspath(self.file.parent))))
        return list(
            dict.fromkeys(Path(os.path.abspath(root / text)) for root in roots for text in texts)
        )

    def exists(self, split: str) -> bool:
        """Tell whether all places of a split are there."""
        return all(any(map(Path.exists, self.candidates(place))) for place in self.splits[split])

    @property
    def there(self) -> tuple[str, ...]:
        """The splits that are there."""
        return tuple(split for split in self.splits if self.exists(split))

    @property
    def absent(self) -> tuple[str, ...]:
        """The usual splits that are named and are not there, as Roboflow's `test`."""
        return tuple(split for split in self.splits if split in _SPLITS and not self.exists(split))

    def like(self, key: str) -> str:
        """Ask whether a key that is near to a missing one was meant; nothing where none is."""
        others = [other for other in self.keys if other not in (*_SETTINGS, *_SPLITS)]
        close = difflib.get_close_matches(key, others, n=1) if key not in self.keys else []
        return f"; is {close[0]} meant for {key}?" if close else ""


def find_description(path: Path) -> Description | None:
    """Read the description that a path is, or that a folder holds; None where there is none.

    Raises:
        DatasetError: it is damaged, or its class names have gaps.
    """
    if file := description_file(path):
        return read_description(file)
    if path.is_dir():
        if (path / _DARKNET).is_file():
            return _read_darknet(path / _DARKNET)
        classes = next((path / name for name in _CLASSES if (path / name).is_file()), None)
        if classes and (place := _unsplit(path)):
            return Description(
                classes, path, _read_names(classes), frozenset({5}), {place: (place,)}
            )
    return None


def description_file(path: Path) -> Path | None:
    """Name the `data.yaml` that a path is, or that the folder holds; None where there is none."""
    if path.is_dir():
        return next((path / name for name in _DESCRIPTIONS if (path / name).is_file()), None)
    return path if path.is_file() and path.suffix.lower() in {".yaml", ".yml"} else None


def _unsplit(folder: Path) -> str:
    """Name the folder of all images where an export has no splits; nothing without labels."""
    if (folder / "labels").is_dir():
        return "images"
    labels = {path.stem for path in folder.glob("*.txt") if path.name not in _CLASSES}
    images = {
        path.stem for path in folder.iterdir() if path.is_file() and path.suffix.lower() != ".txt"
    }
    return "." if labels & images else ""


def read_description(file: Path) -> Description:
    """Read a YOLO `data.yaml`; what is no class name, no split and no keypoint is passed over.

    Raises:
        DatasetError: it is no such file, or its class names have gaps.
    """
    content = read_yaml(file, "a readable YAML file")
    if not isinstance(content, dict):
        raise DatasetError(
            "a YOLO data.yaml with names and splits", found=f"{file}, which is no mapping"
        )
    place = content.get("path")
    root = Path(
        os.path.abspath(
            file.parent / (place if isinstance(place, str) and "\0" not in place else "")
        )
    )
    row_lengths = {5}
    match content.get("kpt_shape"):
        case [int(points), int(dimensions)]:
            row_lengths.add(5 + points * dimensions)
    splits = {
        str(key): tuple([value] if isinstance(value, str) else value)
        for key, value in content.items()
        if key not in _SETTINGS and _is_place(value)
    }
    described = Description(
        file, root, (), frozenset(row_lengths), splits, tuple(map(str, content))
    )
    names = _class_names(content.get("names"), content.get("nc"), described)
    listed = any(place.endswith(".txt") for places in splits.values() for place in places)
    return replace(described, names=names, empty_is_word=not listed)


def _is_place(value: object) -> bool:
    places = value if isinstance(value, list) else [value]
    return bool(places) and all(
        isinstance(place, str) and place and "\0" not in place for place in places
    )


def _class_names(names: Any, count: Any, described: Description) -> tuple[str, ...]:
    """Take a list of names, or a mapping from class id that leaves none out.

    Without either, `nc` names are made up.
    """
    file = described.file
    if names is None and isinstance(count, int) and 0 < count <= 100_000:
        return tuple(f"class_{number}" for number in range(count))
    if isinstance(names, list):
        names = dict(enumerate(names))
    try:
        by_id = {
            int(key): str(name) for key, name in names.items() if not isinstance(name, list | dict)
        }
        whole = len(by_id) == len(names)
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise DatasetError(
            "names as a list or as a mapping by class id",
            found=f"{shorten(names)} in {file}{described.like('names')}",
        ) from error
    if not by_id or not whole or sorted(by_id) != list(range(len(by_id))):
        raise DatasetError(
            "a name for each class id from 0 on",
            found=f"names for the ids {shorten(sorted(by_id))} in {file}",
        )
    if isinstance(count, int) and count != len(by_id):
        raise DatasetError(
            f"{count} names, as nc says",
            found=f"{len(by_id)} in {file}",
            hint="correct nc or names",
        )
    return tuple(by_id[key] for key in range(len(by_id)))


def _read_darknet(file: Path) -> Description:
    """Read an `obj.data`: lines of `key = value`, with the classes in a file of their own."""
    values = {}
    for line in _lines(file):
        key, separator, value = line.partition("=")
        if separator:
            values[key.strip()] = value.strip()
    described = Description(file, file.parent, (), frozenset({5}), {})
    listed = [
        path for path in described.candidates(values.get("names", "obj.names")) if path.is_file()
    ]
    if not listed:
        raise DatasetError(
            "a file of class names", found=f"none named in {file}", hint="add names = obj.names"
        )
    splits = {split: (values[split],) for split in _SPLITS if values.get(split)}
    return replace(
        described,
        names=_read_names(listed[0]),
        splits=splits,
        keys=tuple(values),
        empty_is_word=False,
    )


def _read_names(file: Path) -> tuple[str, ...]:
    names = tuple(line.strip() for line in _lines(file) if line.strip())
    if not names:
        raise DatasetError("one class name a line", found=f"none in {file}")
    return names


def _lines(file: Path) -> list[str]:
    try:
        return read_regular_text(file, "utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError("a text file", found=f"{file}: {error}") from error


def split_places(description: Description, split: str) -> list[Path]:
    """Find the folders of images, or `.txt` lists of them, that make up a split.

    Raises:
        DatasetError: there is no such split, or nothing where it should be.
    """
    name = synonym(split, description.splits)
    if name is None:
        raise no_split(split, description.file, description.there, description.like(split))
    candidates = [description.candidates(place) for place in description.splits[name]]
    for places in candidates:
        if not any(map(Path.exists, places)):
            fetched = (
                "; download is passed over, fetch it yourself"
                if "download" in description.keys
                else ""
            )
            raise DatasetError(
                "a folder of images or a .txt list of them",
                found=f"nothing at {places[0]}",
                hint=f"correct {name} or path in {description.file}: relative paths start at its "
                "folder"
                f"{description.like('path')}{fetched}",
            )
    return [next(filter(Path.exists, places)) for places in candidates]


def synonym(split: str, splits: Iterable[str]) -> str | None:
    """Name the split as a dataset has it; val, validation and valid mean the same."""
    names = (split, *_VALIDATION) if split in _VALIDATION else (split,)
    return next((name for name in names if name in splits), None)


def no_split(split: str, where: Path, known: Iterable[str], hint: str = "") -> DatasetError:
    """Say that there is no such split, and which there are."""
    found = ", ".join(known) or "no splits"
    return DatasetError(
        f"the split {split} in {where}", found=found, hint=f"name one of these, or add it{hint}"
    )


def split_images(place: Path, description: Description) -> list[Path]:
    """List the images of a folder or of a `.txt` list; those of a list may be missing.

    Raises:
        DatasetError: there are none.
    """
    if place.is_dir():
        return [local_file(image) for image in list_images(place)]
    found = []
    for image in list_images(place):
        listed = [local_file(image), *description.candidates(image.image_id)]
        there = (path for path in listed if path.is_file() or label_file(path).is_file())
        found.append(next(there, listed[0]))
    return found


def label_file(image: Path) -> Path:
    """Name an image's label file: under `labels` where it is under `images`, or else beside it."""
    parts = list(image.parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")


def is_labelled(image: Path, description: Description) -> bool:
    """Tell whether somebody has said what an image shows."""
    label = label_file(image)
    return label.is_file() and (description.empty_is_word or label.stat().st_size > 0)


def read_rows(label: Path, description: Description) -> tuple[Row, ...]:
    """Read a label file's rows as (class id, left, top, right, bottom) in shares of the image.

    There are none without the file.

    Raises:
        DatasetError: the file is damaged, or a row is wrong.
    """
    if not label.is_file():
        return ()
    return tuple(
        _parse_row(line.split(), f"line {number} of {label}", description)
        for number, line in enumerate(_lines(label), 1)
        if line.strip()
    )


def _parse_row(fields: list[str], where: str, description: Description) -> Row:
    try:
        class_id, *values = map(float, fields)
    except ValueError as error:
        raise DatasetError(
            "numbers in a label file", found=f"{' '.join(fields)[:60]!r} in {where}"
        ) from error
    is_box = len(fields) in description.row_lengths
    if not is_box and (len(fields) < 7 or len(fields) % 2 == 0):
        raise DatasetError(
            "class cx cy width height, or a class and the points of a polygon",
            found=f"{len(fields)} fields in {where}",
        )
    if class_id not in range(len(description.names)):
        raise DatasetError(
            f"a class id from 0 to {len(description.names) - 1}, as named in {description.file}",
            found=f"{fields[0][:20]} in {where}",
        )
    used = values[:4] if is_box else values
    if is_box:
        x, y, width, height = used
        box = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    else:
        xs, ys = used[::2], used[1::2]
        box = min(xs), min(ys), max(xs), max(ys)
    finite = all(map(math.isfinite, used))  # the bounds of a polygon may hide one that is not
    if problem := box_problem(box) if finite else "a number that is not finite":
        raise DatasetError(
            "coordinates from 0 to 1",
            found=f"{problem}, {' '.join(fields)[:60]!r}, in {where}",
            hint="divide x and width by the image's width, y and height by its height",
        )
    return (class_id, *box)
