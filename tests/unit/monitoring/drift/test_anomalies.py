import cv2
import numpy as np
import pytest

from components.datasets.scenes import compose_scene, digits_of
from components.errors import ConfigError
from components.images.statistics import image_statistics
from components.monitoring.drift.anomalies import (
    check_window,
    find_anomalies,
    median_errors,
    summarise_window,
)


def scenes(split, mood, seed, count, change=lambda image: image):
    rng, pool = np.random.default_rng(seed), digits_of(split, 0)
    rows = [image_statistics(change(compose_scene(pool, rng, mood)[0])) for _ in range(count)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


@pytest.fixture(scope="module")
def accepted():
    return scenes("validation", "day", 1, 300)


def names(count):
    return [f"{k}.jpg" for k in range(count)]


@pytest.mark.slow
def test_at_most_one_in_a_hundred_held_out_day_scenes_is_flagged(accepted):
    found = find_anomalies(accepted, scenes("production", "day", 2, 150), names(150))
    assert found.limit is not None and len(found.found) <= 1


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image * 0,
        lambda image: cv2.add(image * 0, 255),
        lambda image: cv2.convertScaleAbs(image, alpha=0.1),
    ],
    ids=["black", "white", "nearly black"],
)
def test_black_white_and_nearly_black_scenes_are_flagged(accepted, change):
    found = find_anomalies(accepted, scenes("production", "day", 3, 10, change), names(10))
    assert len(found.found) >= 9


def column(count=400, seed=0):
    return np.random.default_rng(seed).normal(100, 10, count)


def test_the_farthest_image_comes_first_with_the_columns_that_show_it():
    window = {"a": column(50, 1), "b": column(50, 2)}
    window["a"][7], window["b"][7], window["a"][9] = 200.0, 20.0, 170.0
    found = find_anomalies({"a": column(), "b": column(seed=3)}, window, names(50))
    assert [anomaly.image_id for anomaly in found.found] == ["7.jpg", "9.jpg"]
    assert [deviation.column for deviation in found.found[0].deviations] == ["a", "b"]
    assert found.found[0].deviations[0].value == 200
    assert (
        found.found[0].deviations[0].z > found.limit
        and found.found[0].deviations[1].z < -found.limit
    )
    assert [deviation.column for deviation in found.found[1].deviations] == ["a"]


def test_missing_values_are_no_anomalies():
    window = {"a": np.append(column(20, 1), np.nan)}
    assert find_anomalies({"a": column()}, window, names(21)).found == ()


def test_a_bounded_column_does_not_flag_its_usual_end():
    confidence = np.random.default_rng(0).beta(20, 1, 1000)
    window = {"confidence": np.concatenate([np.ones(50), [0.2]])}
    found = find_anomalies({"confidence": confidence}, window, names(51))
    assert [anomaly.image_id for anomaly in found.found] == ["50.jpg"]


def test_many_equal_values_flag_neither_themselves_nor_the_usual_others():
    """Three of four counts are 1, so the median absolute deviation is 0."""
    counts = np.random.default_rng(0).choice([1.0, 2.0, 3.0], 400, p=[0.75, 0.15, 0.10])
    window = {"count": np.array([1.0, 2.0, 3.0, 40.0])}
    assert [a.image_id for a in find_anomalies({"count": counts}, window, names(4)).found] == [
        "3.jpg"
    ]


def test_a_side_that_the_reference_never_shows_is_measured_by_the_other():
    counts = np.random.default_rng(0).choice([5.0, 6.0], 400, p=[0.75, 0.25])
    window = {"count": np.array([4.5, -40.0])}
    assert [a.image_id for a in find_anomalies({"count": counts}, window, names(2)).found] == [
        "1.jpg"
    ]


def test_a_constant_column_is_passed_over():
    reference = {"width": np.full(400, 320.0), "a": column()}
    assert (
        find_anomalies(
            reference, {"width": np.array([640.0]), "a": np.array([100.0])}, names(1)
        ).found
        == ()
    )
    alone = find_anomalies({"width": reference["width"]}, {"width": np.array([640.0])}, names(1))
    assert (
        alone.limit is None
        and alone.reason == "no column of the reference has enough values and any spread"
    )


def test_a_reference_too_small_for_the_share_is_said():
    found = find_anomalies({"a": column(120)}, {"a": column(20, 1)}, names(20))
    assert (found.found, found.limit) == ((), None)
    assert found.reason == "the reference has 120 images, 200 are needed"


@pytest.mark.parametrize("share", [0.005, 0.02])
def test_the_share_of_ordinary_images_that_is_flagged_is_the_one_asked_for(share):
    rng = np.random.default_rng(0)

    def ordinary(count):
        return {
            "normal": rng.normal(size=count),
            "skewed": rng.lognormal(0, 1, count),
            "heavy": rng.standard_t(2, count),
        }

    found = find_anomalies(ordinary(2000), ordinary(4000), names(4000), share=share)
    assert 0.5 * share <= len(found.found) / 4000 <= 1.6 * share


def test_a_share_out_of_range_is_refused():
    with pytest.raises(ConfigError, match="between 0 and 1"):
        find_anomalies({}, {}, [], share=1.0)


def test_a_window_is_remembered_by_its_medians_and_its_failures():
    summary = summarise_window(
        {"a": np.array([1.0, 2.0, np.nan]), "b": np.full(3, np.nan)}, images=4, failed=1
    )
    assert summary == {"a": 1.5, "error_share": 0.25}


ERRORS = {f"c{k}": 1.0 for k in range(10)} | {"error_share": 0.01}


def windows(count, seed, columns=10):
    rng = np.random.default_rng(seed)
    return [
        {f"c{k}": float(rng.normal(100, 3)) for k in range(columns)} | {"error_share": 0.0}
        for _ in range(count)
    ]


def test_a_window_far_from_the_accepted_ones_is_unusual_by_the_column_that_moved():
    odd = windows(1, 5)[0] | {"c3": 300.0, "c4": 190.0}
    found, reason = check_window(odd, windows(20, 1), errors=ERRORS)
    assert [deviation.column for deviation in found] == ["c3", "c4"] and reason == ""
    assert found[0].value == 300 and found[0].z > found[1].z > 0


def test_fewer_than_eight_windows_are_not_evaluated():
    assert check_window(windows(1, 5)[0], windows(7, 1), errors=ERRORS) == (
        (),
        "7 accepted windows, 8 are needed",
    )


def test_new_columns_are_passed_over():
    assert check_window(windows(1, 5)[0] | {"new": 1e6}, windows(8, 1), errors=ERRORS) == ((), "")
    few = [*windows(7, 1), windows(1, 2)[0] | {"new": 1.0}]
    assert check_window(windows(1, 5)[0] | {"new": 1e6}, few, errors=ERRORS | {"new": 1.0}) == (
        (),
        "",
    )


def test_a_column_that_never_changed_is_unusual_when_it_does():
    usual = [one | {"count": 5.0, "width": 640.0} for one in windows(20, 1)]
    reference = {
        "count": np.random.default_rng(0).integers(1, 9, 300).astype(float),
        "width": np.full(300, 640.0),
    }
    errors = ERRORS | median_errors(reference, images=100)
    for column, value, found in (
        ("count", 0.0, True),
        ("count", 6.0, False),  # a median of whole numbers moves by one step at least
        ("width", 320.0, True),
        ("error_share", 0.4, True),
        ("error_share", 0.01, False),  # one image of 100
    ):
        said, _ = check_window(usual[0] | {column: value}, usual, errors=errors)
        assert [deviation.column for deviation in said] == [column] * found, (column, value)


def test_the_median_of_few_images_moves_more_by_chance():
    values = {"a": np.append(column(4000), np.nan), "c": np.full(9, 7.0)}
    few, many = (median_errors(values, images=images) for images in (25, 400))
    drawn = np.median(np.random.default_rng(0).choice(column(4000), (2000, 25)), axis=1)
    assert few["a"] == pytest.approx(drawn.std(), rel=0.2) and few["a"] == pytest.approx(
        4 * many["a"], rel=0.2
    )
    assert (many["c"], many["error_share"]) == (0.0, 1 / 400)


@pytest.mark.slow
@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize("count", [8, 30, 120])
def test_ordinary_windows_are_hardly_ever_unusual(count, heavy):
    rng = np.random.default_rng(count)

    def ordinary(count):
        moves = rng.standard_t(3, (count, 10)) if heavy else rng.normal(size=(count, 10))
        return [{f"c{k}": float(value) for k, value in enumerate(row)} for row in 100 + 3 * moves]

    flagged = [
        bool(check_window(*ordinary(1), ordinary(count), errors=ERRORS)[0]) for _ in range(60)
    ]
    assert np.mean(flagged) <= 0.03


def test_an_outlying_accepted_window_widens_what_is_usual():
    moved = windows(1, 5)[0] | {"c3": 130.0}
    assert check_window(moved, windows(30, 1), errors=ERRORS)[0]
    seen = [*windows(30, 1), windows(1, 6)[0] | {"c3": 140.0}]
    assert not check_window(moved, seen, errors=ERRORS)[0]
