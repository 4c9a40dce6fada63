"""Take labels that came back into the book: whose image each is, and whether a person has said it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from components.contracts import TaskType
from components.errors import DatasetError, FovealError, IncompatibleError
from components.files import sha256_file
from components.images.label_formats import content_of
from components.images.labels import HASH_IN_NAME, Found, Label, LabelTask, QueuedImage
from components.images.sources import IMAGE_SUFFIXES
from components.monitoring.label_book import BookedLabel, LabelBook
from components.monitoring.labels import match_ids

_HASH = re.compile(rf"(?<![0-9a-f])[0-9a-f]{{{HASH_IN_NAME}}}(?=-)")
_LEFT_ALONE = 1e-3  # of the image's side; a box that was moved by less was not moved


@dataclass(frozen=True)
class KnownImage:
    """An image that the model has seen: its bytes' sha256, its name and where it was."""

    sha256: str
    image_id: str
    uri: str


@dataclass(frozen=True)
class LabelImport:
    """What came of an import, image by image.

    Arguments:
        added: images without a label before.
        changed: images whose label is another one now.
        same: images whose label was known already.
        unlabelled: images that nobody has labelled, or skipped.
        unconfirmed: names of images whose labels are the champion's, left as they were exported.
        repeated: names that came more than once; the last label counts.
        unknown: names of images that the model has not seen.
        gone: one line for each image that is no longer where it was.
    """

    added: int
    changed: int
    same: int
    unlabelled: int
    unconfirmed: tuple[str, ...]
    repeated: tuple[str, ...]
    unknown: tuple[str, ...]
    gone: tuple[str, ...]


def import_labels(
    book: LabelBook, found: Sequence[Found], known: Iterable[KnownImage], about: LabelTask, *, confirmed: bool = False
) -> LabelImport:
    """Take labels into the book.

    Arguments:
        book: of the model.
        found: what `read_labels` read.
        known: all images that the model has seen; queued ones are known anyway.
        about: the model's task and classes.
        confirmed: labels that were left as they were exported have been looked at too.

    Raises:
        IncompatibleError: a label has a class that the model does not know, or does not fit its task.
        DatasetError: nothing was read, no image of them is known, or a name fits several.
    """
    _require_classes(found, about)
    queue = {image.sha256: image for image in book.queue()}
    ours = {image.sha256: image for image in known}
    ours |= {sha256: KnownImage(sha256, image.image_id, image.uri) for sha256, image in queue.items()}
    whose, unknown = _resolve(found, ours)
    if not whose:
        raise DatasetError(
            "labels of images that this model has seen",
            found=f"{', '.join(unknown[:3])} and no other" if unknown else "no labels",
            mend="run `foveal nightly` over the images first, or keep the exported names",
        )
    before, unconfirmed, gone = book.labels(), [], []
    new: list[tuple[BookedLabel, bytes]] = []
    counts = {"added": 0, "changed": 0, "same": 0, "unlabelled": 0}
    for sha256, (*_, last) in whose.items():
        was = before[sha256].label if sha256 in before else None
        if last.labels is None:
            counts["unlabelled"] += 1
        elif was and _alike(last.labels, was.labels):
            counts["same"] += 1
        elif not (confirmed or last.stated) and _alike(last.labels, _prelabels(queue.get(sha256))):
            unconfirmed.append(last.name)
        else:
            try:
                new.append(_booked(last, ours[sha256]))
                counts["changed" if was else "added"] += 1
            except FovealError as error:
                gone.append(f"{last.name}: {error.found}")
    book.add(new)
    repeated = tuple(labels[-1].name for labels in whose.values() if len(labels) > 1)
    return LabelImport(**counts, unconfirmed=tuple(unconfirmed), repeated=repeated, unknown=unknown, gone=tuple(gone))


def _require_classes(found: Sequence[Found], about: LabelTask) -> None:
    labels = [(image.name, label) for image in found for label in image.labels or ()]
    for name, label in labels:
        if label.class_name not in about.class_names:
            raise IncompatibleError(
                f"the model's classes, {', '.join(about.class_names)}",
                found=f"{label.class_name!r} in the label of {name}",
                mend="rename the class in the labels, or train a new model for it",
            )
    for image in found:
        if about.task is TaskType.CLASSIFY and image.labels is not None and len(image.labels) != 1:
            raise IncompatibleError("one class for each image", found=f"{len(image.labels)} for {image.name}")
        if about.task is TaskType.DETECT and any(label.box is None for label in image.labels or ()):
            raise IncompatibleError(
                "boxes, as the model is a detector", found=f"a class without a box for {image.name}"
            )


def _resolve(found: Sequence[Found], known: Mapping[str, KnownImage]) -> tuple[dict[str, list[Found]], tuple[str, ...]]:
    """The labels by image, those of one image in order of time; and names of unknown images.

    What an image is called by content wins: in the file of labels, in an exported name, or by the copy beside the
    labels. Else its name must fit that of one image.
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
    places = match_ids(dict.fromkeys(label.name for label in rest), [image.image_id for image in images])
    for label in rest:
        if label.name in places:
            whose.setdefault(images[places[label.name]].sha256, []).append(label)
    for labels in whose.values():
        labels.sort(key=lambda label: label.at.timestamp() if label.at else 0.0)
    return whose, tuple(dict.fromkeys(label.name for label in rest if label.name not in places))


def _by_content(label: Found, known: Mapping[str, KnownImage], by_hash: Mapping[str, str]) -> str | None:
    if label.sha256 in known:
        return label.sha256
    named = _HASH.search(PurePosixPath(label.name).name)
    if named and named[0] in by_hash:
        return by_hash[named[0]]
    if label.file and (sha256 := sha256_file(label.file)) in known:
        return sha256
    return None


def _booked(label: Found, image: KnownImage) -> tuple[BookedLabel, bytes]:
    """What the book keeps of a label; the image is the copy beside the labels or that of its own place.

    Raises:
        FovealError: neither is there any more.
    """
    content = label.file.read_bytes() if label.file else b""
    if hashlib.sha256(content).hexdigest() != image.sha256:
        content = content_of(image.uri, image.sha256)
    suffix = PurePosixPath(image.uri).suffix.lower()
    suffix = suffix if suffix in IMAGE_SUFFIXES else ".jpg"
    return BookedLabel(image.sha256, image.image_id, suffix, label.labels or (), label.at, label.who), content


def _prelabels(image: QueuedImage | None) -> tuple[Label, ...]:
    return image.prelabels if image else ()


def _alike(one: Sequence[Label], other: Sequence[Label]) -> bool:
    """Whether two labels say the same, in whatever order."""
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
