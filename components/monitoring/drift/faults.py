"""Images that are broken, not different: unreadable files, blank frames, frames of unknown size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.monitoring.drift.tables import DriftTable
from components.printing import counted
from components.statistics.intervals import wilson

BLANK_CONTRAST = 2.0  # grey levels; below, nothing is to be seen
_KNOWN_SHARE = 0.005  # of the reference that a size makes up to be known
# of the reference whose size its other images do not know; a source with more has no size of its
# own
_VARIED = 0.01


@dataclass(frozen=True)
class _Fault:
    what: str
    count: int
    total: int
    usual: float


def data_faults(
    reference: DriftTable, window: DriftTable, *, share: float, confidence: float = 0.99
) -> list[str]:
    """Return the data faults of a window, one line each; empty when there are none.

    Arguments:
        reference: the accepted rows.
        window: the rows to judge.
        share: how much larger than in the reference the share of broken images may be; what counts
            is the lower bound of its interval, so that one bad file among few is no fault.
        confidence: of that bound.
    """
    total = window.samples + window.failed
    faults = [_Fault("cannot be read or predicted", window.failed, total, _failed_share(reference))]
    blank = [table.columns["contrast"] < BLANK_CONTRAST for table in (reference, window)]
    faults.append(_Fault("are blank", int(blank[1].sum()), window.samples, float(blank[0].mean())))
    if (unknown := _unknown_sizes(reference, window, confidence)) is not None:
        faults.append(unknown)
    return [
        f"{fault.count} of {counted(fault.total, 'image')} ({fault.count / fault.total:.0%}) "
        f"{fault.what}: data fault"
        for fault in faults
        if fault.count and _bounds(fault.count, fault.total, confidence)[0] > fault.usual + share
    ]


def _bounds(count: int, total: int, confidence: float) -> tuple[float, float]:
    """Of a share, each one-sided, by Wilson's score interval."""
    interval = wilson(count / total, total, 2 * confidence - 1)
    return interval.low, interval.high


def _failed_share(table: DriftTable) -> float:
    return table.failed / max(1, table.samples + table.failed)


def _unknown_sizes(reference: DriftTable, window: DriftTable, confidence: float) -> _Fault | None:
    """Images of a size that hardly any image of the reference has; None where sizes vary anyway.

    How many are usual is what each image of the reference says of the others, left out itself
    (Good, Biometrika 40, 1953): the share of sizes that a sample does not hold.
    """
    sizes, counts = np.unique(_sizes(reference), axis=0, return_counts=True)
    least = max(1.0, _KNOWN_SHARE * reference.samples)
    alone = int(counts[counts - 1 < least].sum())
    if not reference.samples or not window.samples or alone > _VARIED * reference.samples:
        return None
    known = (_sizes(window)[:, None] == sizes[counts >= least][None]).all(axis=2).any(axis=1)
    what, usual = (
        "have a size that the reference does not know",
        _bounds(alone, reference.samples, confidence)[1],
    )
    return _Fault(what, int((~known).sum()), window.samples, usual)


def _sizes(table: DriftTable) -> npt.NDArray[np.float64]:
    return np.stack([table.columns["width"], table.columns["height"]], axis=1)
