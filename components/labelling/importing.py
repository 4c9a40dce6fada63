"""Import of labels into the book: the image of each, and whether a person has confirmed it."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from components.datasets.checks import (
    MadeOn,
    Remarks,
    check_labels,
    fit_to_image,
    made_on,
    name_some,
)
from components.datasets.formats import content_of
from components.datasets.labels import HASH_IN_NAME, Found, Label, LabelTask, QueuedImage
from components.datasets.matching import match_ids
from components.errors import DatasetError, FovealError, IncompatibleError
from components.files import sha256_file
from components.images.bounded import read_bytes
from components.images.reading import Geometry, image_geometry
from components.images.sources import IMAGE_SUFFIXES
from components.labelling.book import LabelRecord, LabelStore
from components.printing import counted

_HASH = re.compile(rf"(?<![0-9a-f])[0-9a-f]{{{HASH_IN_NAME}}}(?=-)")
_COUNTED = ("added", "changed", "same", "empty", "unlabelled")
_LISTED = ("unconfirmed", "repeated", "older", "turned", "refused", "gone")
_LEFT_ALONE = 1e-3  # of the image's side; a box that was moved by less was not moved


@dataclass(frozen=True)
class KnownImage:
    """An image that the model has seen: its bytes' sha256, its name and where it was."""

    sha256: str
    image_id: str
    uri: str


@dataclass(frozen=True)
class LabelImport:
    """Result of an import of labels, image by image.

    Arguments:
        added: images without a label before.
        changed: images whose label is another one now.
        same: images whose label was known already.
        empty: of these three, the images of which a person says that nothing is there.
        unlabelled: images that nobody has labelled, or skipped, or of which the file does not say
            that they are empty.
        unconfirmed: names of images whose labels are the champion's, left as they were exported.
        repeated: names that came more than once; the last label counts.
        older: names of images whose known label was made later than this one, and stays.
        turned: names of images whose boxes were made on stored pixels, and were turned as EXIF
            says.
        unknown: names of images that the model has not seen.
        refused: one line for each image whose labels are wrong and were not taken.
        gone: one line for each image that is no longer where it was.
        remarks: what was put right in the labels that were taken, one line each.
    """

    added: int
    changed: int
    same: int
    empty: int
    unlabelled: int
    unconfirmed: tuple[str, ...]
    repeated: tuple[str, ...]
    older: tuple[str, ...]
    turned: tuple[str, ...]
    unknown: tuple[str, ...]
    refused: tuple[str, ...]
    gone: tuple[str, ...]
    remarks: tuple[str, ...] = ()


def import_labels(
    book: LabelStore,
    found: Sequence[Found],
    known: Iterable[KnownImage],
    about: LabelTask,
    *,
    confirmed: bool = False,
) -> LabelImport:
    """Take labels into the book, each after it was checked; a wrong one is left out by name.

    Arguments:
        book: of the model.
        found: what `read_labels` read.
        known: all images that the model has seen; queued ones are known anyway.
        about: the model's task and classes.
        confirmed: labels that were left as they were exported have been looked at too, and an image
            without annotations shows nothing.

    Raises:
        IncompatibleError: a label has a class that the model does not know, or does not fit its
            task.
        DatasetError: nothing was read, no image of them is known, or a name fits several.
    """
    _require_classes(found, about)
    queue = {image.sha256: image for image in book.queue()}
    ours = {image.sha256: image for image in known}
    ours |= {
        sha256: KnownImage(sha256, image.image_id, image.uri) for sha256, image in queue.items()
    }
    whose, unknown = _resolve(found, ours)
    if not whose:
        raise DatasetError(
            "labels of images that this model has seen",
            found=f"{', '.join(unknown[:3])} and no other" if unknown else "no labels",
            hint="run `foveal nightly` over the images first, or keep the exported names",
        )
    taking = _Import(book, queue, about, confirmed)
    taking.look_at_pixels((ours[sha256], one) for sha256, labels in whose.items() for one in labels)
    for sha256, labels in whose.items():
        taking.take(ours[sha256], labels)
    return taking.finish(unknown)


class _Import:
    """An import at work: takes the labels of one image after the other, and counts."""

    def __init__(
        self, book: LabelStore, queue: Mapping[str, QueuedImage], about: LabelTask, confirmed: bool
    ) -> None:
        self._book, self._queue, self._about, self._confirmed = book, queue, about, confirmed
        self._before, self._new = book.labels(), list[LabelRecord]()
        self._counts, self._remarks = Counter[str](), Remarks()
        self._names: dict[str, list[str]] = {name: [] for name in _LISTED}
        self._either: dict[str, str] = {}
        self._seen: set[MadeOn] = set()

    def look_at_pixels(self, labelled: Iterable[tuple[KnownImage, Found]]) -> None:
        """Find out on which pixels the tool labels.

        Where an image's size does not tell, that of others must.
        """
        for image, found in labelled:
            if any(label.box for label in found.labels or ()):
                with suppress(FovealError):  # it is told when the labels are taken
                    picture = _Picture(found, image)
                    made = (
                        made_on(size, picture.geometry)
                        if (size := picture.labelled_size())
                        else MadeOn.SAME
                    )
                    self._seen.add(made)
                    if made is MadeOn.EITHER:
                        self._either[image.sha256] = found.name

    def take(self, image: KnownImage, labels: Sequence[Found]) -> None:
        """Take the labels that came of one image, the latest last."""
        said = [one for one in labels if self._is_labelled(one)]
        if len(labels) > 1:
            self._names["repeated"].append(labels[-1].name)
        if not said:
            self._counts["unlabelled"] += 1
        elif problem := said[-1].problem or _contradiction(said):
            self._names["refused"].append(f"{said[-1].name}: {problem}")
        else:
            try:
                self._check(image, said[-1])
            except FovealError as error:
                self._names["gone"].append(f"{said[-1].name}: {error.found}")

    def _is_labelled(self, found: Found) -> bool:
        if found.labels is None:
            return False
        return bool(found.labels or found.stated or found.problem or self._confirmed)

    def _check(self, image: KnownImage, found: Found) -> None:
        picture = _Picture(found, image)
        placed, problem = self._placed(found, picture)
        checked = check_labels(placed, self._about)
        if problem := problem or checked.problem:
            self._names["refused"].append(f"{found.name}: {problem}")
            return
        before = self._before.get(image.sha256)
        if before and _alike(checked.labels, before.label.labels):
            self._counts["same"] += 1
        elif before and before.outlasts(found.at):
            self._names["older"].append(found.name)
            return
        elif self._left_alone(found, checked.labels, image.sha256):
            self._names["unconfirmed"].append(found.name)
            return
        else:
            label = LabelRecord(
                image.sha256, image.image_id, picture.suffix, checked.labels, found.at, found.who
            )
            self._book.add_image(label, picture.content)
            self._new.append(label)
            self._counts["changed" if before else "added"] += 1
        self._counts["empty"] += not checked.labels
        self._remarks.add(found.name, checked.tidied)
        if placed != found.labels:
            self._names["turned"].append(found.name)

    def _placed(self, found: Found, picture: _Picture) -> tuple[tuple[Label, ...], str]:
        """Take boxes to the upright image.

        An image whose size is as it was exported need not be opened for that.
        """
        labels, size = found.labels or (), picture.labelled_size()
        queued = self._queue.get(picture.sha256)
        as_exported = (
            queued and size == (queued.width, queued.height) and picture.sha256 not in self._either
        )
        if size is None or as_exported or self._left_alone(found, labels, picture.sha256):
            return labels, ""
        return fit_to_image(labels, size, picture.geometry, by_stored=MadeOn.STORED in self._seen)

    def _left_alone(self, found: Found, labels: Sequence[Label], sha256: str) -> bool:
        """Tell whether labels may be as the model made them because nobody has looked."""
        prelabels = self._queue[sha256].prelabels if sha256 in self._queue else ()
        return not (self._confirmed or found.stated) and _alike(labels, prelabels)

    def finish(self, unknown: tuple[str, ...]) -> LabelImport:
        """Put all that was taken into the book at once, and say what came of it."""
        self._book.add(self._new)
        counts: dict[str, Any] = {name: self._counts[name] for name in _COUNTED}
        names: dict[str, Any] = {name: tuple(lines) for name, lines in self._names.items()}
        return LabelImport(
            **counts, **names, unknown=unknown, remarks=(*self._remarks.lines(), *self._assumed())
        )

    def _assumed(self) -> Iterator[str]:
        """Say what is assumed where nothing tells on which pixels a tool labels.

        Only an image with an EXIF orientation can tell that.
        """
        if self._either and self._seen.isdisjoint((MadeOn.UPRIGHT, MadeOn.STORED)):
            images, some = counted(len(self._either), "image"), name_some(self._either.values())
            yield (
                f"{images} that EXIF turns without a change of shape, taken as labelled upright: "
                f"{some}"
            )


class _Picture:
    """File of an image that labels are for: the copy beside them, or the one in its own place.

    Every property raises `FovealError` where neither is there any more.
    """

    def __init__(self, found: Found, image: KnownImage) -> None:
        self._found, self._image, self.sha256 = found, image, image.sha256

    @cached_property
    def content(self) -> bytes:
        """Its bytes."""
        copy = self._copy
        return copy if _sha256(copy) == self.sha256 else content_of(self._image.uri, self.sha256)

    @cached_property
    def geometry(self) -> Geometry:
        """Its size and how EXIF turns it."""
        return image_geometry(self.content)

    @property
    def suffix(self) -> str:
        """Of its file, with the dot."""
        suffix = PurePosixPath(self._image.uri).suffix.lower()
        return suffix if suffix in IMAGE_SUFFIXES else ".jpg"

    def labelled_size(self) -> tuple[float, float] | None:
        """Return the size the labels were made for: their file's, or another copy's beside them."""
        if self._found.size or not self._copy or _sha256(self._copy) == self.sha256:
            return self._found.size
        return image_geometry(self._copy).upright

    @cached_property
    def _copy(self) -> bytes:
        return read_bytes(str(self._found.file)) if self._found.file else b""


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _contradiction(labels: Sequence[Found]) -> str:
    """Say that an image came several times with different labels and nothing tells the latest."""
    last = labels[-1]
    others = [one for one in labels[:-1] if one.at is None or one.at == last.at]
    if any(not _alike(one.labels or (), last.labels or ()) for one in others):
        return f"it comes {len(labels)} times with different labels"
    return ""


def _require_classes(found: Sequence[Found], about: LabelTask) -> None:
    """Refuse labels that are for another kind of model, as a whole."""
    unknown = Counter(
        (label.class_name, image.name)
        for image in found
        for label in image.labels or ()
        if label.class_name not in about.class_names
    )
    if unknown:
        (class_name, name), more = next(iter(unknown)), len(unknown) - 1
        raise IncompatibleError(
            f"the model's classes, {', '.join(about.class_names)}",
            found=f"{class_name!r} in the label of {name}"
            + (f" and {more} more like it" if more else ""),
            hint="rename the class in the labels, or train a new model for it",
        )
    for image in found:
        if not about.has_boxes and image.stated | bool(image.labels):
            names = {label.class_name for label in image.labels or ()}
            if len(names) != 1 and not image.problem:
                raise IncompatibleError(
                    "one class for each image", found=f"{len(names)} for {image.name}"
                )
        if about.has_boxes and any(label.box is None for label in image.labels or ()):
            raise IncompatibleError(
                "boxes, as the model is a detector", found=f"a class without a box for {image.name}"
            )


def _resolve(
    found: Sequence[Found], known: Mapping[str, KnownImage]
) -> tuple[dict[str, list[Found]], tuple[str, ...]]:
    """The labels by image, those of one image in order of time; and names of unknown images.

    What an image is called by content wins: in the file of labels, in an exported name, or by the
    copy beside the labels. Else its name must fit that of one image.
    """
    by_hash = {sha256[:HASH_IN_NAME]: sha256 for sha256 in known}
    whose: dict[str, list[Found]] = {}
    rest = []
    for label in found:
        sha256 = _by_content(label, known, by_hash)
        if sha256:
            whose.setdefault(sha256, []).append(label)
        else:
            rest.append(label)
    images = list(known.values())
    places = match_ids(
        dict.fromkeys(label.name for label in rest), [image.image_id for image in images]
    )
    for label in rest:
        if label.name in places:
            whose.setdefault(images[places[label.name]].sha256, []).append(label)
    for labels in whose.values():
        labels.sort(key=lambda label: label.at.timestamp() if label.at else 0.0)
    return whose, tuple(dict.fromkeys(label.name for label in rest if label.name not in places))


def _by_content(
    label: Found, known: Mapping[str, KnownImage], by_hash: Mapping[str, str]
) -> str | None:
    if label.sha256 in known:
        return label.sha256
    named = _HASH.search(PurePosixPath(label.name).name)
    if named and named[0] in by_hash:
        return by_hash[named[0]]
    if label.file and (sha256 := sha256_file(label.file)) in known:
        return sha256
    return None


def _alike(one: Sequence[Label], other: Sequence[Label]) -> bool:
    """Tell whether two labels are the same, in whatever order."""
    left = list(other)
    for label in one:
        match = next((candidate for candidate in left if _equal(label, candidate)), None)
        if match is None:
            return False
        left.remove(match)
    return not left


def _equal(one: Label, other: Label) -> bool:
    if one.class_name != other.class_name or (one.box is None) != (other.box is None):
        return False
    sides = zip(one.box or (), other.box or (), strict=True)
    return all(abs(a - b) <= _LEFT_ALONE for a, b in sides)
