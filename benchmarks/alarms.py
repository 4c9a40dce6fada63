"""False-alarm rate of the drift policy on windows of held-out scenes where nothing has changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.figure import Figure, conclude
from benchmarks.scenes import (
    BATCHES,
    CONCENTRATION,
    Mixture,
    predicted,
    scenes_by_photograph,
    shipped,
    taught,
    write_scenes,
)
from benchmarks.subject import scratch
from components.monitoring.drift.calibration import AlarmRate, WindowDraws, measure_false_alarms
from components.monitoring.drift.tables import DriftTable, read_window

SIZES = (100, 200, 1000)
SEEDS = (1, 2, 3)  # each its own held-out scenes and its own accepted batches
WINDOWS = 70  # of each size in each setting for each seed: 1,890 in all
MAX_DRIFT, MAX_WARN = 0.005, 0.03
STRONGER, STRONGER_IMAGES, STRONGER_WINDOWS = (2.0, 1.0), 200, 40
HELD_OUT_SCENES, FRESH_SCENES = 300, 300  # the latter over each photograph


@dataclass(frozen=True)
class _Setting:
    """The references of a setting, one for each seed, and how its windows are drawn.

    `mix` is the mix of the windows, and `successive` tells whether they follow each other.
    """

    name: str
    references: tuple[DriftTable, ...]
    mix: float | None
    successive: bool = False


def _references(
    folder: Path,
) -> tuple[tuple[DriftTable, ...], tuple[DriftTable, ...], list[DriftTable]]:
    """Return two references for each seed, and the tables that windows are drawn from.

    One of the two is held out, the other has learnt limits.
    """
    predict = shipped(folder)
    fresh = scenes_by_photograph(predict, folder / "fresh", "production", FRESH_SCENES, seed=3)
    held_out = tuple(
        read_window(
            predicted(
                predict,
                write_scenes(folder / f"held-out-{k}", "validation", HELD_OUT_SCENES, seed=k),
            )
        )
        for k in SEEDS
    )
    learnt = tuple(
        taught(predict, table, folder / f"accepted-{k}", seed=k)
        for table, k in zip(held_out, SEEDS, strict=True)
    )
    return held_out, learnt, fresh


def _rate(setting: _Setting, fresh: list[DriftTable], images: int, windows: int) -> AlarmRate:
    """Measure the alarm rate over the references of all seeds."""
    draw = Mixture(fresh, setting.mix)
    rates = [
        measure_false_alarms(
            one,
            draw,
            WindowDraws(images=images, windows=windows, seed=seed),
            successive=setting.successive,
        )
        for one, seed in zip(setting.references, SEEDS, strict=True)
    ]
    means = {
        name: float(np.mean([getattr(rate, name) for rate in rates]))
        for name in ("warned", "drifted", "faulted", "naive")
    }
    return replace(rates[0], windows=windows * len(rates), **means)  # type: ignore[arg-type]


def _line(setting: _Setting, rate: AlarmRate) -> str:
    mix = (
        "mix of photographs stays"
        if setting.mix is None
        else f"mix changes (Dirichlet {setting.mix:g})"
    )
    return (
        f"{setting.name}, {mix}, {rate.windows} windows of {rate.images}: drift "
        f"{rate.drifted:.1%}, "
        f"warn {rate.warned:.1%}, data fault {rate.faulted:.1%}, any KS p < .05 {rate.naive:.0%}"
    )


def measure() -> Figure:
    """Draw windows in each setting and size, where every rate must be within its bar.

    The rates of stronger mixes are shown beside it.
    """
    with scratch() as folder:
        held_out, learnt, fresh = _references(Path(folder))
    plain, batches = (
        f"{len(SEEDS)} held-out references",
        f"{len(SEEDS)} references of {BATCHES} accepted batches",
    )
    settings = (
        _Setting(plain, held_out, None),
        _Setting(plain, held_out, CONCENTRATION),
        _Setting(batches, learnt, CONCENTRATION, successive=True),
    )
    judged = [
        (setting, _rate(setting, fresh, size, WINDOWS)) for setting in settings for size in SIZES
    ]
    beside = [
        (setting, _rate(setting, fresh, STRONGER_IMAGES, STRONGER_WINDOWS))
        for mix in STRONGER
        for setting in (replace(settings[1], mix=mix), replace(settings[2], mix=mix))
    ]
    details = [_line(*one) for one in judged]
    details += [
        f"outside the bar, since so other a mix is a drift: {_line(*one)}" for one in beside
    ]
    return _figure([rate for _, rate in judged], details)


def _figure(rates: list[AlarmRate], details: list[str]) -> Figure:
    """Sum the rates up, where a data fault counts with the warnings.

    Where nothing has changed either is a false alarm.
    """
    drift = sum(rate.drifted * rate.windows for rate in rates)
    other = sum((rate.warned + rate.faulted) * rate.windows for rate in rates)
    ok = all(rate.drifted <= MAX_DRIFT and rate.warned + rate.faulted <= MAX_WARN for rate in rates)
    total = sum(rate.windows for rate in rates)
    text = (
        f"drift in {drift:.0f} and warn or data fault in {other:.0f} of {total} windows without "
        "drift"
    )
    bar = f"drift ≤ {MAX_DRIFT:.1%}, warn or data fault ≤ {MAX_WARN:.0%} in each setting and size"
    return Figure("alarms", text, bar, ok, tuple(details))


if __name__ == "__main__":
    conclude(measure)
