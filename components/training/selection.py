"""Selection of the images that a retraining trains on, is evaluated on, and leaves out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from itertools import chain
from pathlib import Path

import numpy as np
from pydantic import Field

from components.contracts import LabelledImage, Prediction
from components.contracts.arrays import Flags
from components.datasets.near_duplicates import Fingerprints, look_at
from components.files import sha256_file
from components.settings import ComponentSettings

_MIN_OF_A_CLASS = 10  # images that a replay keeps of a class, where there are as many


class Selection(ComponentSettings):
    """How the training data of a retraining is chosen."""

    held_out_share: float = Field(
        0.25, gt=0, lt=1, description="Of the new images: judged on, never learnt from."
    )
    most_images: int = Field(
        4000, ge=1, description="To train on; new images are never cut, original ones are."
    )
    replay_share: float = Field(
        0.5, ge=0, lt=1, description="Of the training images that stays original ones."
    )
    pseudo_share: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Of the training images that may carry the champion's own labels; 0 is none.",
    )
    pseudo_confidence: float = Field(
        0.9, gt=0, le=1, description="Of every one of the champion's labels in such an image."
    )


class Role(IntEnum):
    """Role of an image, in the order in which it is decided on."""

    GOLDEN = 0
    VALIDATION = 1
    CALIBRATION = 2
    HELD_OUT = 3
    NEW = 4
    ORIGINAL = 5
    PSEUDO = 6


# left as they are, but for copies and what is in another split
_FROZEN = (Role.VALIDATION, Role.CALIBRATION)
_LEAKS = {
    Role.GOLDEN: "in_golden_set",
    Role.VALIDATION: "in_validation_set",
    Role.CALIBRATION: "in_calibration_set",
    Role.HELD_OUT: "in_validation_set",
}


@dataclass(frozen=True, eq=False)
class Entry:
    """An image with its labels in the model's classes, and where it came from."""

    image: LabelledImage
    role: Role
    sha256: str

    @property
    def path(self) -> Path:
        """Of the image."""
        return self.image.path

    @property
    def truth(self) -> Prediction:
        """Its labels."""
        return self.image.truth


@dataclass(frozen=True, eq=False)
class Chosen:
    """Images that are kept, by split.

    Arguments:
        train: of new, original and pseudo-labelled images.
        val: the original validation images and the held-out new ones.
        recent: the new images alone that are held out; not those that the champion's validation
            split has already.
        calibration: the original ones; none where they are those of another split.
        golden: how many images the golden set has of its own.
        replayed: the original training images are a sample.
        dropped: reason → images left out.
    """

    train: tuple[Entry, ...]
    val: tuple[Entry, ...]
    recent: tuple[Entry, ...]
    calibration: tuple[Entry, ...]
    golden: int
    replayed: bool
    dropped: Mapping[str, int]

    @property
    def sources(self) -> dict[str, int]:
        """Number of images of all these splits by their origin."""
        counts = Counter(entry.role for entry in (*self.train, *self.val, *self.calibration))
        kept, others = (
            counts[Role.ORIGINAL],
            counts[Role.VALIDATION] + counts[Role.CALIBRATION] + self.golden,
        )
        return {
            "original": others + (0 if self.replayed else kept),
            "replay": kept if self.replayed else 0,
            "new": counts[Role.NEW] + counts[Role.HELD_OUT],
            "pseudo": counts[Role.PSEUDO],
        }


@dataclass(frozen=True)
class Material:
    """All that a retraining could use, the frozen splits first, new images in order of arrival."""

    golden: Sequence[LabelledImage]
    val: Sequence[LabelledImage]
    calibration: Sequence[LabelledImage]
    new: Sequence[LabelledImage]
    train: Sequence[LabelledImage]
    pseudo: Sequence[LabelledImage] = field(default=())


def choose(
    material: Material, selection: Selection, progress: Callable[[int, int], None] | None = None
) -> Chosen:
    """Decide for every image; equal material gives the same answer, whatever its files are called.

    A new image is held out by its content, so that it never changes sides from one retraining to
    the next. Of images that show the same (the same bytes, or a picture saved again with the same
    classes) one is kept: a frozen one before a new one, a new one before an original one for
    training. Pictures that look the same and are labelled with other classes are not the same, but
    for the champion's own labels, which give way. What the champion was trained or validated on
    with the same labels is not new: not counted, and not among the recent images. An image with
    other labels than the training split has for it is learnt anew, never held out; nor is one that
    looks like an image of that split and shows the same classes.

    Arguments:
        material: what there is.
        selection: how to choose.
        progress: called with (done, total) while images are looked at.

    Raises:
        DatasetError: a file is missing.
        ImageError: an image cannot be read.
    """
    entries = _entries(material, selection)
    looks = look_at([entry.path for entry in entries], progress)
    kept, dropped = _without_repeats(entries, looks)
    of = {role: [entry for entry in kept if entry.role is role] for role in Role}
    originals = _replay(of[Role.ORIGINAL], len(of[Role.NEW]), selection)
    taught = [*of[Role.NEW], *originals]
    most = int(selection.pseudo_share / (1 - selection.pseudo_share) * len(taught))
    surest = sorted(of[Role.PSEUDO], key=lambda entry: (-entry.truth.lowest_score, entry.sha256))
    return Chosen(
        train=(*taught, *surest[:most]),
        val=(*of[Role.VALIDATION], *of[Role.HELD_OUT]),
        recent=tuple(of[Role.HELD_OUT]),
        calibration=tuple(of[Role.CALIBRATION]),
        golden=len(of[Role.GOLDEN]),
        replayed=len(originals) < len(of[Role.ORIGINAL]),
        dropped=dropped,
    )


def _entries(material: Material, selection: Selection) -> list[Entry]:
    """Every image with its role, those that are decided on first before the others."""

    def of(images: Iterable[LabelledImage], role: Role) -> list[Entry]:
        return [Entry(image, role, sha256_file(image.path)) for image in images]

    train = of(material.train, Role.ORIGINAL)
    learnt = {entry.sha256 for entry in train}
    new = [
        replace(entry, role=Role.HELD_OUT)
        if entry.sha256 not in learnt and _is_held_out(entry.sha256, selection)
        else entry
        for entry in of(material.new, Role.NEW)
    ]
    sure = (
        image
        for image in material.pseudo
        if image.truth.lowest_score >= selection.pseudo_confidence
    )
    found = chain(
        of(material.golden, Role.GOLDEN),
        of(material.val, Role.VALIDATION),
        of(material.calibration, Role.CALIBRATION),
        new,
        train,
        of(sure if selection.pseudo_share else (), Role.PSEUDO),
    )
    return list(found)


def _is_held_out(sha256: str, selection: Selection) -> bool:
    return int(sha256[:12], 16) < selection.held_out_share * 16**12


def _without_repeats(
    entries: Sequence[Entry], looks: Fingerprints
) -> tuple[list[Entry], dict[str, int]]:
    """The images that are kept, and why others are left out."""
    seen, dropped = _Seen(entries, looks), Counter[str]()
    for row, entry in enumerate(entries):
        same = seen.match(row)
        if same is None:
            seen.keep(row)
        else:
            dropped[
                _reason(entry.role, entries[same].role, entries[same].sha256 == entry.sha256)
            ] += 1
    return [entries[row] for row in np.flatnonzero(seen.kept).tolist()], dict(dropped)


class _Seen:
    """The images that are kept so far, by their bytes and by what they look like."""

    def __init__(self, entries: Sequence[Entry], looks: Fingerprints) -> None:
        self._entries, self._looks = entries, looks
        self._roles = np.array([entry.role for entry in entries], np.int64)
        self._learnt = self._roles == Role.ORIGINAL
        numbers: dict[tuple[int, ...], int] = {}
        shown = [tuple(sorted(entry.truth.labels)) for entry in entries]
        self._shown = np.array(
            [numbers.setdefault(classes, len(numbers)) for classes in shown], np.int64
        )
        self._copies: dict[str, int] = {}  # bytes → the kept image
        self._learnt_copies = {
            entries[row].sha256: row for row in np.flatnonzero(self._learnt).tolist()
        }
        self.kept = np.zeros(len(entries), np.bool_)

    def keep(self, row: int) -> None:
        """Keep an image."""
        self.kept[row] = True
        self._copies.setdefault(self._entries[row].sha256, row)

    def match(self, row: int) -> int | None:
        """The image that forbids this one, if there is one."""
        entry = self._entries[row]
        if entry.role is Role.GOLDEN:
            return None
        if entry.role is Role.NEW and (learnt := self._learnt_copies.get(entry.sha256)) is not None:
            if entry.truth.has_labels_of(self._entries[learnt].truth):
                return learnt
        among = self.kept & (self._roles < entry.role) if entry.role in _FROZEN else self.kept
        same = self._copies.get(entry.sha256)
        same = self._looks.same_as(row, among & self._alike(row)) if same is None else same
        if same is None and entry.role is Role.HELD_OUT:
            same = self._learnt_copies.get(entry.sha256)
            same = (
                self._looks.same_as(row, self._learnt & self._alike(row)) if same is None else same
            )
        return same

    def _alike(self, row: int) -> Flags:
        """The images with the same classes; all of them for an image that the champion labelled."""
        if self._entries[row].role is Role.PSEUDO:
            return np.ones(len(self._entries), np.bool_)
        return np.asarray(self._shown == self._shown[row])


def _reason(role: Role, kept: Role, copy: bool) -> str:
    if role is not kept and kept in _LEAKS:
        return _LEAKS[kept]
    if kept in (Role.NEW, Role.ORIGINAL) and (
        role is Role.HELD_OUT or (role is Role.NEW and kept is Role.ORIGINAL)
    ):
        return "in_training_set"
    return "duplicate" if copy else "near_duplicate"


def _replay(originals: Sequence[Entry], new: int, selection: Selection) -> list[Entry]:
    """The original training images, or as many of them as the training split has room for.

    The sample goes by content, and keeps some images of every class first.
    """
    balance = new * selection.replay_share / (1 - selection.replay_share)
    room = max(selection.most_images - new, round(balance))
    if len(originals) <= room:
        return list(originals)
    # not by the digits that hold new images out
    drawn = sorted(originals, key=lambda entry: entry.sha256[::-1])
    seen: Counter[int] = Counter()
    rank = {}  # how many earlier ones have the rarest of its classes
    for entry in drawn:
        classes = set(entry.truth.labels)
        rank[entry] = min((seen[k] for k in classes), default=_MIN_OF_A_CLASS)
        seen.update(classes)
    chosen = set(sorted(drawn, key=lambda entry: min(rank[entry], _MIN_OF_A_CLASS))[:room])
    return [entry for entry in originals if entry in chosen]
