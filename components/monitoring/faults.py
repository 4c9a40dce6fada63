"""Images that are broken, not different: unreadable files, blank frames, frames of an unknown size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.monitoring.tables import DriftTable

BLANK_CONTRAST = 2.0  # grey levels; below, nothing is to be seen
_FEW_SIZES = 20  # a source with more sizes has no size of its own
_KNOWN_SHARE = 0.005  # of the reference that a size makes up to be known


@dataclass(frozen=True)
class _Fault:
    what: str
    count: int
    total: int
    usual: float


def data_faults(reference: DriftTable, window: DriftTable, *, share: float, confidence: float = 0.99) -> list[str]:
    """What is broken in a window, one line each; nothing when nothing is.

    Arguments:
        reference: the accepted rows.
        window: the rows to judge.
        share: how much larger than in the reference the share of broken images may be; what counts is the lower
            bound of its interval, so that one bad file among few is no fault.
        confidence: of that bound.
    """
    total = window.samples + window.failed
    faults = [_Fault("cannot be read or predicted", window.failed, total, _failed_share(reference))]
    blank = [table.columns["contrast"] < BLANK_CONTRAST for table in (reference, window)]
    faults.append(_Fault("are blank", int(blank[1].sum()), window.samples, float(blank[0].mean())))
    if (unknown := _unknown_size(reference, window)) is not None:
        faults.append(_Fault("have a size that the reference does not know", int(unknown.sum()), window.samples, 0.0))
    return [
        f"{fault.count} of {fault.total} images ({fault.count / fault.total:.0%}) {fault.what}: data fault"
        for fault in faults
        if fault.count and _lower_bound(fault, confidence) > fault.usual + share
    ]


def _lower_bound(fault: _Fault, confidence: float) -> float:
    """Of the share, by Wilson's score interval."""
    from scipy.stats import binomtest

    result = binomtest(fault.count, fault.total, alternative="greater")
    return float(result.proportion_ci(confidence, method="wilson").low)


def _failed_share(table: DriftTable) -> float:
    return table.failed / max(1, table.samples + table.failed)


def _unknown_size(reference: DriftTable, window: DriftTable) -> npt.NDArray[np.bool_] | None:
    """Which images have a size that no image of the reference has; None where sizes vary anyway."""
    sizes, counts = np.unique(_sizes(reference), axis=0, return_counts=True)
    if len(sizes) > _FEW_SIZES:
        return None
    known = sizes[counts >= _KNOWN_SHARE * reference.samples]
    return np.asarray(~(_sizes(window)[:, None] == known[None]).all(axis=2).any(axis=1))


def _sizes(table: DriftTable) -> npt.NDArray[np.float64]:
    return np.stack([table.columns["width"], table.columns["height"]], axis=1)
