"""Labelling functions and tasks: the queue, its export, returned labels, a retraining's dataset."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from components.contracts import DatasetVersion, LoadedModel, ModelVersion, VisionSpec
from components.datasets.checks import name_some
from components.datasets.dataset import load_dataset
from components.datasets.formats import Exported, LabelFormat, export_labels, read_labels
from components.datasets.labels import LabelTask
from components.errors import DatasetError
from components.labelling import (
    KnownImage,
    LabelImport,
    LabelStore,
    import_labels,
    pseudo_labels,
    rank_for_labels,
    write_labelled,
)
from components.monitoring.store.stored import sound_rows
from components.training import OriginalData, compose_dataset
from flows.config.retrain import RetrainDataInput
from flows.reporting.progress import advance, note
from flows.runtime.settings import Settings
from flows.tasks.predict import split_reference
from flows.tasks.steps import Split, step
from flows.tasks.stores import load_model, registry, require_reference, store

_MAX_ROWS = 40_000  # of the latest windows, among which images are chosen


@dataclass(frozen=True)
class NewLabels:
    """Labelled images to learn from, how many at most are new, and when they were read."""

    parts: tuple[Split, ...]
    count: int
    until: datetime


@step("new labels", cached=False, retries=5)
def new_labels(name: str, spec: VisionSpec, data: RetrainDataInput) -> NewLabels:
    """Look for labelled images; composing the dataset finds out which the champion knows."""
    parts, count, until = [], 0, datetime.now(UTC)
    if book(name).labels():
        kept = write_labelled(book(name), _datasets(name) / "labelled", about_of(spec))
        parts, count = [Split(kept.data, kept.split)], kept.fresh
        if kept.unusable:
            note(
                [
                    f"wrong labels in the store, left out: {len(kept.unusable)}: "
                    f"{name_some(kept.unusable)}"
                ],
                name,
            )
    if data.labels:
        parts.append(Split(data.labels, data.labels_split))
        given = load_dataset(data.labels, data.labels_split, objects=False, only_labelled=True)
        note(given.remarks, str(data.labels))
        count += len(given.images)
    return NewLabels(tuple(parts), count, until)


@step("ask for labels", cached=False, retries=5)
def ask_for_labels(version: ModelVersion, reference: Path | None, size: int) -> int:
    """Queue images for people until `size` wait to be labelled; returns how many wait."""
    waiting = len(book(version.name).waiting())
    if waiting < size and reference and store().windows(version.name, version.version):
        queue_images(version, reference, size - waiting)
    return len(book(version.name).waiting())


@step("compose dataset", cached=False)
def compose(
    name: str,
    spec: VisionSpec,
    original: OriginalData,
    new: Sequence[Split],
    data: RetrainDataInput,
) -> DatasetVersion:
    """The dataset of a retraining; the same inputs find it as it was made before."""
    folder = _datasets(name)
    pseudo = (
        pseudo_labels(
            book(name).waiting(),
            folder / "pseudo",
            about_of(spec),
            confidence=data.pseudo_confidence,
        )
        if data.pseudo_share
        else ()
    )
    return compose_dataset(
        replace(original, class_names=spec.class_names),
        [load_dataset(split.data, split.name, objects=False, only_labelled=True) for split in new],
        folder / "versions",
        pseudo=pseudo,
        selection=data,
        progress=lambda done, total: advance("comparing images", done, total),
    )


@step("mark labels learnt", cached=False, retries=5)
def mark_learnt(name: str, event: str, until: datetime) -> None:
    """Count the labels anew that came after those that were learnt from; once for each event."""
    book(name).mark_learnt(event, until)


def book(name: str) -> LabelStore:
    """The labels of a model in the store that the environment names."""
    return LabelStore(Settings.from_environment().store, name)


def about_of(spec: VisionSpec) -> LabelTask:
    """Return the task and the classes that a model's labels are about."""
    return LabelTask(spec.task, spec.class_names)


@contextmanager
def labelled_model(model: str) -> Iterator[LoadedModel]:
    """A registered version with its reference, for as long as the block lasts.

    Arguments:
        model: `NAME`, `NAME@alias` or `NAME/version`.

    Raises:
        RegistryError: there is no such version, or it has no reference.
    """
    Settings.from_environment().make_root()
    known = registry()
    version = known.get(*split_reference(model))
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        reference = require_reference(known.download_reference(version, Path(scratch)), version)
        yield load_model(known, version, Path(scratch) / "bundle", reference)


def queue_images(version: ModelVersion, reference: Path, size: int) -> int:
    """Queue images that a version saw lately; returns how many were queued.

    Raises:
        DatasetError: the store has nothing of this version.
    """
    labels = book(version.name)
    start = _latest(version)
    images = store().images(version.name, version.version, start=start)
    images = sound_rows(store(), version.name, version.version, images)
    detections = store().detections(version.name, version.version, start=start)
    known = {image.sha256 for image in labels.queue()} | labels.labels().keys()
    return (
        labels.enqueue(rank_for_labels(images, detections, reference, size=size, known=known))
        if len(images)
        else 0
    )


def _latest(version: ModelVersion) -> datetime | None:
    """The moment from which the latest windows hold no more rows than are looked at."""
    rows, start = 0, None
    for window in reversed(store().windows(version.name, version.version)):
        rows += window.images
        if start is not None and rows > _MAX_ROWS:
            break
        start = window.first
    return start


def export_queue(model: LoadedModel, output: Path, form: LabelFormat, size: int) -> Exported:
    """Hand out the best queued images, those never handed out first; fill the queue if it runs low.

    Raises:
        ConfigError: the folder holds something.
        DatasetError: there are no images to label.
    """
    labels = book(model.version.name)
    handed = labels.exported()
    missing = size - sum(image.sha256 not in handed for image in labels.waiting())
    if missing > 0 and store().windows(model.version.name, model.version.version):
        queue_images(model.version, require_reference(model.reference, model.version), missing)
    waiting = sorted(labels.waiting(), key=lambda image: image.sha256 in handed)[:size]
    if not waiting:
        raise DatasetError(
            f"images of {model.label} to label",
            found="none that are kept and not labelled",
            hint="run foveal nightly over some first",
        )
    done = export_labels(waiting, output, form, about_of(model.spec))
    labels.note_export(done.images)
    return done


def import_from(
    model: LoadedModel, path: Path, form: LabelFormat | None, *, confirmed: bool
) -> LabelImport:
    """Take labels back.

    Raises:
        DatasetError: they cannot be read, or are of no image that the model has seen.
        IncompatibleError: they have other classes than the model.
    """
    found = read_labels(path, about_of(model.spec), form)
    return import_labels(
        book(model.version.name),
        found,
        _seen(model.version.name),
        about_of(model.spec),
        confirmed=confirmed,
    )


def _seen(name: str) -> list[KnownImage]:
    """All images that any version of a model has predicted."""
    if not store().windows(name):
        return []
    rows = store().images(name, columns=["sha256", "image_id", "uri"]).to_pylist()
    return [KnownImage(row["sha256"], row["image_id"], row["uri"]) for row in rows if row["sha256"]]


def _datasets(name: str) -> Path:
    return Settings.from_environment().root / "datasets" / name
