"""Types of label requests and labels, shared by queues, exports and imports."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from components.vision.tasks import task_kind

Box = tuple[float, float, float, float]

UNLABELLED = "_unlabelled"  # the folder of images whose class nobody has said
HASH_IN_NAME = 16  # hex digits of an image's hash at the start of its exported name
_UNSAFE = re.compile(r"[^\w.-]+")
_LONGEST = 80


@dataclass(frozen=True)
class Label:
    """One object of an image, or the class of a whole one.

    Arguments:
        class_name: as the model calls it.
        box: left, top, right, bottom as shares of the upright image's width and height; None for a
            whole image.
        confidence: of a prediction; None for what a person said.
    """

    class_name: str
    box: Box | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class LabelTask:
    """Task of labelling.

    Arguments:
        task: of the model, its name in `TASKS`.
        class_names: index is class id.
    """

    task: str
    class_names: tuple[str, ...]

    @property
    def has_boxes(self) -> bool:
        """Tell whether labels are boxes, rather than one class of the whole image."""
        return task_kind(self.task).has_boxes

    def takes(self, label: Label) -> bool:
        """Tell whether a label is of a known class, and a box where labels are boxes."""
        return label.class_name in self.class_names and (label.box is not None) == self.has_boxes


@dataclass(frozen=True)
class QueuedImage:
    """An image that is worth a person's time, and why.

    Arguments:
        image_id: as inference stored it.
        uri: where it is.
        sha256: of its bytes.
        width: of the upright image in pixels.
        height: likewise.
        window: the key of the run that it came with.
        model: NAME/VERSION of the model that made `prelabels`.
        drift: how probably it is of this window and not of the reference, in 0–1.
        uncertainty: of the model, in 0–1.
        score: drift × uncertainty × how different it is from what was queued before it.
        prelabels: what the model sees in it.
    """

    image_id: str
    uri: str
    sha256: str
    width: int
    height: int
    window: str
    model: str
    drift: float
    uncertainty: float
    score: float
    prelabels: tuple[Label, ...]

    @property
    def name(self) -> str:
        """File name that is safe everywhere; its first 16 hex digits tell which image it is."""
        path = PurePosixPath(self.image_id.replace("\\", "/"))
        stem = _UNSAFE.sub("_", path.stem)[:_LONGEST]
        return f"{self.sha256[:HASH_IN_NAME]}-{stem}{path.suffix.lower()}"


@dataclass(frozen=True)
class Found:
    """Labels of one image in a file of labels.

    Arguments:
        name: what the file calls the image.
        labels: what is in it, as the file says it; None where nobody has labelled it.
        stated: a person has said so. Else the same labels as the exported ones may only have been
            left alone, and no labels may be nobody's word.
        sha256: of the image, where the file tells.
        at: when it was labelled, where the file tells.
        who: who labelled it, where the file tells.
        file: the image's copy that lies with the labels, if it does.
        size: width and height in pixels of the image that the labels were made on, where the file
            tells.
        problem: why the labels cannot be read, or nothing.
    """

    name: str
    labels: tuple[Label, ...] | None
    stated: bool = False
    sha256: str = ""
    at: datetime | None = None
    who: str = ""
    file: Path | None = None
    size: tuple[float, float] | None = None
    problem: str = ""
