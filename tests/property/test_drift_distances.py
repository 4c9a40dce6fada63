"""The distances: what holds for any two samples, and how often they alarm by chance."""

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import ks_2samp

from components.contracts import DriftState
from components.monitoring.drift.distances import (
    compare_categories,
    compare_numbers,
    compare_vectors,
)
from components.monitoring.drift.policy import DriftPolicy, compare_tables
from components.monitoring.drift.tables import DriftTable

NUMBERS = arrays(np.float64, st.integers(1, 60), elements=st.integers(-20, 20).map(float))
NAMES = st.lists(st.sampled_from(["a", "b", "c", "dog", ""]), min_size=1, max_size=60).map(np.array)
LEVELS = st.floats(1e-3, 0.5)
LIGHT = settings(max_examples=40, deadline=None)


class OfFewValues(DriftPolicy):
    minimum_values: ClassVar[int] = 4


@LIGHT
@given(NUMBERS, NUMBERS)
def test_the_distance_of_numbers_is_the_largest_gap_of_their_distributions(reference, window):
    gaps = [abs(np.mean(reference <= x) - np.mean(window <= x)) for x in [*reference, *window]]
    assert compare_numbers(reference, window).distance == pytest.approx(max(gaps))


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.3])
def test_the_p_value_of_numbers_is_smirnovs(shift):
    rng = np.random.default_rng(1)
    reference, window = rng.normal(size=300), rng.normal(shift, size=200)
    ours, exact = compare_numbers(reference, window), ks_2samp(reference, window, method="exact")
    assert ours.distance == pytest.approx(exact.statistic)
    assert exact.pvalue <= ours.p_value <= exact.pvalue * 1.5


@LIGHT
@given(NUMBERS, NUMBERS, st.floats(0.1, 50), st.floats(-5, 5))
def test_the_unit_of_numbers_does_not_matter(reference, window, scale, offset):
    there = compare_numbers(reference * scale + offset, window * scale + offset)
    assert there.distance == pytest.approx(compare_numbers(reference, window).distance)


@LIGHT
@given(NAMES, NAMES)
def test_the_distance_of_categories_is_the_share_that_would_have_to_change(reference, window):
    names = set(reference) | set(window)
    gained = sum(max(0.0, np.mean(window == name) - np.mean(reference == name)) for name in names)
    assert compare_categories(reference, window).distance == pytest.approx(gained)


@LIGHT
@given(st.one_of(st.tuples(NUMBERS, NUMBERS), st.tuples(NAMES, NAMES)))
def test_distances_are_symmetric_and_between_0_and_1(samples):
    compare = compare_numbers if samples[0].dtype.kind == "f" else compare_categories
    here, there = compare(*samples), compare(*samples[::-1])
    assert 0 <= here.distance <= 1
    assert here.distance == pytest.approx(there.distance)


@LIGHT
@given(st.one_of(st.tuples(NUMBERS, NUMBERS), st.tuples(NAMES, NAMES)), LEVELS)
def test_the_critical_distance_is_where_the_p_value_reaches_the_level(samples, level):
    compare = compare_numbers if samples[0].dtype.kind == "f" else compare_categories
    found = compare(*samples)
    if found.p_value is None or abs(found.p_value - level) < 1e-9:
        return
    assert (found.distance >= found.critical(level)) == (found.p_value <= level)


@LIGHT
@given(st.one_of(NUMBERS, NAMES), st.randoms(use_true_random=False))
def test_the_same_values_in_another_order_are_no_distance_apart(sample, random):
    shuffled = sample.copy()
    random.shuffle(shuffled)
    compare = compare_numbers if sample.dtype.kind == "f" else compare_categories
    found = compare(sample, shuffled)
    assert found.distance == pytest.approx(0, abs=1e-9)
    assert found.p_value is None or found.p_value > 0.99


def test_p_values_are_not_too_small_when_nothing_has_changed():
    rng = np.random.default_rng(0)
    numbers = [
        compare_numbers(rng.normal(size=120), rng.normal(size=60)).p_value for _ in range(400)
    ]
    names = [
        compare_categories(*(rng.integers(0, 6, n).astype(str) for n in (120, 60))).p_value
        for _ in range(200)
    ]
    for found in (numbers, names):
        assert np.mean(np.array(found) <= 0.05) <= 0.08
        assert np.mean(np.array(found) <= 0.5) > 0.3  # nor uselessly large


VECTORS = arrays(
    np.float64, st.tuples(st.integers(2, 30), st.just(3)), elements=st.integers(-9, 9).map(float)
)


@LIGHT
@given(VECTORS, VECTORS, st.floats(0.1, 50))
def test_the_distance_of_vectors_is_symmetric_between_0_and_1_and_without_unit(
    reference, window, scale
):
    here, there = (
        compare_vectors(reference, window),
        compare_vectors(window * scale, reference * scale),
    )
    assert 0 <= here.distance <= 1
    assert here.distance == pytest.approx(there.distance, abs=1e-6)
    assert compare_vectors(reference, reference).distance == pytest.approx(0, abs=1e-6)


def test_vectors_alarm_rarely_by_chance_and_see_a_change_of_spread_that_no_mean_shows():
    rng = np.random.default_rng(0)
    same = [
        compare_vectors(rng.normal(size=(80, 8)), rng.normal(size=(40, 8))).p_value
        for _ in range(100)
    ]
    assert np.mean(np.array(same) <= 0.05) <= 0.1
    wider = compare_vectors(rng.normal(size=(200, 8)), rng.normal(size=(100, 8)) * 2)
    assert wider.p_value <= 0.01 and wider.distance > 2 * wider.by_chance


def table(rng, count, shift=0.0):
    """Return twelve image statistics of a shared cause, as real ones, and three of predictions."""
    light = rng.normal(shift, 1, count)
    columns = {f"image_{k}": 0.7 * light + 0.7 * rng.normal(size=count) for k in range(12)}
    columns["prediction_count"] = rng.integers(0, 8, count).astype(float)
    columns["prediction_confidence"] = np.where(
        columns["prediction_count"] == 0, np.nan, rng.beta(12, 2, count)
    )
    columns |= {
        "contrast": np.full(count, 50.0),
        "width": np.full(count, 640.0),
        "height": np.full(count, 480.0),
    }
    return DriftTable(
        columns | {"prediction_class": rng.integers(0, 10, count).astype(str)}, "m", 1, 0
    )


@pytest.mark.slow
@pytest.mark.parametrize(("reference", "window"), [(50, 50), (300, 50), (300, 240)])
def test_windows_of_the_same_source_rarely_alarm_and_others_always_do(reference, window):
    rng = np.random.default_rng(window)
    same = [compare_tables(table(rng, reference), table(rng, window)).state for _ in range(100)]
    assert sum(state is not DriftState.OK for state in same) <= 3
    moved = [
        compare_tables(table(rng, reference), table(rng, window, shift=2.0)).state
        for _ in range(20)
    ]
    assert set(moved) == {DriftState.DRIFT}


@LIGHT
@given(st.integers(0, 2**32), st.integers(4, 120), st.floats(0.05, 0.5))
def test_a_window_that_is_its_own_reference_is_never_drift(seed, count, distance):
    sample = table(np.random.default_rng(seed), count)
    policy = OfFewValues(minimum_samples=4, distance=distance)
    assert compare_tables(sample, sample, policy).state is DriftState.OK
