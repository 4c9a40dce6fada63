"""How often does the drift policy cry wolf on windows of held-out scenes in which nothing has changed?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.figure import Figure, conclude
from benchmarks.scenes import Mixture, predicted, scenes_by_photograph, shipped, write_scenes
from benchmarks.subject import scratch
from components.monitoring.calibration import AlarmRate, measure_false_alarms
from components.monitoring.tables import HELD_OUT, DriftTable, joined, read_window
from components.monitoring.tolerance import learn_tolerances

SIZES = (100, 200, 1000)
WINDOWS = 200  # of each size in each setting: 1,800 in all
MOST_DRIFT, MOST_WARN = 0.005, 0.03
BATCHES, BATCH_IMAGES = 25, 250
CONCENTRATION = 5.0


def settings(folder: Path) -> dict[str, tuple[DriftTable, Mixture, bool]]:
    """What is measured: name → reference, where windows come from, whether they follow each other."""
    predict = shipped(folder)
    held_out = read_window(predicted(predict, write_scenes(folder / "held-out", "validation", 300, seed=1)))
    accepted = scenes_by_photograph(predict, folder / "accepted", "production", 250, seed=2)
    fresh = scenes_by_photograph(predict, folder / "fresh", "production", 300, seed=3)
    rng = np.random.default_rng(0)
    batches = [Mixture(accepted, CONCENTRATION)(BATCH_IMAGES, rng) for _ in range(BATCHES)]
    pooled = joined([held_out, *batches])
    learnt = replace(pooled, tolerances={HELD_OUT: learn_tolerances([held_out, *batches], minimum_values=20)})
    return {
        "held-out reference, same mix": (held_out, Mixture(fresh, None), False),
        "held-out reference, mix changes": (held_out, Mixture(fresh, CONCENTRATION), False),
        f"{BATCHES} accepted batches, mix changes nightly": (learnt, Mixture(fresh, CONCENTRATION), True),
    }


def measure() -> Figure:
    """Draw windows in each setting and size; every rate must be within its bar."""
    details, rates = [], list[AlarmRate]()
    with scratch() as folder:
        for name, (reference, draw, successive) in settings(Path(folder)).items():
            for size in SIZES:
                rate = measure_false_alarms(reference, draw, images=size, windows=WINDOWS, successive=successive)
                rates.append(rate)
                details.append(
                    f"{name}, windows of {size}: drift {rate.drifted:.1%}, warn {rate.warned:.1%}, "
                    f"any KS p < .05 {rate.naive:.0%}"
                )
    drift, warn = (sum(getattr(rate, kind) * rate.windows for rate in rates) for kind in ("drifted", "warned"))
    total = sum(rate.windows for rate in rates)
    ok = all(rate.drifted <= MOST_DRIFT and rate.warned <= MOST_WARN for rate in rates)
    text = f"drift in {drift:.0f} and warn in {warn:.0f} of {total} windows without drift"
    bar = f"drift ≤ {MOST_DRIFT:.1%}, warn ≤ {MOST_WARN:.0%} in each setting and size"
    return Figure("alarms", text, bar, ok, tuple(details))


if __name__ == "__main__":
    conclude(measure)
