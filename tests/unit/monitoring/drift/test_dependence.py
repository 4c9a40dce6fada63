"""Neighbouring frames are worth fewer images, and what moved by less than matters has not moved."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from skimage import data

from components.contracts import DriftState
from components.images.corruptions import CORRUPTIONS, corrupt
from components.images.statistics import IMAGE_COLUMNS, STATISTICS_RECIPE, image_statistics
from components.monitoring.drift.calibration import WindowDraws, split_false_alarms
from components.monitoring.drift.dependence import autocorrelation_time, neighbour_noise
from components.monitoring.drift.policy import compare_tables
from components.monitoring.drift.tables import DriftTable, joined

REFERENCE, WINDOW, WINDOWS = 200, 70, 5


def walk(share, count, seed=0):
    """An autoregressive sequence whose τ is (1 + share) / (1 − share)."""
    rng = np.random.default_rng(seed)
    values = [rng.normal() / np.sqrt(1 - share**2)]
    for _ in range(count - 1):
        values.append(share * values[-1] + rng.normal())
    return np.array(values)


def one(count):
    return np.zeros(count, np.int64)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.9])
def test_the_time_of_an_autoregressive_sequence_is_found(share):
    found = [autocorrelation_time(walk(share, 2000, seed), one(2000)) for seed in range(10)]
    assert np.median(found) == pytest.approx((1 + share) / (1 - share), rel=0.25)


@pytest.mark.parametrize("count", [50, 300])
def test_rows_in_random_order_keep_their_worth(count):
    found = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        for values in (
            rng.normal(size=count),
            rng.integers(0, 4, count).astype(str),
            rng.normal(size=(count, 8)),
        ):
            found.append(autocorrelation_time(values, one(count)))
    assert np.mean(np.array(found) == 1) >= 0.95


def test_names_and_vectors_that_stay_for_a_while_are_dependent():
    states = np.repeat(np.random.default_rng(1).integers(0, 3, 30), 20)
    assert 10 < autocorrelation_time(states.astype(str), one(600)) < 40
    assert 10 < autocorrelation_time(np.eye(3)[states], one(600)) < 40


def test_a_folder_for_each_class_is_no_dependence_in_time():
    rng = np.random.default_rng(2)
    folders = np.repeat([0, 1, 2], 100)
    values = rng.normal(size=300) + 10 * folders
    assert autocorrelation_time(values, one(300)) > 20
    assert autocorrelation_time(values, folders) == 1


def test_variation_below_the_smallest_change_is_noise():
    slow = 0.1 * walk(0.98, 500)
    assert autocorrelation_time(slow, one(500)) > 10
    assert autocorrelation_time(slow, one(500), smallest_change=20.0) < 1.5


def test_the_noise_of_neighbours_leaves_out_slow_changes_and_steps_between_folders():
    rng = np.random.default_rng(3)
    slow = np.linspace(0, 50, 400) + rng.normal(0, 2, 400) + 500 * np.repeat([0, 1], 200)
    assert neighbour_noise(slow, np.repeat([0, 1], 200)) == pytest.approx(2, rel=0.2)


def frames(photograph, count, seed):
    """A still camera's quiet day: light that wavers by two per cent, and a sensor's noise."""
    rng, scene = (
        np.random.default_rng(seed),
        cv2.resize(photograph, (192, 128), interpolation=cv2.INTER_AREA)[..., ::-1],
    )
    light = 1 + 0.01 * np.sin(np.linspace(0, 7, count)) + 0.0015 * walk(0.98, count, seed)
    for gain in light:
        yield np.clip(scene * gain + rng.normal(0, 3, scene.shape), 0, 255).astype(np.uint8)


def table(images):
    rows = [image_statistics(np.ascontiguousarray(image)) for image in images]
    return DriftTable(
        {name: np.array([row[name] for row in rows]) for name in IMAGE_COLUMNS},
        "camera/1",
        STATISTICS_RECIPE,
        0,
    )


@pytest.fixture(scope="module", params=["astronaut", "coffee", "chelsea"])
def day(request):
    """The frames of a day, and what is known of them."""
    images = list(frames(getattr(data, request.param)(), REFERENCE + WINDOWS * WINDOW, seed=4))
    return images, table(images)


@pytest.mark.slow
def test_each_part_of_a_quiet_day_is_quiet(day):
    _, known = day
    reference = known.rows(slice(0, REFERENCE))
    bounds = range(REFERENCE, known.samples + 1, WINDOW)
    states = [
        compare_tables(reference, known.rows(slice(*part)), history=()).state
        for part in pairwise(bounds)
    ]
    assert states == [DriftState.OK] * WINDOWS
    assert (
        abs(
            np.median(known.columns["brightness"][:REFERENCE])
            - np.median(known.columns["brightness"][-WINDOW:])
        )
        > 0.1
    )


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_damage_of_a_quiet_scene_is_seen(day, kind):
    images, known = day
    rng = np.random.default_rng(5)
    damaged = table(
        corrupt(image, kind, 3, rng) for image in images[REFERENCE : REFERENCE + WINDOW]
    )
    assert compare_tables(known.rows(slice(0, REFERENCE)), damaged).state is DriftState.DRIFT


def test_damage_that_begins_in_the_middle_of_a_window_is_a_warning(day):
    images, known = day
    half = WINDOW // 2
    damaged = table(
        corrupt(image, "fog", 3, np.random.default_rng(5))
        for image in images[REFERENCE : REFERENCE + half]
    )
    window = joined([known.rows(slice(REFERENCE, REFERENCE + half)), damaged])
    assert (
        compare_tables(known.rows(slice(0, REFERENCE)), replace(window, batches=None)).state
        is DriftState.WARN
    )


def test_contiguous_windows_of_a_day_raise_more_than_random_ones_where_the_light_really_changes():
    rng = np.random.default_rng(6)
    columns = {name: rng.normal(100, 15, 400) for name in IMAGE_COLUMNS}
    # lamps, for an hour
    columns["brightness"] = np.concatenate([rng.normal(100, 2, 320), rng.normal(180, 2, 80)])
    day = DriftTable(columns, "camera/1", STATISTICS_RECIPE, 0)
    random, contiguous = (
        split_false_alarms(day, WindowDraws(images=80, windows=9), contiguous=part)
        for part in (False, True)
    )
    assert (random.contiguous, contiguous.contiguous) == (False, True)
    assert (random.drifted, contiguous.windows) == (0, 9)
    assert contiguous.drifted > 0


def test_contiguous_windows_pass_through_all_folders_of_a_batch_at_once_and_batches_in_turn():
    names = [
        f"{place}/{number:03d}.jpg"
        for place, rows in (("bent", 200), ("good", 100))
        for number in range(rows)
    ]
    rng = np.random.default_rng(7)
    columns = {name: rng.normal(100, 15, 300) for name in IMAGE_COLUMNS}
    columns["brightness"][:200] += 90  # what is bent shines
    classes = DriftTable(
        columns, "parts/1", STATISTICS_RECIPE, 0, names={"image_id": np.array(names, object)}
    )
    first = [names[row] for row in classes.in_time()[:6]]
    assert first == [
        "bent/000.jpg",
        "good/000.jpg",
        "bent/001.jpg",
        "bent/002.jpg",
        "good/001.jpg",
        "bent/003.jpg",
    ]
    rate = split_false_alarms(classes, WindowDraws(images=60, windows=9), contiguous=True)
    assert (rate.windows, rate.drifted) == (9, 0)
    nights = replace(classes, batches=np.repeat([1, 0], 150))
    assert sorted(nights.in_time()[:150]) == list(range(150, 300)), (
        "the batch of before comes before"
    )
