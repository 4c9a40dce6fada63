"""Single images, and whole windows, that are unlike the accepted ones although nothing need have drifted.

Robust z-scores: the distance from the median in units of the median absolute deviation, as 1.4826 of these make a
standard deviation (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from components.errors import ConfigError

Floats = npt.NDArray[np.float64]
Columns = Mapping[str, Floats]

WINDOWS_FLOOR = 8  # accepted windows below which their spread says nothing
_DEVIATION = 1.4826
_USUAL = 3.5  # a robust z up to which a value is ordinary (Iglewicz and Hoaglin)
_TAIL = 0.99  # share of the reference that is to lie within it, on each side
_FARTHEST = 100.0  # beyond this one z says no more than another
_VALUES_FLOOR = 50
_SIMULATED = 50_000
_FOLDS = 10


@dataclass(frozen=True)
class Deviation:
    """One value and its robust z; a negative one lies below the median."""

    column: str
    value: float
    z: float


@dataclass(frozen=True)
class Anomaly:
    """An unusual image; `deviations` are those of its columns that are beyond the limit, the farthest first."""

    image_id: str
    deviations: tuple[Deviation, ...]


@dataclass(frozen=True)
class Anomalies:
    """What is unusual, the farthest first, and the limit of |z| that decided.

    Arguments:
        found: images that are beyond the limit.
        limit: None when `reason` says why nothing was looked for.
        reason: empty when it was.
    """

    found: tuple[Anomaly, ...]
    limit: float | None
    reason: str = ""


@dataclass(frozen=True)
class _Scale:
    """Where a column's ordinary values lie: its median, and what one z is worth below and above it."""

    median: float
    below: float
    above: float

    @classmethod
    def of(cls, values: Floats) -> _Scale | None:
        """From a reference; None for a column that is one and the same value, or hardly has any.

        Each side has a scale of its own, since most columns are skewed or end at 0 or 1. It is the median absolute
        deviation, or as much more as the column's tail asks for: heavy tails and many equal values are ordinary
        where the reference has them. A side on which the reference has nothing takes the other's.
        """
        known = values[np.isfinite(values)]
        if len(known) < _VALUES_FLOOR:
            return None
        median = float(np.median(known))
        deviation = _DEVIATION * float(np.median(np.abs(known - median)))
        tails = (float(np.quantile(np.clip(sign * (known - median), 0, None), _TAIL)) for sign in (-1, 1))
        below, above = (max(deviation, tail / _USUAL) if tail > 0 else 0.0 for tail in tails)
        return cls(median, below or above, above or below) if below or above else None

    def z(self, values: Floats) -> Floats:
        """Robust z of each value; 0 for a missing one."""
        away = np.nan_to_num(values - self.median, nan=0.0)
        return np.asarray(np.clip(away / np.where(away < 0, self.below, self.above), -_FARTHEST, _FARTHEST))


def find_anomalies(reference: Columns, window: Columns, image_ids: Sequence[str], *, share: float = 0.005) -> Anomalies:
    """Rank the images of a window that are unlike nearly all of the reference.

    An image is as unusual as its farthest column. The limit is what `share` of the reference exceeds, with the rank
    that conformal prediction takes (Laxhammar and Falkman, Ann. Math. Artif. Intell. 74, 2015), so about as many
    ordinary images are flagged, however the columns are distributed and hang together; it is never below 3.5.

    Arguments:
        reference: column → (m,) values, NaN where there is none.
        window: column → (n,) values; columns that the reference lacks are passed over.
        image_ids: (n,) of the window.
        share: of ordinary images that may be flagged, in 0–1; the reference needs 1 / share images.

    Raises:
        ConfigError: `share` is out of its range.
    """
    if not 0 < share < 1:
        raise ConfigError("a share of ordinary images between 0 and 1", found=str(share))
    shared = {name: reference[name] for name in window if name in reference}
    scales = _scales(shared)
    if not scales:
        return Anomalies((), None, "no column of the reference has enough values and any spread")
    known = _out_of_fold(shared)
    flagged = int(share * (len(known) + 1))
    if not flagged:
        return Anomalies((), None, f"the reference has {len(known)} images, {int(np.ceil(1 / share))} are needed")
    limit = max(_USUAL, float(np.sort(known)[-flagged]))
    found = _beyond(scales, window, image_ids, limit)
    return Anomalies(found, limit)


def _scales(columns: Columns) -> dict[str, _Scale]:
    return {name: scale for name, values in columns.items() if (scale := _Scale.of(values))}


def _farthest_z(scales: Mapping[str, _Scale], columns: Columns, rows: npt.NDArray[np.bool_]) -> Floats:
    """The largest |z| of each chosen row over all columns."""
    z = [np.abs(scale.z(columns[name][rows])) for name, scale in scales.items()]
    return np.max(z, axis=0) if z else np.zeros(int(rows.sum()))


def _out_of_fold(columns: Columns) -> Floats:
    """How far each row of the reference is, by scales that it had no part in.

    By scales that they made themselves the farthest rows look nearer than new ones. For one in ten references of 300 of
    the demo's scenes more than 0.9 % of 450 held-out ones were then flagged; this way 0.2 %, and 0.06 % on average.
    """
    count = len(next(iter(columns.values())))
    fold = np.arange(count) % _FOLDS
    known = np.zeros(count)
    for number in range(_FOLDS):
        rest = _scales({name: values[fold != number] for name, values in columns.items()})
        known[fold == number] = _farthest_z(rest, columns, fold == number)
    return known


def _beyond(
    scales: Mapping[str, _Scale], window: Columns, image_ids: Sequence[str], limit: float
) -> tuple[Anomaly, ...]:
    names = list(scales)
    z = np.stack([scales[name].z(window[name]) for name in names], axis=1)
    farthest = np.abs(z).max(axis=1, initial=0)
    ranked = [row for row in np.argsort(-farthest, kind="stable") if farthest[row] > limit]
    return tuple(
        Anomaly(
            image_ids[row],
            tuple(
                Deviation(names[k], float(window[names[k]][row]), float(z[row, k]))
                for k in np.argsort(-np.abs(z[row]), kind="stable")
                if abs(z[row, k]) > limit
            ),
        )
        for row in ranked
    )


def summarise_window(columns: Columns, *, images: int, failed: int) -> dict[str, float]:
    """What a window is remembered by: the median of each column, and the share of images that failed.

    Arguments:
        columns: (n,) values, NaN where there is none, such as image statistics, predictions and `inference_ms`.
        images: all that inference was asked for, at least 1.
        failed: those without a prediction.
    """
    medians = {
        name: float(np.median(known)) for name, values in columns.items() if len(known := values[np.isfinite(values)])
    }
    return {**medians, "error_share": failed / images}


def check_window(
    summary: Mapping[str, float], accepted: Sequence[Mapping[str, float]], *, level: float = 0.01
) -> tuple[tuple[Deviation, ...], str]:
    """Compare a window with earlier accepted ones.

    The limit is that of normal medians, by simulation, for so many windows and columns: eight windows allow a far
    larger z than eighty.

    Arguments:
        summary: of the window, as `summarise_window` gives it.
        accepted: summaries of earlier windows.
        level: share of ordinary windows in which anything is found.

    Returns:
        The unusual columns, the farthest first; and why nothing was looked for, empty when it was.
    """
    if len(accepted) < WINDOWS_FLOOR:
        return (), f"{len(accepted)} accepted windows, {WINDOWS_FLOOR} are needed"
    histories = {
        name: values
        for name in summary
        if len(values := np.array([one[name] for one in accepted if name in one])) >= WINDOWS_FLOOR
    }
    found = []
    for name, values in histories.items():
        z = _z_among(values, summary[name])
        if z is not None and abs(z) > _limit(len(values), len(histories), level):
            found.append(Deviation(name, summary[name], z))
    return tuple(sorted(found, key=lambda deviation: -abs(deviation.z))), ""


def _z_among(values: Floats, value: float) -> float | None:
    """Robust z of a value among a few; None where these are all but one and the same."""
    median = float(np.median(values))
    deviation = _DEVIATION * float(np.median(np.abs(values - median)))
    if deviation <= 1e-9 * max(1.0, abs(median)):
        return None
    return float(np.clip((value - median) / deviation, -_FARTHEST, _FARTHEST))


@cache
def _limit(windows: int, columns: int, level: float) -> float:
    """The |z| that one more normal value exceeds with a chance of `level` / `columns` (Bonferroni)."""
    drawn = np.random.default_rng(0).normal(size=(_SIMULATED, windows + 1))
    medians = np.median(drawn[:, 1:], axis=1)
    deviations = _DEVIATION * np.median(np.abs(drawn[:, 1:] - medians[:, None]), axis=1)
    limit = np.quantile(np.abs(drawn[:, 0] - medians) / deviations, 1 - level / columns)
    return float(min(limit, _FARTHEST - 1))
