"""False-alarm rate and power of the drift policy, on windows drawn from tables of real images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from components.contracts import DriftDecision, DriftState
from components.errors import DatasetError
from components.monitoring.drift.distances import compare_numbers
from components.monitoring.drift.history import PastWindow
from components.monitoring.drift.pairs import aligned, pair_columns
from components.monitoring.drift.policy import DriftPolicy, compare_tables
from components.monitoring.drift.tables import DriftTable, joined

Draw = Callable[[int, np.random.Generator], DriftTable]  # a window of that many images
Progress = Callable[[int, int], None]
_Pair = tuple[DriftTable, DriftTable]  # reference, window

_NAIVE_LEVEL = 0.05
_PATIENCE = 5  # windows after which a drift that was not seen counts as missed


@dataclass(frozen=True)
class AlarmRate:
    """Verdicts on windows in which nothing had changed.

    Arguments:
        images: per window; the median where they differ.
        windows: how many were drawn.
        warned: share of `warn`.
        drifted: share of `drift`.
        faulted: share of `data_fault`.
        naive: share that the rule "any column with a Kolmogorov–Smirnov p below 0.05" would have
            called a drift.
        contiguous: the windows were neighbouring rows, as they were taken, and not drawn at random.
    """

    images: int
    windows: int
    warned: float
    drifted: float
    faulted: float
    naive: float
    contiguous: bool = False


@dataclass(frozen=True)
class AlarmPower:
    """Verdicts on windows with one kind of damage.

    Arguments:
        kind: what was done to the images.
        severity: 1–5.
        contamination: share of the images that it was done to.
        windows: how many were drawn.
        raised: share that moved beyond a limit.
        drifted: share called `drift`, each window on its own.
        delay_windows: median number of successive windows until `drift`; None when most were never
            called one.
    """

    kind: str
    severity: int
    contamination: float
    windows: int
    raised: float
    drifted: float
    delay_windows: float | None


@dataclass(frozen=True)
class WindowDraws:
    """Windows to draw, and the policy that is measured on them.

    Arguments:
        images: per window.
        windows: how many; of contiguous ones as many as the reference has, at most.
        policy: under test; None is the usual one.
        seed: of the draws.
    """

    images: int = 200
    windows: int = 50
    policy: DriftPolicy | None = None
    seed: int = 0


@dataclass(frozen=True)
class Damage:
    """Damage done to some images of a window.

    Arguments:
        kind: what was done, for the table.
        severity: 1–5, for the table.
        contamination: share (0–1] of the images that it is done to.
    """

    kind: str
    severity: int
    contamination: float = 1.0


def draw_from(table: DriftTable) -> Draw:
    """Windows of a table's rows, drawn without repetition as far as they go."""

    def draw(images: int, rng: np.random.Generator) -> DriftTable:
        return table.rows(_sample(rng, table.samples, images))

    return draw


def measure_false_alarms(
    reference: DriftTable,
    draw: Draw,
    draws: WindowDraws,
    *,
    successive: bool = False,
    progress: Progress | None = None,
) -> AlarmRate:
    """Evaluate windows in which nothing has changed.

    Arguments:
        reference: what they are compared with.
        draw: gives windows that are as the reference, and not of its rows.
        draws: how many, of what size.
        successive: judge them as one night after the other, and not each on its own.
        progress: called as ``progress(done, windows)``.
    """
    rng = np.random.default_rng(draws.seed)
    pairs = ((reference, draw(draws.images, rng)) for _ in range(draws.windows))
    return _rate(pairs, draws, progress, successive=successive)


def split_false_alarms(
    reference: DriftTable,
    draws: WindowDraws,
    *,
    contiguous: bool = False,
    progress: Progress | None = None,
) -> AlarmRate:
    """Measure false alarms on a user's own reference.

    For every window it is split in two, and the two are compared.

    Arguments:
        reference: at least twice as many rows as a window.
        draws: how many, of what size.
        contiguous: take windows of neighbouring rows, evenly spread, as nights and parts of a day
            come, instead of drawing rows at random.
        progress: called as ``progress(done, windows)``.

    Raises:
        DatasetError: the reference has fewer than twice as many rows as a window.
    """
    images, windows = draws.images, draws.windows
    if reference.samples < 2 * images:
        raise DatasetError(
            f"a reference of at least {2 * images} images for windows of {images}",
            found=str(reference.samples),
            hint="choose smaller windows, or calibrate with more images",
        )
    rows = reference.in_time()
    if contiguous:
        starts = np.unique(np.linspace(0, len(rows) - images, windows).astype(int)).tolist()
        parts = (rows[start : start + images] for start in starts)
        windows = len(starts)
    else:
        rng = np.random.default_rng(draws.seed)
        parts = (rng.permutation(rows)[:images] for _ in range(windows))
    pairs = ((reference.rows(np.setdiff1d(rows, part)), reference.rows(part)) for part in parts)
    rate = _rate(pairs, replace(draws, windows=windows), progress, successive=False)
    return replace(rate, contiguous=contiguous)


def measure_nights(
    nights: Iterable[_Pair],
    *,
    policy: DriftPolicy | None = None,
    progress: Progress | None = None,
    total: int,
) -> AlarmRate:
    """Measure false alarms among accepted real windows, each against a reference without it.

    Arguments:
        nights: reference and window of each.
        policy: the policy under test.
        progress: called as ``progress(done, total)``.
        total: how many there are.
    """
    return _rate(nights, WindowDraws(0, total, policy), progress, successive=False)


def measure_power(
    reference: DriftTable,
    clean: Draw,
    damaged: Draw,
    damage: Damage,
    draws: WindowDraws | None = None,
) -> AlarmPower:
    """Evaluate windows of which a share of the images is damaged.

    Arguments:
        reference: what they are compared with.
        clean: gives rows of undamaged images.
        damaged: gives rows of damaged ones.
        damage: what these have, and how many of a window are damaged.
        draws: how many, of what size.
    """
    draws = draws or WindowDraws()
    images, windows, policy = draws.images, draws.windows, draws.policy
    rng = np.random.default_rng(draws.seed)
    bad = max(1, round(damage.contamination * images))

    def draw() -> DriftTable:
        parts = [damaged(bad, rng), *([clean(images - bad, rng)] if bad < images else [])]
        mixed = joined(parts)
        return mixed.rows(rng.permutation(mixed.samples))

    alone = list(_judged(((reference, draw()) for _ in range(windows)), policy, successive=False))
    delays = [_delay(reference, draw, policy) for _ in range(max(5, windows // 5))]
    raised = float(np.mean([decision.raised for decision in alone]))
    drifted = float(np.mean([decision.state is DriftState.DRIFT for decision in alone]))
    median = float(np.median(delays))
    delay = median if np.isfinite(median) else None
    return AlarmPower(
        damage.kind, damage.severity, damage.contamination, windows, raised, drifted, delay
    )


def _rate(
    pairs: Iterable[_Pair], draws: WindowDraws, progress: Progress | None, *, successive: bool
) -> AlarmRate:
    naive: list[bool] = []
    sizes: list[int] = []

    def watched() -> Iterator[_Pair]:
        for reference, window in pairs:
            sizes.append(window.samples)
            naive.append(_naive(reference, window))
            yield reference, window
            if progress:
                progress(len(naive), draws.windows)

    states = [
        decision.state for decision in _judged(watched(), draws.policy, successive=successive)
    ]
    told = (DriftState.WARN, DriftState.DRIFT, DriftState.DATA_FAULT)
    warned, drifted, faulted = (states.count(state) / draws.windows for state in told)
    images = int(np.median(sizes))
    return AlarmRate(images, draws.windows, warned, drifted, faulted, float(np.mean(naive)))


def _judged(
    pairs: Iterable[_Pair], policy: DriftPolicy | None, *, successive: bool
) -> Iterator[DriftDecision]:
    history: list[PastWindow] | None = [] if successive else None
    now = datetime(2000, 1, 1, tzinfo=UTC)
    for reference, window in pairs:
        decision = compare_tables(reference, window, policy, history=history, now=now)
        yield decision
        if history is not None:
            history.append(PastWindow(now, decision.raised, decision.fires))
            now += timedelta(days=1)


def _delay(
    reference: DriftTable, draw: Callable[[], DriftTable], policy: DriftPolicy | None
) -> float:
    judged = _judged(((reference, draw()) for _ in range(_PATIENCE)), policy, successive=True)
    for night, decision in enumerate(judged, start=1):
        if decision.state is DriftState.DRIFT:
            return float(night)
    return float("inf")


def _naive(reference: DriftTable, window: DriftTable) -> bool:
    pairs, _ = pair_columns(*aligned(reference, window), minimum_values=2)
    numbers = [pair for pair in pairs if not pair.is_category and not pair.is_vector]
    p_values = [compare_numbers(pair.reference, pair.window).p_value for pair in numbers]
    return any(p is not None and p < _NAIVE_LEVEL for p in p_values)


def _sample(rng: np.random.Generator, rows: int, wanted: int) -> npt.NDArray[np.int64]:
    """Draw row numbers without repetition.

    Where more are wanted than there are, all of them come as often as needed.
    """
    full, rest = divmod(wanted, rows)
    return np.concatenate(
        [*(rng.permutation(rows) for _ in range(full)), rng.choice(rows, rest, replace=False)]
    )
