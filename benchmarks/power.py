"""What does the drift policy see? Six kinds of damage in five severities, in all or some of a window's images."""

from __future__ import annotations

import math
from pathlib import Path

from benchmarks.figure import Figure, conclude
from benchmarks.scenes import predicted, shipped, write_scenes
from benchmarks.subject import scratch
from components.images.sources import list_images
from components.monitoring.calibration import AlarmPower
from components.monitoring.tables import read_window
from flows.calibrating import power_table

BAR, SEVERE = 0.95, 3
MOST_DELAY = 2
WINDOWS = 20


def measure() -> Figure:
    """The whole table; what counts is severity 3 and more in every image."""
    with scratch() as name:
        folder = Path(name)
        predict = shipped(folder)
        reference = read_window(predicted(predict, write_scenes(folder / "held-out", "validation", 300, seed=1)))
        ordinary = write_scenes(folder / "ordinary", "production", 150, seed=4)
        rows = power_table(reference, list_images(ordinary), predict, folder / "damage", windows=WINDOWS)
    judged = [row for row in rows if row.severity >= SEVERE and row.contamination == 1]
    least = min(judged, key=lambda row: row.drifted)
    slowest = max(_delay(row) for row in judged)
    text = f"{least.drifted:.0%} at least ({least.kind}), median delay {slowest:g} windows at most"
    bar = f"≥ {BAR:.0%} at severity ≥ {SEVERE} with 200 images, delay ≤ {MOST_DELAY}"
    ok = least.drifted >= BAR and slowest <= MOST_DELAY
    return Figure("power", text, bar, ok, tuple(_line(row) for row in rows))


def _line(row: AlarmPower) -> str:
    return (
        f"{row.kind} {row.severity}, {row.contamination:.0%} of the images: drift {row.drifted:.0%}, "
        f"raised {row.raised:.0%}, median delay {_delay(row):g} windows"
    )


def _delay(row: AlarmPower) -> float:
    return math.inf if row.delay_windows is None else row.delay_windows


if __name__ == "__main__":
    conclude(measure)
