import numpy as np
import pytest

from components.errors import DatasetError
from components.images.statistics import IMAGE_COLUMNS
from components.monitoring.drift.calibration import (
    Damage,
    WindowDraws,
    draw_from,
    measure_false_alarms,
    measure_nights,
    measure_power,
    split_false_alarms,
)
from components.monitoring.drift.tables import DriftTable


def table(count: int, seed: int, **shift: float) -> DriftTable:
    rng = np.random.default_rng(seed)
    columns = {name: rng.normal(100 + shift.get(name, 0.0), 15, count) for name in IMAGE_COLUMNS}
    columns["prediction_confidence"] = rng.beta(9, 2, count)
    return DriftTable(columns, "parts/1", 2, 0)


REFERENCE = table(400, 0)


def test_windows_without_drift_are_nearly_never_called_one_while_the_naive_rule_cries_wolf():
    rate = measure_false_alarms(
        REFERENCE, draw_from(table(2000, 1)), WindowDraws(images=100, windows=30)
    )
    assert (rate.images, rate.windows) == (100, 30)
    assert rate.drifted == rate.faulted == 0 and rate.warned <= 0.1
    assert rate.naive > 0.2


def test_windows_that_are_called_broken_are_counted():
    blank = table(400, 1)
    blank.columns["contrast"][::2] = 0.0
    rate = measure_false_alarms(REFERENCE, draw_from(blank), WindowDraws(images=100, windows=4))
    assert (rate.faulted, rate.warned, rate.drifted) == (1, 0, 0)


def test_the_same_seed_gives_the_same_figures():
    one, two = (
        measure_false_alarms(REFERENCE, draw_from(table(500, 1)), WindowDraws(images=60, windows=5))
        for _ in range(2)
    )
    assert one == two


def test_a_reference_is_split_to_find_false_alarms_and_must_be_large_enough():
    assert split_false_alarms(REFERENCE, WindowDraws(images=100, windows=10)).drifted == 0
    with pytest.raises(DatasetError, match="at least 402 images for windows of 201, found 400"):
        split_false_alarms(REFERENCE, WindowDraws(images=201, windows=1))


def test_a_strong_damage_is_seen_in_two_windows_and_a_rare_one_is_not():
    clean, dark = draw_from(table(300, 2)), draw_from(table(300, 3, brightness=-60))
    full = measure_power(
        REFERENCE, clean, dark, Damage("dark", 3), WindowDraws(images=100, windows=5)
    )
    rare = measure_power(
        REFERENCE, clean, dark, Damage("dark", 3, 0.02), WindowDraws(images=100, windows=5)
    )
    assert (full.raised, full.drifted, full.delay_windows) == (1, 1, 2)
    assert rare.drifted == 0 and rare.delay_windows is None


def test_real_nights_are_judged_each_against_its_own_reference():
    nights = [
        (REFERENCE, table(80, 5)),
        (REFERENCE, table(120, 6, brightness=-60)),
        (table(300, 7), table(100, 8)),
    ]
    done = []
    rate = measure_nights(iter(nights), total=3, progress=lambda *counts: done.append(counts))
    assert (rate.images, rate.windows, rate.drifted) == (100, 3, pytest.approx(1 / 3))
    assert done == [(1, 3), (2, 3), (3, 3)]
