"""A model's labels as a dataset, and the number still missing.

It also has the champion's own labels where no person gave any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from components.contracts import Classification, Detections, LabelledImage, Prediction
from components.datasets.checks import check_labels
from components.datasets.formats import content_of
from components.datasets.labels import Label, LabelTask, QueuedImage
from components.datasets.yolo_folder import class_folder, write_description, yolo_text
from components.datasets.yolo_layout import label_file
from components.errors import DatasetError, FovealError
from components.files import replacing, sha256_json
from components.images.reading import image_size
from components.labelling.book import Booked, LabelStore
from components.vision import task_kind

SPLIT = "train"


@dataclass(frozen=True)
class LabelStatus:
    """Progress of labelling.

    Arguments:
        queued: images that were chosen for people, ever.
        waiting: those of them without a label.
        exported: those of them that were handed to people.
        labelled: images with a label, ever.
        fresh: those whose label came or changed since labels were last learnt from.
        missing: how many more fresh ones a retraining needs.
        classes: class name → objects, or images of a classifier, among the fresh labels.
        empty: labelled images of which a person says that nothing is there.
        unusable: one line for each image whose kept label is wrong; it counts nowhere else here.
    """

    queued: int
    waiting: int
    exported: int
    labelled: int
    fresh: int
    missing: int
    classes: Mapping[str, int]
    empty: int = 0
    unusable: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelledData:
    """Labels on disk: the dataset, its split and its number of images.

    `fresh` and `unusable` are as `LabelStatus` has them.
    """

    data: Path
    split: str
    images: int
    fresh: int
    unusable: tuple[str, ...] = ()


def label_status(book: LabelStore, about: LabelTask, *, minimum: int) -> LabelStatus:
    """Count the labels that there are, and those that a retraining still needs.

    Arguments:
        book: of the model.
        about: its task and classes.
        minimum: fresh labels that a retraining needs.
    """
    queue, exported = book.queue(), book.exported()
    labels, unusable = usable_labels(book, about)
    fresh = _fresh(book, labels)
    classes = Counter(label.class_name for booked in fresh for label in booked.label.labels)
    return LabelStatus(
        queued=len(queue),
        waiting=sum(image.sha256 not in labels for image in queue),
        exported=sum(image.sha256 in exported for image in queue),
        labelled=len(labels),
        fresh=len(fresh),
        missing=max(0, minimum - len(fresh)),
        classes={name: classes[name] for name in about.class_names},
        empty=sum(not booked.label.labels for booked in labels.values()),
        unusable=unusable,
    )


def usable_labels(book: LabelStore, about: LabelTask) -> tuple[dict[str, Booked], tuple[str, ...]]:
    """Check the kept labels of a model.

    Some were kept before imports were checked, or are of a former class.

    Returns:
        The label of every image by its sha256, tidied up, and a line for each image whose label is
        wrong.
    """
    usable, wrong = {}, []
    for sha256, booked in book.labels().items():
        checked = check_labels(booked.label.labels, about)
        if checked.problem:
            wrong.append(f"{booked.label.image_id}: {checked.problem}")
        else:
            usable[sha256] = replace(booked, label=replace(booked.label, labels=checked.labels))
    return usable, tuple(wrong)


def write_labelled(book: LabelStore, output: Path, about: LabelTask) -> LabelledData:
    """Write all labelled images of a model as a dataset, in the order in which they came.

    Arguments:
        book: of the model.
        output: the folder of all such datasets; this one is ``output/HASH`` and is reused.
        about: the model's task and classes.

    Raises:
        DatasetError: there are no labels.
    """
    labels, unusable = usable_labels(book, about)
    if not labels:
        found = f"none that can be used: {unusable[0]}" if unusable else "none"
        raise DatasetError(
            "labelled images",
            found=found,
            hint="`foveal labels export`, label, `foveal labels import`",
        )
    content = [
        [sha256, [[label.class_name, label.box] for label in one.label.labels]]
        for sha256, one in labels.items()
    ]
    folder = output / sha256_json([about.task, about.class_names, content])[:32]
    if not folder.exists():
        with replacing(folder) as aside:
            _write(book, list(labels.values()), aside, about)
    data = folder / "data.yaml" if about.has_boxes else folder
    return LabelledData(data, SPLIT, len(labels), len(_fresh(book, labels)), unusable)


def _write(book: LabelStore, labels: Sequence[Booked], folder: Path, about: LabelTask) -> None:
    ids = {name: k for k, name in enumerate(about.class_names)}
    if about.has_boxes:
        write_description(folder_made(folder), about.class_names, {SPLIT: "images"})
    for number, booked in enumerate(labels):
        label = booked.label
        name = f"{number:07d}-{label.sha256[:16]}{label.suffix}"
        place = (
            "images" if about.has_boxes else f"{SPLIT}/{class_folder(label.labels[0].class_name)}"
        )
        target = folder_made(folder / place) / name
        target.write_bytes(book.image(label))
        if about.has_boxes:
            rows = [(ids[one.class_name], one.box) for one in label.labels if one.box]
            folder_made(label_file(target).parent)
            label_file(target).write_text(yolo_text(rows), encoding="utf-8")


def folder_made(folder: Path) -> Path:
    """A folder, made where it was missing."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def pseudo_labels(
    images: Sequence[QueuedImage], folder: Path, about: LabelTask, *, confidence: float
) -> tuple[LabelledImage, ...]:
    """Return the champion's own labels of unlabelled images, where it is sure of all of them.

    Arguments:
        images: those that wait.
        folder: where their copies go.
        about: the model's task and classes.
        confidence: the least of any label of an image.

    Returns:
        Images whose `truth` carries the champion's confidences; those that are gone are left out.
    """
    found = []
    for image in images:
        certain = all(
            about.takes(label) and (label.confidence or 0) >= confidence
            for label in image.prelabels  # an earlier version may have other classes
        )
        if image.prelabels and certain:
            path = folder_made(folder) / image.name
            try:
                if not path.exists():
                    content = content_of(image.uri, image.sha256)
                    with replacing(path) as aside:
                        aside.write_bytes(content)
                found.append(
                    LabelledImage(
                        image.image_id, path, _truth(image.prelabels, image_size(path), about)
                    )
                )
            except FovealError:
                continue
    return tuple(found)


def _truth(labels: Sequence[Label], size: tuple[int, int], about: LabelTask) -> Prediction:
    ids = [about.class_names.index(label.class_name) for label in labels]
    scores = np.array([label.confidence for label in labels], np.float32)
    truth: Prediction = Classification(
        np.eye(len(about.class_names), dtype=np.float32)[ids[0]] * scores[0]
    )
    if about.has_boxes:
        boxes = np.array([label.box for label in labels], np.float32) * np.array(
            size * 2, np.float32
        )
        truth = Detections(boxes, scores, np.array(ids, np.int64))
    return task_kind(about.task).from_labels(truth)


def _fresh(book: LabelStore, labels: Mapping[str, Booked]) -> list[Booked]:
    since = book.learnt_until()
    return [booked for booked in labels.values() if since is None or booked.last > since]
