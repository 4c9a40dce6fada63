"""Single images and whole windows unlike the accepted ones, though nothing need have drifted.

Robust z-scores: the distance from the median in units of the median absolute deviation, as 1.4826
of these make a standard deviation (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.contracts.arrays import Floats
from components.errors import ConfigError
from components.monitoring.drift.distances import smallest_change
from components.printing import counted

Columns = Mapping[str, Floats]

ERRORS = "error_share"  # in the summary of a window
WINDOWS_FLOOR = 8  # accepted windows below which their spread says nothing
_DEVIATION = 1.4826
_USUAL = 3.5  # a robust z up to which a value is ordinary (Iglewicz and Hoaglin)
_TAIL = 0.99  # share of the reference that is to lie within it, on each side
_FARTHEST = 100.0  # beyond this one z says no more than another
_VALUES_FLOOR = 50
_MAX_WINDOWS = 200  # that a window is compared with: twice as many as the level needs
# standard error of a median of normal values, in units of that of their mean
_MEDIAN_ERROR = 1.2533
_FOLDS = 10


@dataclass(frozen=True)
class Deviation:
    """One value and its robust z; a negative one lies below the median."""

    column: str
    value: float
    z: float


@dataclass(frozen=True)
class Anomaly:
    """An unusual image; `deviations` are those beyond the limit, by column, the farthest first."""

    image_id: str
    deviations: tuple[Deviation, ...]


@dataclass(frozen=True)
class Anomalies:
    """Unusual images or values, the farthest first, and the limit of |z| that decided.

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
    """Scale of a column's ordinary values: its median, and one z's width below and above it."""

    median: float
    below: float
    above: float

    @classmethod
    def of(cls, column: str, values: Floats) -> _Scale | None:
        """From a reference; None for a column that is one and the same value, or hardly has any.

        Each side has a scale of its own, since most columns are skewed or end at 0 or 1. It is the
        median absolute deviation, or as much more as the column's tail asks for: heavy tails and
        many equal values are ordinary where the reference has them. A side on which the reference
        has nothing takes the other's. What is nearer than the column's smallest change is ordinary.
        """
        known = values[np.isfinite(values)]
        if len(known) < _VALUES_FLOOR:
            return None
        median = float(np.median(known))
        deviation = _DEVIATION * float(np.median(np.abs(known - median)))
        tails = (
            float(np.quantile(np.clip(sign * (known - median), 0, None), _TAIL)) for sign in (-1, 1)
        )
        below, above = (max(deviation, tail / _USUAL) if tail > 0 else 0.0 for tail in tails)
        if not below and not above:
            return None
        least = smallest_change(column, known) / _USUAL
        return cls(median, max(below or above, least), max(above or below, least))

    def z(self, values: Floats) -> Floats:
        """Robust z of each value; 0 for a missing one."""
        away = np.nan_to_num(values - self.median, nan=0.0)
        return np.asarray(
            np.clip(away / np.where(away < 0, self.below, self.above), -_FARTHEST, _FARTHEST)
        )


def find_anomalies(
    reference: Columns, window: Columns, image_ids: Sequence[str], *, share: float = 0.005
) -> Anomalies:
    """Rank the images of a window that are unlike nearly all of the reference.

    An image is as unusual as its farthest column. The limit is what `share` of the reference
    exceeds, with the rank that conformal prediction takes (Laxhammar and Falkman, Ann. Math. Artif.
    Intell. 74, 2015), so about as many ordinary images are flagged, however the columns are
    distributed and hang together; it is never below 3.5.

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
        return Anomalies(
            (),
            None,
            f"the reference has {counted(len(known), 'image')}, {int(np.ceil(1 / share))} are "
            "needed",
        )
    limit = max(_USUAL, float(np.sort(known)[-flagged]))
    found = _beyond(scales, window, image_ids, limit)
    return Anomalies(found, limit)


def _scales(columns: Columns) -> dict[str, _Scale]:
    return {name: scale for name, values in columns.items() if (scale := _Scale.of(name, values))}


def _farthest_z(
    scales: Mapping[str, _Scale], columns: Columns, rows: npt.NDArray[np.bool_]
) -> Floats:
    """The largest |z| of each chosen row over all columns."""
    z = [np.abs(scale.z(columns[name][rows])) for name, scale in scales.items()]
    return np.max(z, axis=0) if z else np.zeros(int(rows.sum()))


def _out_of_fold(columns: Columns) -> Floats:
    """Measure how far each row of the reference is, by scales fitted without it.

    By scales that they made themselves the farthest rows look nearer than new ones. For one in ten
    references of 300 of the demo's scenes more than 0.9 % of 450 held-out ones were then flagged;
    this way 0.2 %, and 0.06 % on average.
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
    """Summarise a window for later ones: each column's median, and the share of failed images.

    Arguments:
        columns: (n,) values, NaN where there is none, such as image statistics, predictions and
            `inference_ms`.
        images: all that inference was asked for, at least 1.
        failed: those without a prediction.
    """
    medians = {
        name: float(np.median(known))
        for name, values in columns.items()
        if len(known := values[np.isfinite(values)])
    }
    return {**medians, ERRORS: failed / images}


def median_errors(reference: Columns, *, images: int) -> dict[str, float]:
    """Return the standard deviation of each column's median from window to window by chance alone.

    It is that of a median of so many draws from the reference: a normal column's, or as much more
    as its quantiles ask for, since the median of a few sizes or whole numbers moves by steps; and
    large enough for the column's smallest change to be usual. Of a column that is one and the same
    value it is 0.

    Arguments:
        reference: column → (m,) values, NaN where there is none.
        images: of a window.
    """
    found = {}
    for name, values in reference.items():
        known = values[np.isfinite(values)]
        if len(known):
            reach = 3 * 0.5 / np.sqrt(images)  # three standard errors of the share that lies below
            low, median, high = np.quantile(known, np.clip((0.5 - reach, 0.5, 0.5 + reach), 0, 1))
            steps = max(high - median, median - low) / 3
            error = float(max(_MEDIAN_ERROR * known.std() / np.sqrt(images), steps))
            found[name] = max(error, smallest_change(name, known) / _USUAL) if error else 0.0
    return {**found, ERRORS: 1 / images}


def check_window(
    summary: Mapping[str, float],
    accepted: Sequence[Mapping[str, float]],
    *,
    errors: Mapping[str, float],
    level: float = 0.01,
) -> tuple[tuple[Deviation, ...], str]:
    """Compare a window with earlier accepted ones.

    A window is as unusual as its farthest column. Each accepted window is compared with all the
    others in the same way, and the limit is what `level` of them exceed, with the rank that
    conformal prediction takes: windows that are alike in distribution are then called unusual that
    seldom, whatever the distribution is. That needs 1 / level − 1 = 99 windows. Of fewer the
    farthest one decides, with a margin that is a factor of two at eight windows and shrinks as they
    become more; the level is then about held and not for sure. It is never below 3.5.

    Arguments:
        summary: of the window, as `summarise_window` gives it.
        accepted: summaries of earlier windows, in order of time; the latest 200 count.
        errors: what `median_errors` says; a column that varies less than that is taken to vary that
            much, and a column that is not there is passed over.
        level: share of ordinary windows in which anything is found.

    Returns:
        The unusual columns, the farthest first; and why nothing was looked for, empty when it was.
    """
    accepted = accepted[-_MAX_WINDOWS:]
    if len(accepted) < WINDOWS_FLOOR:
        return (), f"{counted(len(accepted), 'accepted window')}, {WINDOWS_FLOOR} are needed"
    histories = {
        name: np.array([one.get(name, np.nan) for one in accepted])
        for name in summary
        if name in errors
    }
    usable = {
        name: values for name, values in histories.items() if _is_usable(values, errors[name])
    }
    among = [
        max(
            abs(_z_among(np.delete(values, k), values[k], errors[name]))
            for name, values in usable.items()
        )
        for k in range(len(accepted) if usable else 0)
    ]
    limit = _limit(np.array(among), level)
    z = {name: _z_among(values, summary[name], errors[name]) for name, values in usable.items()}
    found = [Deviation(name, summary[name], z[name]) for name in usable if abs(z[name]) > limit]
    return tuple(sorted(found, key=lambda deviation: -abs(deviation.z))), ""


def _is_usable(values: Floats, error: float) -> bool:
    """Tell whether enough windows have a column.

    One that is constant in the reference must be constant in them.
    """
    known = values[np.isfinite(values)]
    return len(known) >= WINDOWS_FLOOR and (error > 0 or bool(np.ptp(known) == 0))


def _z_among(values: Floats, value: float, error: float) -> float:
    """Robust z of a value among a few, which vary by at least `error`; 0 for a missing one."""
    known = values[np.isfinite(values)]
    median = float(np.median(known))
    away = value - median
    if not abs(away) > 1e-9 * max(1.0, abs(median)):
        return 0.0
    deviation = max(error, _DEVIATION * float(np.median(np.abs(known - median))))
    return float(np.clip(away / deviation if deviation else away * np.inf, -_FARTHEST, _FARTHEST))


def _limit(among: Floats, level: float) -> float:
    """Find the |z| that makes a window unusual, from each accepted window's among the others."""
    count = len(among)
    rank = int(np.ceil((1 - level) * (count + 1)))
    limit = (
        np.sort(among)[rank - 1]
        if rank <= count
        else max(among, default=0.0) * (1 + WINDOWS_FLOOR / max(count, 1))
    )
    return float(np.clip(limit, _USUAL, _FARTHEST - 1))
