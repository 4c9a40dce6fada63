"""Matching of labels to stored predictions whose image ids are written in another way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from components.errors import DatasetError
from components.images.sources import IMAGE_SUFFIXES

Key = tuple[str, ...]  # the parts of an id, without the suffix of an image


@dataclass(frozen=True)
class Matches:
    """Matches of labels to images.

    Arguments:
        places: label → the position of its image.
        ambiguous: label → what it fits too well, in words: nobody knows which image is its own.
    """

    places: Mapping[str, int]
    ambiguous: Mapping[str, str]


def match_ids(labels: Iterable[str], images: Sequence[str]) -> dict[str, int]:
    """The image of each label, as `find_matches` says, where each must be clear.

    Arguments:
        labels: ids as the labels give them.
        images: ids as inference stored them.

    Raises:
        DatasetError: a label fits several images, or several labels fit one image.
    """
    found = find_matches(labels, images)
    for problem in found.ambiguous.values():
        raise DatasetError(
            "one label for one image",
            found=problem,
            hint="write the labels' ids with as many folders as inference stored",
        )
    return dict(found.places)


def find_matches(
    labels: Iterable[str], images: Sequence[str], usable: Sequence[bool] | None = None
) -> Matches:
    """The image of each label, as its position in `images`; labels without one are left out.

    An id that is equal wins. Else two ids mean the same image when, without the suffix of an image
    file, one is the end of the other's path: ``"val/cat/7.jpg"``, ``"cat/7"`` and ``"7"``.

    Arguments:
        labels: ids as the labels give them.
        images: ids as inference stored them.
        usable: of each image, whether it has a prediction. Of several images that a label fits
            those that have none are earlier attempts at the one that has; of several that all have
            none the last counts.
    """
    by_id, by_name = _index(images)
    stated: defaultdict[int, list[str]] = defaultdict(list)
    ambiguous: dict[str, str] = {}
    for label in labels:
        candidates = by_id.get(label) or _alike(_key(label), by_name)
        if usable is not None and len(candidates) > 1:
            candidates = [position for position in candidates if usable[position]] or candidates[
                -1:
            ]
        if len(candidates) > 1:
            shown = ", ".join(images[position] for position in candidates[:3])
            ambiguous[label] = f"the label {label} for {len(candidates)} images: {shown}"
        for position in candidates[: len(candidates) == 1]:
            stated[position].append(label)
    for position, claimants in stated.items():
        if len(claimants) > 1:
            problem = f"the labels {' and '.join(claimants[:3])} for the image {images[position]}"
            ambiguous |= dict.fromkeys(claimants, problem)
    places = {
        claimants[0]: position for position, claimants in stated.items() if len(claimants) == 1
    }
    return Matches(places, ambiguous)


def _index(
    images: Sequence[str],
) -> tuple[Mapping[str, list[int]], Mapping[str, list[tuple[Key, int]]]]:
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
