"""Which label belongs to which stored prediction, when their image ids were written by different hands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from components.errors import DatasetError
from components.images.sources import IMAGE_SUFFIXES

Key = tuple[str, ...]  # the parts of an id, without the suffix of an image


def match_ids(labels: Iterable[str], images: Sequence[str]) -> dict[str, int]:
    """The image of each label, as its position in `images`; labels without one are left out.

    An id that is equal wins. Else two ids mean the same image when, without the suffix of an image file, one is
    the end of the other's path: ``"val/cat/7.jpg"``, ``"cat/7"`` and ``"7"``.

    Arguments:
        labels: ids as the labels give them.
        images: ids as inference stored them.

    Raises:
        DatasetError: a label fits several images, or several labels fit one image.
    """
    by_id, by_name = _index(images)
    found: dict[str, int] = {}
    claimed: dict[int, str] = {}
    for label in labels:
        candidates = by_id.get(label) or _alike(_key(label), by_name)
        if len(candidates) > 1:
            shown = ", ".join(images[position] for position in candidates[:3])
            raise _ambiguous(f"the label {label} for {len(candidates)} images: {shown}")
        for position in candidates:
            if position in claimed:
                raise _ambiguous(f"the labels {claimed[position]} and {label} for the image {images[position]}")
            claimed[position], found[label] = label, position
    return found


def _index(images: Sequence[str]) -> tuple[Mapping[str, list[int]], Mapping[str, list[tuple[Key, int]]]]:
    """Positions by whole id, and keys with their positions by the last part of the key."""
    by_id: defaultdict[str, list[int]] = defaultdict(list)
    by_name: defaultdict[str, list[tuple[Key, int]]] = defaultdict(list)
    for position, image in enumerate(images):
        key = _key(image)
        by_id[image].append(position)
        by_name[key[-1]].append((key, position))
    return by_id, by_name


def _alike(key: Key, by_name: Mapping[str, list[tuple[Key, int]]]) -> list[int]:
    alike = []
    for other, position in by_name.get(key[-1], ()):
        common = min(len(key), len(other))
        if key[-common:] == other[-common:]:
            alike.append(position)
    return alike


def _key(image_id: str) -> Key:
    path = PurePosixPath(image_id.replace("\\", "/"))
    if path.suffix.lower() in IMAGE_SUFFIXES:
        path = path.with_suffix("")
    return tuple(part for part in path.parts if part not in ("/", "..")) or ("",)


def _ambiguous(found: str) -> DatasetError:
    return DatasetError(
        "one label for one image", found=found, mend="write the labels' ids with as many folders as inference stored"
    )
