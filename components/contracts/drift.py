"""Drift of a window: columns, the decision, the report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path


class DriftState(StrEnum):
    """Verdict of the drift policy on a window of images."""

    OK = "ok"
    WARN = "warn"
    DRIFT = "drift"
    INSUFFICIENT_DATA = "insufficient_data"
    DATA_FAULT = "data_fault"  # the images are broken, not different: nothing to learn from


@dataclass(frozen=True)
class ColumnDrift:
    """Drift of a column: its distance, its threshold, and the p-value after control of the family.

    Arguments:
        column: its name.
        distance: 0–1, of what exceeds `smallest_change`.
        threshold: the distance from which on it has moved.
        p_value: None where there was nothing to test.
        drifted: whether it has moved.
        smallest_change: in the column's own unit; values that differ by less count as equal.
    """

    column: str
    distance: float
    threshold: float
    p_value: float | None
    drifted: bool
    smallest_change: float = 0.0


@dataclass(frozen=True)
class DriftDecision:
    """Decision of the drift policy on a window, with its reasons.

    Arguments:
        state: the verdict.
        reasons: one line each, the weightiest first.
        columns: what was compared, the farthest beyond its limit first.
        reference_samples: images of the reference.
        window_samples: images of the window that have a prediction.
        raised: some column moved beyond its limit in this window, and its images are not broken; it
            takes more than one such window to be a drift.
        fires: this drift is news, and what waits for drift should be told; false while an earlier
            one cools down.
        condition: which of the conditions that the reference knows, such as day and night, the
            window is nearest to.
    """

    state: DriftState
    reasons: tuple[str, ...]
    columns: tuple[ColumnDrift, ...]
    reference_samples: int
    window_samples: int
    raised: bool = False
    fires: bool = False
    condition: str = ""


@dataclass(frozen=True)
class DriftReport:
    """A drift report.

    Arguments:
        html: the page to open first.
        json: the same for machines.
        decision: what it says.
        evidently: Evidently's own page beside it; None for a window of which it shows nothing.
    """

    html: Path
    json: Path
    decision: DriftDecision
    evidently: Path | None = None

    def at(self, folder: Path) -> DriftReport:
        """The same report in a copy of its folder."""
        beside = folder / self.evidently.name if self.evidently else None
        return replace(
            self, html=folder / self.html.name, json=folder / self.json.name, evidently=beside
        )
