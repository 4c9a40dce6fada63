"""Bring the columns of reference and window together, so that each can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from components.errors import IncompatibleError
from components.monitoring.drift.dependence import Sequences, autocorrelation_time, neighbour_noise
from components.monitoring.drift.distances import (
    MAX_VECTORS,
    Comparison,
    compare_categories,
    compare_numbers,
    compare_vectors,
    smallest_change,
)
from components.monitoring.drift.embeddings import outlying, reduced, smallest_distance
from components.monitoring.drift.tables import (
    NOTHING,
    PREDICTION_PREFIX,
    Column,
    DriftTable,
    blank_vectors,
    is_prediction,
)

MISSING = " (missing)"  # ends the name of the column that says where another one has no value
_RANGE = (0.01, 0.99)  # of the reference that counts as its range
_APART, _VECTORS_APART = 0.95, 0.6  # distances of samples that have nothing in common
_KERNEL_WIDTH = 3.5  # a change of vectors by the smallest that matters is then a distance of 0.2


@dataclass(frozen=True, eq=False)
class Pair:
    """A column in both tables: (m,) and (n,), finite float64 or str, or (m, d) and (n, d) float64.

    `sequences` labels the rows of each, in the order in which they were taken, as
    `DriftTable.sequences` does; None takes them for independent.
    """

    column: str
    reference: Column
    window: Column
    sequences: tuple[Sequences, Sequences] | None = None

    @property
    def is_category(self) -> bool:
        """Tell whether the column holds names instead of numbers."""
        return self.reference.dtype.kind == "U"

    @property
    def is_vector(self) -> bool:
        """Tell whether the column holds a vector in each row."""
        return self.reference.ndim == 2

    def compare(self) -> Comparison:
        """Measure the distance beyond what is too small to matter and what neighbouring rows share.

        Of images it does not matter how many are independent where all of them have nothing in
        common with the reference's, or where some are farther out than its own range explains: what
        decides is the more certain of the two ways to look. A few objects that stay in the picture
        are no change: of predictions that takes as many independent rows as any test.
        """
        if self.is_vector:
            return self._compare_vectors()
        if self.is_category:
            return compare_categories(self.reference, self.window).dependent(self._dependence(0.0))
        change = self.smallest_change
        factor = self._dependence(change)
        near = compare_numbers(self.reference, self.window, change)
        if factor <= 1 or near.p_value is None:
            return near
        if is_prediction(self.column):
            return near.dependent(factor)
        low, high = np.quantile(self.reference, _RANGE)
        far = compare_numbers(
            self.reference, self.window, change + max(change, float(high - low) / 2)
        )
        return min((near.dependent(factor, apart=_APART), far), key=lambda one: one.p_value or 0.0)

    def _compare_vectors(self) -> Comparison:
        reference, window = reduced(self.reference, self.window)
        halved = self.sequences and (self.sequences[0][1::2], self.sequences[1])
        pair = replace(self, reference=reference, window=window, sequences=halved)
        change = max(smallest_distance(self.reference), pair._neighbour_noise())
        compared = compare_vectors(reference, window, _KERNEL_WIDTH * change)
        return compared.dependent(pair._dependence(change, MAX_VECTORS), apart=_VECTORS_APART)

    @property
    def smallest_change(self) -> float:
        """Return what numbers may move by without meaning, in the column's unit; 0 for others.

        It is what the column is known for, or the noise between neighbouring frames of the
        reference if that is more.
        """
        if self.is_category or self.is_vector:
            return 0.0
        return max(smallest_change(self.column, self.reference), self._neighbour_noise())

    def _neighbour_noise(self) -> float:
        """Return the noise of the reference where neighbouring rows are alike.

        It is at most half of the reference's spread, so that a change shows.
        """
        if self.sequences is None or autocorrelation_time(self.reference, self.sequences[0]) <= 1:
            return 0.0
        spread = float(np.linalg.norm(self.reference.reshape(len(self.reference), -1).std(axis=0)))
        return min(neighbour_noise(self.reference, self.sequences[0]), spread / 2)

    def _dependence(self, change: float, most: int | None = None) -> float:
        """The factor that `Comparison.dependent` takes.

        A window that shows one state of many, such as one object that stays, has no variation to
        tell its dependence by: it is taken to be at least as dependent as the reference.

        Arguments:
            change: variation below it is noise.
            most: rows of each side that are compared; None is all.
        """
        if self.sequences is None:
            return 1.0
        usual = autocorrelation_time(self.reference, self.sequences[0], change)
        times = usual, max(usual, autocorrelation_time(self.window, self.sequences[1], change))
        counts = [min(len(values), most or len(values)) for values in (self.reference, self.window)]
        worth = [
            min(n, len(v) / t)
            for n, v, t in zip(counts, (self.reference, self.window), times, strict=True)
        ]
        return float(np.sqrt(sum(1 / n for n in worth) / sum(1 / n for n in counts)))

    def shares(
        self,
    ) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the categories (k,) and their shares (k,) in the reference and in the window."""
        names, rows = np.unique(np.concatenate([self.reference, self.window]), return_inverse=True)
        m = len(self.reference)
        before, after = (
            np.bincount(part, minlength=len(names)) / len(part) for part in (rows[:m], rows[m:])
        )
        return names, before, after

    def describe(self) -> str:
        """Describe the change in the unit of the column, such as ``"median 112 → 31"``."""
        if self.is_vector:
            far = outlying(self.reference, self.window)
            return f"{far:.0%} of the images lie farther out than 99% of the reference"
        if self.is_category:
            names, before, after = self.shares()
            # rounded: of two categories both change alike
            k = int(np.abs(after - before).round(9).argmax())
            return f"{names[k]}: {before[k]:.0%} → {after[k]:.0%}"
        quartiles = [
            np.quantile(values, (0.25, 0.5, 0.75)) for values in (self.reference, self.window)
        ]
        (low, middle, high), (new_low, new_middle, new_high) = (
            [short(value) for value in row] for row in quartiles
        )
        if middle != new_middle:
            return f"median {middle} → {new_middle}"
        if (low, high) != (new_low, new_high):
            return f"median stays {middle}, middle half {low}–{high} → {new_low}–{new_high}"
        return f"median stays {middle}"


def label(column: str) -> str:
    """Return a column's spoken name: ``"confidence mean"`` for ``prediction_confidence_mean``."""
    if column == "prediction_count":
        return "detections in an image"
    return column.removeprefix(PREDICTION_PREFIX).replace("_", " ")


def short(value: float) -> str:
    """A number as people read it: three digits that matter, thousands in full."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"


def aligned(reference: DriftTable, window: DriftTable) -> tuple[DriftTable, DriftTable]:
    """The two tables with the same columns of the same kinds.

    A column without any value takes the kind of the other table's: nothing was detected in a whole
    window, say, so that no top class tells whether classes are names or numbers, or nothing could
    be read, so that no vector tells whether the model gives one.

    Raises:
        IncompatibleError: the columns differ, or one holds names in one table and numbers in the
            other.
    """
    before, after = (
        _with_vectors_of(other.columns, table.columns)
        for table, other in ((reference, window), (window, reference))
    )
    _require_same_columns(before, after)
    for column in before:
        if reference.is_category(column) != window.is_category(column):
            side = after if reference.is_category(column) else before
            if np.isfinite(side[column]).any():
                raise IncompatibleError(
                    f"names in {column}, or numbers, in both tables",
                    found="names in one of them and numbers in the other",
                    hint="build a new reference",
                )
            side[column] = np.full(len(side[column]), NOTHING)
    return replace(reference, columns=before), replace(window, columns=after)


def pair_columns(
    reference: DriftTable, window: DriftTable, *, minimum_values: int
) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """Every column that can be compared, and why others cannot.

    A column of numbers or vectors in which some rows have no value (no detections, no confidence)
    gives two pairs: the values that there are, and the share of rows without one; the latter only
    once, where several columns lack a value in the same rows.

    Arguments:
        reference: the accepted rows.
        window: the rows to judge; both as `aligned` gave them.
        minimum_values: a column with fewer values than this in either is not compared.

    Returns:
        The pairs, in the order of the reference; one line for each column that the reference knows
        and of which the window has too few values: that fewer rows have one than in the reference
        is a pair's to tell.
    """
    pairs: list[Pair] = []
    unknown: list[str] = []
    patterns: set[bytes] = set()
    taken = reference.sequences(), window.sequences()
    for column, before in reference.columns.items():
        after = window.columns[column]
        if reference.is_category(column):
            pairs.append(Pair(column, before, after, taken))
            continue
        gaps = [without_value(values) for values in (before, after)]
        pattern = gaps[0].tobytes() + gaps[1].tobytes()
        if (gaps[0].any() or gaps[1].any()) and pattern not in patterns:
            patterns.add(pattern)
            has_value = [np.where(gap, "no value", "value") for gap in gaps]
            pairs.append(Pair(column + MISSING, has_value[0], has_value[1], taken))
        values = [array[~gap] for array, gap in zip((before, after), gaps, strict=True)]
        if min(len(array) for array in values) >= minimum_values:
            pairs.append(
                Pair(column, values[0], values[1], (taken[0][~gaps[0]], taken[1][~gaps[1]]))
            )
        elif len(values[0]) >= minimum_values:
            unknown.append(
                f"{column} is not compared: {len(values[1])} values, {minimum_values} are needed"
            )
    return tuple(pairs), tuple(unknown)


def without_value(values: Column) -> npt.NDArray[np.bool_]:
    """Mark the rows of a column of numbers or vectors that have no finite value: (n,)."""
    finite = np.isfinite(values)
    return np.asarray(~(finite if values.ndim == 1 else finite.all(axis=1)))


def _with_vectors_of(
    other: Mapping[str, Column], columns: Mapping[str, Column]
) -> dict[str, Column]:
    """Give vectors that no row has the length of those in the other table.

    A column is left out where the other table has none.
    """
    blank = {name for name, values in columns.items() if values.shape[1:] == (0,)}
    widths = {name: other[name].shape[1] for name in blank if name in other}
    found = {name: values for name, values in columns.items() if name not in blank}
    return found | {
        name: blank_vectors(len(columns[name]), width) for name, width in widths.items() if width
    }


def _require_same_columns(reference: Mapping[str, Column], window: Mapping[str, Column]) -> None:
    gone = [name for name in reference if name not in window]
    new = [name for name in window if name not in reference]
    if gone or new:
        raise IncompatibleError(
            "the same columns in reference and window",
            found=f"only in the reference: {', '.join(gone) or 'none'}; only in the window: "
            f"{', '.join(new) or 'none'}",
            hint="build a new reference",
        )
