"""Screens of the label commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from components.datasets.formats import Exported, LabelFormat
from components.datasets.label_studio import CONFIG, TASKS
from components.labelling import LabelImport, LabelStatus
from components.printing import counted
from flows.cli.screens.console import Part

_SHOWN = 5


def exported(done: Exported, form: LabelFormat) -> Iterator[Part]:
    """Show a finished export, and what to do with it."""
    yield f"{counted(len(done.images), 'image')} to label in {done.folder}"
    yield from _some("left out", done.gone)
    if form is LabelFormat.LABEL_STUDIO:
        yield (
            f"start Label Studio with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true "
            f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={done.folder.resolve()}, take {CONFIG} as the "
            "labelling "
            f"configuration, add {done.folder.resolve() / 'images'} as local storage, and import "
            f"{TASKS}"
        )
    else:
        counts = "an image whose labels stay as they are counts only with --confirmed"
        yield f"correct the labels in place; {counts}"


def imported(done: LabelImport) -> Iterator[Part]:
    """Show a finished import."""
    labelled = done.added + done.changed + done.same
    added = counted(done.added, "label")
    yield f"{added} added, {done.changed} changed, {done.same} known already"
    objects = f"{labelled - done.empty} with objects"
    yield f"  images: {objects}, {done.empty} labelled as empty, {done.unlabelled} unlabelled"
    yield from (f"  {remark}" for remark in done.remarks)
    for what, images in (
        ("turned as EXIF says, as the labels were made on the stored pixels", done.turned),
        ("left as the model labelled it; pass --confirmed if somebody looked", done.unconfirmed),
        ("labelled more than once, the last counts", done.repeated),
        ("labelled anew since, that label stays", done.older),
        ("not an image that this model has seen", done.unknown),
        ("refused, the label is wrong", done.refused),
        ("not taken, the image is gone", done.gone),
    ):
        yield from _some(what, images)


def status(done: LabelStatus) -> Iterator[Part]:
    """Show how many images are queued, labelled and missing."""
    queued = counted(done.queued, "image")
    yield f"{queued} queued, {done.exported} handed out, {done.waiting} without a label"
    labelled = f"{done.labelled} labelled, {done.empty} of them as empty"
    yield f"{labelled}, {done.fresh} since the last retraining"
    yield "  " + ", ".join(f"{name}: {count}" for name, count in done.classes.items())
    yield f"{done.missing} more are needed" if done.missing else "enough for a retraining"
    wrong = "with a wrong label in the store, which is left out; label it anew and import it"
    yield from _some(wrong, done.unusable)


def _some(what: str, lines: Iterable[str]) -> Iterator[Part]:
    """Show a few of many remarks of one kind."""
    lines = list(lines)
    if lines:
        yield f"  {counted(len(lines), 'image')} {what}:"
    for line in lines[:_SHOWN]:
        yield f"    {line}"
    if len(lines) > _SHOWN:
        yield f"    and {len(lines) - _SHOWN} more"
