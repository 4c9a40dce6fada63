"""Advice on findings: a rule for each finding, and nothing where nothing was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from components.contracts import EMBEDDING, Check, DriftDecision, DriftState, Verdict
from components.monitoring.alerts.rules import ACCURACY, ERRORS
from components.monitoring.drift.pairs import MISSING, Pair, label
from components.monitoring.drift.tables import family_of
from components.monitoring.report.quality import Quality
from components.monitoring.store.stored import LATENCY
from components.printing import counted

_LABELS = 400  # show a drop of accuracy by 0.05 with a power of 80 % at a level of 1 %
_FROZEN = 0.05  # share of equal files from which a source repeats itself


@dataclass(frozen=True)
class Advice:
    """Something to do, and the finding it follows from."""

    what: str
    because: str


@dataclass(frozen=True)
class _ColumnRule:
    """Advice for the case that one of some columns moved.

    Arguments:
        columns: the first of them that moved is told as the reason.
        what: to do.
        way: +1 or −1 when only a rise or a fall of the median means that; 0 for either.
        unless: columns that explain it better when they moved too.
    """

    columns: tuple[str, ...]
    what: str
    way: int = 0
    unless: tuple[str, ...] = ()


_IMAGE_RULES = (
    _ColumnRule(
        ("width", "height", "aspect", "megapixels"),
        "Find what resizes or crops the images, or which camera is new; put the usual size back if "
        "nobody meant it.",
    ),
    _ColumnRule(
        ("brightness", "contrast", "entropy"),
        "Look at the light and the exposure of the cameras: a lamp, a time of day, fog, a dirty "
        "lens or "
        "changed camera settings.",
    ),
    _ColumnRule(
        ("colourfulness", "saturation", "blue", "green", "red"),
        "Check white balance, lamps and colour profile of the cameras.",
        unless=("brightness", "contrast"),
    ),
    _ColumnRule(
        ("sharpness", "edge_density"),
        "Clean and focus the lenses; look for vibration and for exposure times that blur what "
        "moves.",
        way=-1,
        unless=("brightness", "contrast"),
    ),
    _ColumnRule(
        ("sharpness", "edge_density"),
        "Look for noise from a high gain in the dark, and for a sharpening filter that was "
        "switched on.",
        way=+1,
        unless=("brightness", "contrast"),
    ),
    _ColumnRule(
        ("blockiness",),
        "Find where the images are compressed once more on their way here, or at a lower quality.",
        way=+1,
    ),
)


_ALERTS = {
    (
        ACCURACY,
        Verdict.FAIL,
    ): "Go back to the earlier version if it still fits, or retrain with these labels.",
    (
        ACCURACY,
        Verdict.UNDECIDED,
    ): f"Label more of these images: about {_LABELS} show a drop by 0.05.",
    (
        LATENCY,
        Verdict.FAIL,
    ): "See what else runs on the machine, and whether its backend is still the one that was "
    "chosen; then measure again.",
    (ERRORS, Verdict.FAIL): "Mend the images that fail; the reasons are listed below.",
}


def advise(
    decision: DriftDecision,
    moved: Mapping[str, Pair],
    quality: Quality,
    checks: Sequence[Check] = (),
) -> tuple[Advice, ...]:
    """Derive advice from the findings, the most urgent first.

    Broken or too few images stop there: no other finding can be believed.

    Arguments:
        decision: of the policy.
        moved: the columns that drifted.
        quality: of the window's rows.
        checks: of the alerts.
    """
    urgent = [
        Advice(_ALERTS[check.name, check.verdict], check.reason)
        for check in checks
        if _is_alert(check)
    ]
    if decision.state is DriftState.DATA_FAULT:
        hint = (
            "Mend the source of these images, then run inference on them again. Do not retrain "
            "on them."
        )
        return (Advice(hint, decision.reasons[0]), *urgent)
    if decision.state is DriftState.INSUFFICIENT_DATA:
        wait = "Wait for more images, or judge a longer time range."
        return (*(Advice(wait, reason) for reason in decision.reasons[:1]), *urgent)
    found = (
        *urgent,
        *_columns(moved),
        *_content(moved),
        *_repeats(quality),
        *_next(decision, len(moved)),
    )
    return found or (Advice("Nothing to do.", decision.reasons[0] if decision.reasons else ""),)


def _is_alert(check: Check) -> bool:
    return (check.name, check.verdict) in _ALERTS


def _columns(moved: Mapping[str, Pair]) -> list[Advice]:
    found = []
    for rule in _IMAGE_RULES:
        hits = [
            name for name in rule.columns if name in moved and rule.way in (0, _way(moved[name]))
        ]
        if hits and not any(name in moved for name in rule.unless):
            found.append(_because(rule.what, hits[0], moved))
    return found


def _content(moved: Mapping[str, Pair]) -> tuple[Advice, ...]:
    """Advise on moves of predictions and embedding that the images' statistics do not explain."""
    families = {family_of(name) for name in moved}
    if "image" in families or not families:
        return ()
    if EMBEDDING in moved:
        what = (
            "Look at what the images show: light and sharpness are as usual, the scenes or the "
            "objects are not."
        )
        return (_because(what, EMBEDDING, moved),)
    name = next(iter(moved))
    if family_of(name) == EMBEDDING:
        what = (
            "Compare the model file with its original on these images: it gives numbers that "
            "are not finite."
        )
    elif name.endswith(MISSING):
        what = (
            "Look at the images in which nothing was found: they look as usual to every statistic."
        )
    else:
        what = (
            "Label these images: the model says something else of images that look the same. There "
            "may be "
            "other or new classes in front of the camera, or another model or threshold in use."
        )
    return (_because(what, name, moved),)


def _repeats(quality: Quality) -> tuple[Advice, ...]:
    if not quality.duplicates or quality.duplicates < _FROZEN * quality.rows:
        return ()
    because = (
        f"{quality.duplicates:,} of {counted(quality.rows, 'file')} are the same as another "
        "one, byte for byte"
    )
    return (
        Advice(
            "Look for a camera that is stuck, or for a source that sends its images twice.", because
        ),
    )


def _next(decision: DriftDecision, moved: int) -> tuple[Advice, ...]:
    if decision.state is DriftState.DRIFT:
        what = (
            f"If the cause is here to stay, label about {min(_LABELS, decision.window_samples)} of "
            "these images, "
            "those shown below first, and retrain; then build a new reference."
        )
        return (
            Advice(
                what,
                f"{moved} of {counted(len(decision.columns), 'column')} moved beyond the limit",
            ),
        )
    if decision.state is DriftState.WARN:
        what = "Wait for the next two windows before you retrain: one that agrees makes it a drift."
        return (Advice(what, "; ".join(decision.reasons[:2])),)
    return ()


def _because(what: str, name: str, moved: Mapping[str, Pair]) -> Advice:
    return Advice(what, f"{label(name)}: {moved[name].describe()}")


def _way(pair: Pair) -> int:
    """Return +1 where the column's median rose, −1 where it fell, else 0."""
    return int(np.sign(np.median(pair.window) - np.median(pair.reference)))
