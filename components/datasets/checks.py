"""Check labels where they arrive, by the same rules in every format, and those kept before.

A box must be of finite numbers, not be of negative size, and have its centre inside the image and a
size of at most the image's, all but for one per cent; Ultralytics takes the same. What lies beyond
the edge is cut off. A box without an area is left out, and a label that comes twice counts once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Generic, TypeVar

from components.datasets.labels import Box, Label, LabelTask
from components.images.reading import Geometry

K = TypeVar("K", bound=Hashable)

_TOLERANCE = 0.01  # of the image's side
_ROUNDING = 1e-5  # of the image's side; what six decimals in a label file leave is not worth a word
_MIN_SIDE = 1e-6  # of the image's side; a smaller one is zero in a label file of six decimals
_SHOWN = 3


def box_problem(box: Box) -> str:
    """Say why a box cannot be a label; nothing where it can.

    Arguments:
        box: left, top, right, bottom as shares of the upright image.
    """
    left, top, right, bottom = box
    if not all(map(math.isfinite, box)):
        return "a box that is not of finite numbers"
    if right - left < 0 or bottom - top < 0:
        return "a box of negative size"
    centre, size = ((left + right) / 2, (top + bottom) / 2), (right - left, bottom - top)
    most = 1 + _TOLERANCE + 1e-9
    if any(not 1 - most <= value <= most for value in centre) or max(size) > most:
        return "a box outside the image"
    return ""


@dataclass(frozen=True)
class Tidied(Generic[K]):
    """Boxes of one image as they are taken.

    Arguments:
        boxes: those that remain, each with its class, cut off at the image's edge.
        cut: how many were cut off, by more than rounding.
        empty: how many had no area, and were left out.
        repeated: how many came before in the same image, and were left out.
    """

    boxes: tuple[tuple[K, Box], ...] = ()
    cut: int = 0
    empty: int = 0
    repeated: int = 0


def tidy_boxes(boxes: Iterable[tuple[K, Box]]) -> Tidied[K]:
    """Cut sound boxes off at the image's edge, and leave out what is nothing or comes twice.

    Arguments:
        boxes: each with its class, as shares of the upright image.
    """
    kept: dict[tuple[K, Box], tuple[K, Box]] = {}
    cut = empty = repeated = 0
    for name, box in boxes:
        left, top, right, bottom = inside = _sides(box, lambda side: min(max(side, 0.0), 1.0))
        if right - left < _MIN_SIDE or bottom - top < _MIN_SIDE:
            empty += 1
            continue
        key = (name, _sides(inside, lambda side: round(side, 6)))
        if key in kept:
            repeated += 1
        else:
            kept[key] = (name, inside)
            cut += min(box) < -_ROUNDING or max(box) > 1 + _ROUNDING
    return Tidied(tuple(kept.values()), cut, empty, repeated)


def _sides(box: Box, change: Callable[[float], float]) -> Box:
    left, top, right, bottom = map(change, box)
    return left, top, right, bottom


@dataclass(frozen=True)
class Checked:
    """Labels of one image as they are taken.

    Arguments:
        labels: those that remain.
        problem: why none of them can be taken, or nothing.
        tidied: what was put right.
    """

    labels: tuple[Label, ...] = ()
    problem: str = ""
    tidied: Tidied[str] = field(default_factory=Tidied)


def check_labels(labels: Sequence[Label], about: LabelTask) -> Checked:
    """Check the labels of one image, and tidy them up.

    Arguments:
        labels: with boxes as shares of the upright image.
        about: the task and the classes that they should be of.
    """
    problem = next(filter(None, (_problem(label, about) for label in labels)), "")
    names = dict.fromkeys(label.class_name for label in labels)
    if not about.has_boxes:
        if not problem and len(names) != 1:
            problem = f"{len(names)} classes where one is expected"
        return Checked(problem=problem) if problem else Checked(tuple(map(Label, names)))
    if problem:
        return Checked(problem=problem)
    tidied = tidy_boxes((label.class_name, label.box) for label in labels if label.box)
    return Checked(tuple(Label(name, box) for name, box in tidied.boxes), "", tidied)


def _problem(label: Label, about: LabelTask) -> str:
    if label.class_name not in about.class_names:
        return f"the class {label.class_name!r}, which the model does not know"
    if not about.has_boxes:
        return ""
    return box_problem(label.box) if label.box else "a class without a box"


class MadeOn(Enum):
    """The pixels of an image that its labels were made on, as the size in their file tells."""

    UPRIGHT = "the upright image"
    STORED = "the stored pixels"
    EITHER = "either, as EXIF does not change the shape"
    SAME = "an image that EXIF does not turn"
    NEITHER = "an image of another shape"


def made_on(size: tuple[float, float], geometry: Geometry) -> MadeOn:
    """Tell what labels were made on.

    Some tools pass over the EXIF orientation and label an image as it is stored. That shows in the
    size that their file gives, unless the image is square, mirrored or turned by 180°. Labels of a
    scaled copy fit, as they are in shares.

    Arguments:
        size: width and height that the label file gives.
        geometry: of the image.
    """
    exact = size in (geometry.upright, geometry.stored)
    upright, stored = (
        size == one if exact else _same_shape(size, one)
        for one in (geometry.upright, geometry.stored)
    )
    if not (upright or stored):
        return MadeOn.NEITHER
    if geometry.orientation == 1:
        return MadeOn.SAME
    if upright and stored:
        return MadeOn.EITHER
    return MadeOn.UPRIGHT if upright else MadeOn.STORED


def fit_to_image(
    labels: Sequence[Label],
    size: tuple[float, float],
    geometry: Geometry,
    *,
    by_stored: bool = False,
) -> tuple[tuple[Label, ...], str]:
    """Take labels made on stored pixels to the upright image; refuse those of another image shape.

    Arguments:
        labels: with boxes as shares of an image of `size`.
        size: width and height that the label file gives.
        geometry: of the image.
        by_stored: where the size does not tell, they were made on the stored pixels, as others of
            their file were.

    Returns:
        The labels, and why they cannot be of this image, or nothing.
    """
    if not any(label.box for label in labels):
        return tuple(labels), ""
    made = made_on(size, geometry)
    if made is MadeOn.NEITHER:
        shown = geometry.upright
        return (
            (),
            f"made for {size[0]:g} × {size[1]:g} pixels, where the image has {shown[0]} × "
            f"{shown[1]}",
        )
    if made is MadeOn.STORED or (made is MadeOn.EITHER and by_stored):
        return tuple(
            replace(label, box=geometry.turn(label.box)) if label.box else label for label in labels
        ), ""
    return tuple(labels), ""


def _same_shape(size: tuple[float, float], other: tuple[int, int]) -> bool:
    """Tell whether one size is the other, scaled and rounded to whole pixels."""
    return abs(size[0] * other[1] - size[1] * other[0]) <= max(sum(size), sum(other))


@dataclass
class Remarks:
    """Names of the images in whose labels something was put right or left out, and how often."""

    cut: dict[str, int] = field(default_factory=dict)
    empty: dict[str, int] = field(default_factory=dict)
    repeated: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, tidied: Tidied[K]) -> None:
        """Note what was put right in one image."""
        for counts, count in (
            (self.cut, tidied.cut),
            (self.empty, tidied.empty),
            (self.repeated, tidied.repeated),
        ):
            if count:
                counts[name] = count

    def lines(self) -> tuple[str, ...]:
        """One line for each kind, with the count and a few names."""
        kinds = (
            (self.cut, "cut off at the image's edge"),
            (self.empty, "without an area left out"),
            (self.repeated, "counted once for several"),
        )
        return tuple(
            f"{sum(counts.values())} {'box' if sum(counts.values()) == 1 else 'boxes'} {what}: "
            f"{name_some(counts)}"
            for counts, what in kinds
            if counts
        )


def name_some(names: Iterable[str]) -> str:
    """Name the first few, and say how many more there are."""
    names = list(names)
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
