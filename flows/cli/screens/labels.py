"""Screen output of the label commands."""

from __future__ import annotations

from collections.abc import Iterable

from components.datasets.formats import Exported, LabelFormat
from components.datasets.label_studio import CONFIG, TASKS
from components.labelling import LabelImport, LabelStatus
from components.printing import counted
from flows.cli.screens.console import make_console

_SHOWN = 5

_out = make_console()


def exported(done: Exported, form: LabelFormat) -> None:
    """A finished export, and what to do with it."""
    _line(f"{counted(len(done.images), 'image')} to label in {done.folder}")
    _some("left out", done.gone)
    if form is LabelFormat.LABEL_STUDIO:
        _line(
            f"start Label Studio with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true "
            f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={done.folder.resolve()}, take {CONFIG} as the labelling "
            f"configuration, add {done.folder.resolve() / 'images'} as local storage, and import {TASKS}"
        )
    else:
        _line("correct the labels in place; an image whose labels stay as they are counts only with --confirmed")


def imported(done: LabelImport) -> None:
    """A finished import."""
    labelled = done.added + done.changed + done.same
    _line(f"{counted(done.added, 'label')} added, {done.changed} changed, {done.same} known already")
    _line(
        f"  images: {labelled - done.empty} with objects, {done.empty} labelled as empty, {done.unlabelled} unlabelled"
    )
    for remark in done.remarks:
        _line(f"  {remark}")
    _some("turned as EXIF says, as the labels were made on the stored pixels", done.turned)
    _some("left as the model labelled it; pass --confirmed if somebody looked", done.unconfirmed)
    _some("labelled more than once, the last counts", done.repeated)
    _some("labelled anew since, that label stays", done.older)
    _some("not an image that this model has seen", done.unknown)
    _some("refused, the label is wrong", done.refused)
    _some("not taken, the image is gone", done.gone)


def status(done: LabelStatus) -> None:
    """Print how many images are queued, labelled and missing."""
    _line(f"{counted(done.queued, 'image')} queued, {done.exported} handed out, {done.waiting} without a label")
    _line(f"{done.labelled} labelled, {done.empty} of them as empty, {done.fresh} since the last retraining")
    counts = ", ".join(f"{name}: {count}" for name, count in done.classes.items())
    _line(f"  {counts}")
    _line(f"{done.missing} more are needed" if done.missing else "enough for a retraining")
    _some("with a wrong label in the store, which is left out; label it anew and import it", done.unusable)


def _some(what: str, lines: Iterable[str]) -> None:
    """A few of many remarks of one kind."""
    lines = list(lines)
    if lines:
        _line(f"  {len(lines)} {'image' if len(lines) == 1 else 'images'} {what}:")
    for line in lines[:_SHOWN]:
        _line(f"    {line}")
    if len(lines) > _SHOWN:
        _line(f"    and {len(lines) - _SHOWN} more")


def _line(text: str) -> None:
    _out.print(text, highlight=False, markup=False, soft_wrap=True)
