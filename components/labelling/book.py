"""A model's labelling queue and the labels that came: kept for good, in order, by image content."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.contracts import dump, load
from components.datasets.labels import Label, QueuedImage
from components.files import sha256_json
from components.images.object_store import Folder, checked_part, undamaged
from components.runs.by_day import utc


@dataclass(frozen=True)
class LabelRecord:
    """Labels that a person gave an image.

    Arguments:
        sha256: of the image's bytes, which the book keeps too.
        image_id: as inference stored it.
        suffix: of its file, with the dot.
        labels: what is in it; none says that there is nothing.
        at: when it was labelled, where that is known.
        who: who labelled it, where that is known.
    """

    sha256: str
    image_id: str
    suffix: str
    labels: tuple[Label, ...]
    at: datetime | None = None
    who: str = ""


@dataclass(frozen=True)
class Booked:
    """A label with the moments at which its image's first one and this one came into the book."""

    label: LabelRecord
    first: datetime
    last: datetime

    def outlasts(self, at: datetime | None) -> bool:
        """Tell whether this label is newer than one made at `at`; one of no known time is new."""
        return at is not None and at < (self.label.at or self.last)


class LabelStore:
    """The queue, what was exported, the labels, and when they were last learnt from.

    Any number of processes may write.

    Everything is added as a file of its own, ``NAME/_labels/KIND/TIME-HASH.json``, and never
    changed; images lie beside them by content, since labels outlive the place where their images
    arrived.

    Arguments:
        root: a folder or a URL, perhaps that of the monitoring store.
        name: of the model.
        clock: gives the time of now, with a time zone.

    Raises:
        ConfigError: the name is unsafe in a path, or the URL is of no use.
        UnavailableError: by every method too, when the store cannot be reached or refuses.
        DatasetError: by every method that reads, when a file was damaged.
    """

    def __init__(
        self,
        root: str | Path,
        name: str,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder, self._clock = Folder(root), clock
        self._place = f"{checked_part(name, 'name')}/_labels"

    def enqueue(self, images: Sequence[QueuedImage]) -> int:
        """Add images to the queue, where known ones stay in place; return how many are new."""
        known = {image.sha256 for image in self.queue()}
        fresh = [image for image in images if image.sha256 not in known]
        if fresh:
            self._add("queue", [dump(image) for image in fresh])
        return len(fresh)

    def queue(self) -> tuple[QueuedImage, ...]:
        """All images that were ever queued, those that were queued first at the front."""
        found: dict[str, QueuedImage] = {}
        for _, entry in self._entries("queue"):
            image = load(QueuedImage, entry)
            found.setdefault(image.sha256, image)
        return tuple(found.values())

    def waiting(self) -> tuple[QueuedImage, ...]:
        """The queued images without a label."""
        labelled = self.labels()
        return tuple(image for image in self.queue() if image.sha256 not in labelled)

    def note_export(self, images: Iterable[str]) -> None:
        """Remember that these images, by sha256, were handed to people."""
        self._add("exports", sorted(images))

    def exported(self) -> frozenset[str]:
        """All images that were handed to people, by sha256."""
        return frozenset(sha256 for _, sha256 in self._entries("exports"))

    def add_image(self, label: LabelRecord, content: bytes) -> None:
        """Keep the bytes of a label's image; it counts for nothing until its label is added."""
        self._folder.create(self._image(label), content)

    def add(self, labels: Sequence[LabelRecord]) -> None:
        """Add labels whose images are kept; of an image the label that was made last counts."""
        if labels:
            self._add("labels", [dump(label) for label in labels])

    def labels(self) -> Mapping[str, Booked]:
        """The label of every image by its sha256, in the order in which the images first came."""
        found: dict[str, Booked] = {}
        for at, entry in self._entries("labels"):
            label = load(LabelRecord, entry)
            before = found.get(label.sha256)
            if before is None or not before.outlasts(label.at):
                found[label.sha256] = Booked(label, before.first if before else at, at)
        return found

    def image(self, label: LabelRecord) -> bytes:
        """The bytes of a labelled image."""
        path = self._image(label)
        with self._folder.open(path) as file, undamaged(path):
            content: bytes = file.read()
        return content

    def mark_learnt(self, event: str, until: datetime) -> None:
        """Note that the labels that had come until then have been learnt from.

        Arguments:
            event: e.g. the id of a retraining; each is noted once.
            until: when they were read, with a time zone.
        """
        content = {"at": utc(until, "until").isoformat()}
        self._folder.create(
            f"{self._place}/learnt/{checked_part(event, 'event')}.json",
            json.dumps(content).encode(),
        )

    def learnt_until(self) -> datetime | None:
        """Return when labels were last used for training; None if they never were."""
        return max((at for at, _ in self._documents("learnt")), default=None)

    def _image(self, label: LabelRecord) -> str:
        return f"{self._place}/images/{checked_part(label.sha256, 'sha256')}{label.suffix}"

    def _add(self, kind: str, entries: Sequence[object]) -> None:
        now = utc(self._clock(), "the clock's time")
        document = {"at": now.isoformat(), "entries": list(entries)}
        key = f"{now:%Y%m%dT%H%M%S.%f}-{sha256_json(document['entries'])[:16]}"
        self._folder.create(f"{self._place}/{kind}/{key}.json", json.dumps(document).encode())

    def _entries(self, kind: str) -> Iterator[tuple[datetime, Any]]:
        """All entries of a kind, each with the time at which it was added."""
        return (
            (at, entry) for at, document in self._documents(kind) for entry in document["entries"]
        )

    def _documents(self, kind: str) -> Iterator[tuple[datetime, dict[str, Any]]]:
        paths = [
            f"{self._place}/{kind}/{name}" for name in self._folder.files(f"{self._place}/{kind}")
        ]
        for path, content in zip(paths, self._folder.read_all(paths), strict=True):
            if content is not None:
                with undamaged(path):
                    document = json.loads(content)
                    at = datetime.fromisoformat(document["at"])
                yield at, document
