"""Write images and their labels as a YOLO dataset or an image folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from components.errors import ConfigError


def link_or_copy(source: Path, target: Path) -> None:
    """Put a file at a second place where none is: by a hard link, or by a copy where the file system has none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)  # resolved: a link to a link would break with it
    except FileExistsError:  # a copy would write through the link that it may be, into somebody's image
        raise
    except OSError:
        shutil.copy2(source, target)


def yolo_text(rows: Iterable[tuple[int, Sequence[float]]]) -> str:
    """A YOLO label file, one line ``class cx cy width height`` an object.

    Arguments:
        rows: of each its class id, and left, top, right and bottom as shares of the image.
    """
    lines = (
        f"{k} {(left + right) / 2:.6f} {(top + bottom) / 2:.6f} {right - left:.6f} {bottom - top:.6f}\n"
        for k, (left, top, right, bottom) in rows
    )
    return "".join(lines)


def write_description(folder: Path, class_names: Sequence[str], splits: dict[str, str], **more: object) -> Path:
    """Write a `data.yaml` with these splits, paths relative to it; return it."""
    file = folder / "data.yaml"
    described = {"names": dict(enumerate(class_names)), **splits, **more}
    file.write_text(yaml.safe_dump(described, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return file


def class_folder(class_name: str) -> str:
    """A class's name as that of a folder.

    Raises:
        ConfigError: it cannot be one.
    """
    if not class_name or class_name.startswith(".") or set(class_name) & set('/\\:*?"<>|\0'):
        raise ConfigError(
            "class names that can be folders", found=repr(class_name), mend="choose the format label-studio or coco"
        )
    return class_name
