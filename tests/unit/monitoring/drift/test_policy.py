import json
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest

from components.contracts import DriftDecision, DriftState, dump, load
from components.errors import ConfigError, IncompatibleError
from components.monitoring import DriftPolicy, PastWindow, assess, build_reference

NIGHT = datetime(2026, 11, 23, 2, tzinfo=UTC)


class OfFewValues(DriftPolicy):
    minimum_values: ClassVar[int] = 5


@pytest.fixture
def judge(tmp_path, write_run, ordinary):
    """Judge columns against others, ordinary ones unless said otherwise."""

    def decide(window, reference=None, *, policy=None, history=None, **window_is):
        path = build_reference(
            write_run(reference or ordinary(200, seed=1)), tmp_path / "reference.parquet"
        )
        return assess(write_run(window, **window_is), path, policy, history=history, now=NIGHT)

    return decide


def of(decision, column):
    return next(found for found in decision.columns if found.column == column)


def test_an_ordinary_window_is_ok_and_says_what_came_nearest(judge, ordinary):
    decision = judge(ordinary(100, seed=2))
    assert decision.state is DriftState.OK
    assert decision.reasons == (
        f"no column moved beyond its limit; the nearest to it is {decision.columns[0].column}, "
        f"D={decision.columns[0].distance:.2f} (limit {decision.columns[0].threshold:.2f})",
    )
    assert (decision.reference_samples, decision.window_samples) == (200, 100)
    assert len(decision.columns) == len(ordinary(1))


def test_a_column_that_moved_is_drift_with_its_medians(judge, ordinary):
    decision = judge(ordinary(100, seed=2, brightness=np.full(100, 30.0) + np.arange(100) / 1e3))
    assert decision.state is DriftState.DRIFT
    assert [column.column for column in decision.columns if column.drifted] == ["brightness"]
    (reason,) = decision.reasons
    assert reason.startswith("brightness moved by D=1.00 (limit 0.29): median ")
    assert reason.endswith("→ 30")


def test_a_wider_spread_around_the_same_median_is_told_as_such(judge, ordinary):
    steady = np.tile([100.0, 99, 101, 100], 50)
    wide = np.tile([100.0, 60, 140, 60, 140], 40)
    decision = judge(ordinary(200, seed=2, contrast=wide), ordinary(200, contrast=steady))
    assert decision.reasons[0].endswith("median stays 100, middle half 99.8–100 → 60–140")


def test_columns_are_sorted_by_how_far_they_are_beyond_their_limits(judge, ordinary):
    decision = judge(
        ordinary(
            100, seed=2, blue=np.full(100, 7.0), red=np.random.default_rng(0).normal(115, 15, 100)
        )
    )
    assert [column.column for column in decision.columns[:2]] == ["blue", "red"]
    excess = [column.distance / column.threshold for column in decision.columns]
    assert excess == sorted(excess, reverse=True)


def test_another_mix_of_classes_is_drift_and_names_the_class(judge, ordinary):
    decision = judge(ordinary(100, seed=2, prediction_top_class=np.full(100, 3)))
    assert decision.state is DriftState.DRIFT
    assert decision.reasons[0].startswith("prediction_top_class moved by D=0.7")
    assert decision.reasons[0].endswith("→ 100%") and " 3: " in decision.reasons[0]


def test_a_class_never_seen_before_is_compared_too(judge, ordinary):
    decision = judge(ordinary(100, seed=2, prediction_top_class=np.full(100, 77)))
    assert decision.reasons[0].endswith("77: 0% → 100%")


@pytest.mark.parametrize(
    ("drawn_from", "new", "images", "state"),
    [
        (1000, 0, 200, DriftState.OK),
        (1000, 0, 500, DriftState.OK),
        (500, 0, 500, DriftState.DRIFT),  # half of the classes are gone
        (1000, 5000, 200, DriftState.DRIFT),  # all of them are new
    ],
)
def test_a_mix_of_a_thousand_classes_is_seen_to_change(
    judge, ordinary, drawn_from, new, images, state
):
    rng = np.random.default_rng(0)
    reference = ordinary(
        2 * images - 100, seed=1, prediction_top_class=rng.integers(0, 1000, 2 * images - 100)
    )
    window = ordinary(
        images, seed=2, prediction_top_class=new + rng.integers(0, drawn_from, images)
    )
    assert judge(window, reference, history=nights(True)).state is state


def test_values_that_go_missing_are_drift(judge, ordinary):
    gaps = np.where(np.random.default_rng(4).permutation(100) < 60, np.nan, 0.9)
    decision = judge(ordinary(100, seed=2, prediction_confidence_mean=gaps))
    assert any(
        reason.startswith("prediction_confidence_mean (missing) moved by D=0.60")
        and reason.endswith("no value: 0% → 60%")
        for reason in decision.reasons
    )


def test_columns_that_lack_values_in_the_same_rows_count_once(judge, ordinary):
    gaps = np.where(np.arange(100) < 60, np.nan, np.linspace(0.5, 1, 100))
    decision = judge(ordinary(100, prediction_count=gaps, prediction_confidence_mean=gaps / 2))
    assert [
        column.column for column in decision.columns if column.column.endswith("(missing)")
    ] == ["prediction_count (missing)"]


def test_too_few_values_of_a_column_are_told_and_are_no_warning_where_they_are_as_few_as_ever(
    judge, ordinary
):
    def with_values(count):
        return np.where(np.arange(100) < count, np.random.default_rng(5).beta(12, 2, 100), np.nan)

    reference = ordinary(100, seed=1, prediction_confidence_mean=with_values(22))
    decision = judge(ordinary(100, seed=2, prediction_confidence_mean=with_values(15)), reference)
    assert decision.state is DriftState.OK
    assert decision.reasons[1:] == (
        "prediction_confidence_mean is not compared: 15 values, 20 are needed",
    )
    fewer = judge(
        ordinary(100, seed=2, prediction_confidence_mean=with_values(15)),
        ordinary(200, seed=1),
        history=(),
    )
    assert fewer.state is DriftState.WARN
    assert "prediction_confidence_mean (missing)" in [
        column.column for column in fewer.columns if column.drifted
    ]


def test_a_column_of_which_the_reference_knows_nothing_is_not_held_against_the_window(
    judge, ordinary
):
    nothing = pa.nulls(100)
    decision = judge(
        ordinary(100, seed=2, prediction_confidence_mean=nothing),
        ordinary(100, seed=1, prediction_confidence_mean=nothing),
    )
    assert decision.state is DriftState.OK
    assert "prediction_confidence_mean" not in {column.column for column in decision.columns}


def test_a_window_in_which_nothing_was_found_lacks_a_top_class(judge, ordinary):
    decision = judge(ordinary(100, seed=2, prediction_top_class=pa.nulls(100)))
    assert decision.reasons[0].endswith("nothing found: 0% → 100%")


def test_a_constant_column_has_no_p_value_and_cannot_drift(judge, ordinary):
    decision = judge(
        ordinary(100, seed=2, width=np.full(100, 640.0)),
        ordinary(200, seed=1, width=np.full(200, 640.0)),
    )
    assert decision.state is DriftState.OK
    assert (of(decision, "width").distance, of(decision, "width").p_value) == (0, None)


def test_rounding_errors_of_a_constant_are_not_a_change(judge, ordinary):
    decision = judge(
        ordinary(100, seed=2, aspect=np.full(100, 0.1 + 0.2)),
        ordinary(200, seed=1, aspect=np.full(200, 0.3)),
    )
    assert of(decision, "aspect").distance == 0


def test_another_constant_is_drift(judge, ordinary):
    before, after = (
        ordinary(n, seed=n, aspect=np.full(n, value)) for n, value in ((200, 1.5), (100, 1.6))
    )
    decision = judge(after, before)
    assert decision.reasons[0].startswith("aspect moved by D=1.00")
    assert decision.reasons[0].endswith("median 1.5 → 1.6")


def test_a_significant_but_small_move_of_many_images_is_no_drift(judge, ordinary):
    rng = np.random.default_rng(3)
    reference = ordinary(4000, seed=1, megapixels=rng.normal(100, 15, 4000))
    decision = judge(ordinary(4000, seed=2, megapixels=rng.normal(103, 15, 4000)), reference)
    assert of(decision, "megapixels").p_value < 1e-6
    assert decision.state is DriftState.OK


def test_a_complete_move_by_less_than_matters_is_no_drift(judge, ordinary):
    rng = np.random.default_rng(3)
    reference = ordinary(200, seed=1, brightness=rng.normal(108, 0.2, 200))
    wavers, darker = (
        judge(ordinary(100, seed=2, brightness=rng.normal(b, 0.2, 100)), reference)
        for b in (109, 104)
    )
    assert (wavers.state, of(wavers, "brightness").distance) == (DriftState.OK, 0)
    assert of(wavers, "brightness").smallest_change == 2
    assert (darker.state, of(darker, "brightness").distance) == (DriftState.DRIFT, 1)


def test_a_move_in_one_half_of_a_window_is_a_warning(judge, ordinary):
    late = np.concatenate([np.random.default_rng(0).normal(100, 15, 100), np.full(100, 220.0)])
    decision = judge(ordinary(200, seed=2, brightness=late))
    assert (decision.state, decision.raised) == (DriftState.WARN, True)
    assert decision.reasons[0].startswith("brightness moved by D=")
    assert decision.reasons[1] == "not in both halves of the window, so not called a drift"


def nights(*raised: bool, fired: int | None = None) -> list[PastWindow]:
    """Earlier windows, one a day; the one that is `fired` days old told a drift."""
    days = range(len(raised), 0, -1)
    return [
        PastWindow(NIGHT - timedelta(days=age), up, age == fired)
        for age, up in zip(days, raised, strict=True)
    ]


@pytest.mark.parametrize(
    ("history", "state", "fires"),
    [
        (nights(), DriftState.WARN, False),
        (nights(False, False), DriftState.WARN, False),
        (nights(True, False, False), DriftState.WARN, False),
        (nights(False, True), DriftState.DRIFT, True),
        (nights(True, False), DriftState.DRIFT, True),
        (nights(True, True, fired=1), DriftState.DRIFT, False),
        (nights(True, True, True, True, fired=4), DriftState.DRIFT, True),
    ],
)
def test_a_drift_takes_two_of_three_windows_and_is_told_once_until_it_has_cooled_down(
    judge, ordinary, history, state, fires
):
    decision = judge(ordinary(100, seed=2, brightness=np.full(100, 220.0)), history=history)
    assert (decision.state, decision.fires, decision.raised) == (state, fires, True)


@pytest.mark.parametrize(("days", "state"), [(31, DriftState.DRIFT), (33, DriftState.WARN)])
def test_a_window_of_long_ago_confirms_nothing(judge, ordinary, days, state):
    history = [PastWindow(NIGHT - timedelta(days=days), raised=True)]
    assert (
        judge(ordinary(100, seed=2, brightness=np.full(100, 220.0)), history=history).state is state
    )


def test_an_ordinary_window_is_ok_whatever_came_before(judge, ordinary):
    decision = judge(ordinary(100, seed=2), history=nights(True, True))
    assert (decision.state, decision.fires, decision.raised) == (DriftState.OK, False, False)


@pytest.mark.parametrize(
    ("window", "reference", "line"),
    [
        (49, 200, "the window has 49 images with a prediction, 50 are needed"),
        (200, 49, "the reference has 49 images with a prediction, 50 are needed"),
        (0, 200, "the window has 0 images with a prediction, 50 are needed"),
    ],
)
def test_too_few_images_are_never_judged(judge, ordinary, window, reference, line):
    decision = judge(ordinary(window, width=np.full(window, 1e6)), ordinary(reference))
    assert decision.state is DriftState.INSUFFICIENT_DATA
    assert decision.reasons == (line,)
    assert decision.columns == ()


def test_the_policy_says_how_many_images_are_enough(judge, ordinary):
    decision = judge(ordinary(20, seed=2), ordinary(200), policy=OfFewValues(minimum_samples=20))
    assert decision.state is DriftState.OK


def test_many_failed_images_are_a_data_fault(judge, ordinary):
    decision = judge(ordinary(90, seed=2), failed=10)
    assert decision.state is DriftState.DATA_FAULT
    assert decision.reasons == ("10 of 100 images (10%) cannot be read or predicted: data fault",)


def test_few_failed_images_are_not(judge, ordinary):
    assert judge(ordinary(95, seed=2), failed=5).state is DriftState.OK


def test_a_window_of_failures_is_a_data_fault_and_not_merely_too_small(judge, ordinary):
    decision = judge(ordinary(10), failed=90)
    assert decision.state is DriftState.DATA_FAULT
    assert len(decision.reasons) == 2


def test_blank_frames_are_a_data_fault_and_never_fire(judge, ordinary):
    contrast = np.where(np.arange(100) < 15, 0.0, 100.0 + np.arange(100) / 10)
    decision = judge(ordinary(100, seed=2, contrast=contrast), history=nights(True, True))
    assert (decision.state, decision.fires) == (DriftState.DATA_FAULT, False)
    assert decision.reasons[0] == "15 of 100 images (15%) are blank: data fault"


def test_a_night_of_broken_images_is_no_evidence_of_a_drift_the_night_after(judge, ordinary):
    black = judge(
        ordinary(100, seed=2, contrast=np.zeros(100), brightness=np.zeros(100)),
        history=nights(False),
    )
    assert (black.state, black.raised) == (DriftState.DATA_FAULT, False)
    assert any(reason.startswith("brightness moved") for reason in black.reasons)
    few = judge(ordinary(10, seed=3, brightness=np.zeros(10)), history=nights(False))
    assert (few.state, few.raised) == (DriftState.INSUFFICIENT_DATA, False)
    odd = judge(
        ordinary(100, seed=4, brightness=np.full(100, 220.0)),
        history=nights(black.raised, few.raised),
    )
    assert (odd.state, odd.fires) == (DriftState.WARN, False)


def test_frames_of_a_new_size_are_a_data_fault_where_sizes_are_few(judge, ordinary):
    def sized(count, width, seed):
        return ordinary(count, seed=seed, width=np.full(count, width), height=np.full(count, 480.0))

    decision = judge(sized(100, 320.0, 2), sized(200, 640.0, 1))
    assert decision.state is DriftState.DATA_FAULT
    assert decision.reasons[0].startswith(
        "100 of 100 images (100%) have a size that the reference does not know"
    )


def sized(ordinary, count, sizes, seed):
    """Images of a few (width, share) in px."""
    widths, shares = zip(*sizes, strict=True)
    width = np.random.default_rng(seed).choice(np.array(widths, np.float64), count, p=shares)
    return ordinary(
        count,
        seed=seed,
        width=width,
        height=width,
        aspect=np.ones(count),
        megapixels=width**2 / 1e6,
    )


def test_a_source_of_many_sizes_may_show_one_that_the_reference_has_not(judge, ordinary):
    shares = 1 / np.arange(1, 19) ** 2.0
    sizes = [(640 + 10 * k, share) for k, share in enumerate(shares / shares.sum())]
    for seed in range(5):
        decision = judge(sized(ordinary, 1000, sizes, 50 + seed), sized(ordinary, 300, sizes, seed))
        assert decision.state is DriftState.OK


@pytest.mark.parametrize("cameras", [1, 30])
def test_one_camera_that_sends_another_size_is_a_data_fault_however_many_there_are(
    judge, ordinary, cameras
):
    sizes = [(640 + 10 * k, 1 / cameras) for k in range(cameras)]
    window = sized(ordinary, 300, sizes, 2)
    window["width"][:30] = 320.0
    decision = judge(window, sized(ordinary, 900, sizes, 1))
    assert decision.reasons[0].startswith(
        "30 of 300 images (10%) have a size that the reference does not know"
    )
    assert decision.state is DriftState.DATA_FAULT


def test_another_statistics_recipe_is_incompatible(judge, ordinary):
    with pytest.raises(
        IncompatibleError, match="the statistics recipe of the reference, 2, found 1"
    ):
        judge(ordinary(), recipe=1)


@pytest.mark.parametrize("model", ["digits/4", "cats/3", "cats"])
def test_another_model_is_incompatible(judge, ordinary, model):
    with pytest.raises(IncompatibleError, match="the model of the reference, digits/3"):
        judge(ordinary(), model=model)


def test_a_reference_made_before_its_version_had_a_number_is_compatible(
    tmp_path, write_run, ordinary
):
    path = build_reference(
        write_run(ordinary(seed=1), model="digits"), tmp_path / "reference.parquet"
    )
    assert assess(write_run(ordinary(seed=2), model="digits/3"), path).state is DriftState.OK


def test_columns_on_one_side_only_are_incompatible_and_named(judge, ordinary):
    window = ordinary(prediction_novelty=np.zeros(100))
    del window["prediction_count"]
    with pytest.raises(IncompatibleError) as raised:
        judge(window)
    assert "only in the reference: prediction_count; only in the window: prediction_novelty" in str(
        raised.value
    )


def test_numbers_here_and_names_there_are_incompatible(judge, ordinary):
    with pytest.raises(IncompatibleError, match="names in prediction_count"):
        judge(ordinary(prediction_count=["many"] * 100))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("minimum_samples", 1),
        ("false_discovery_rate", 0),
        ("distance", 1.5),
        ("fault_share", -0.1),
        ("cooldown_hours", -1),
    ],
)
def test_a_policy_outside_its_range_is_refused_by_name(setting, value):
    with pytest.raises(ConfigError, match=setting):
        DriftPolicy(**{setting: value})


def test_a_decision_survives_strict_json(judge, ordinary):
    decision = judge(
        ordinary(100, seed=2, width=np.full(100, 7.0), prediction_top_class=np.full(100, 9))
    )
    text = json.dumps(dump(decision), allow_nan=False)
    assert load(DriftDecision, json.loads(text)) == decision


@pytest.mark.slow
def test_scenes_by_day_are_ok_and_by_night_are_drift(
    judge, accepted_scenes, day_scenes, night_scenes
):
    assert judge(day_scenes, accepted_scenes).state is DriftState.OK
    night = judge(night_scenes, accepted_scenes)
    assert night.state is DriftState.DRIFT
    assert {"brightness", "contrast", "edge_density"} <= {
        c.column for c in night.columns if c.drifted
    }


def test_a_window_like_one_of_two_known_conditions_is_ok(tmp_path, write_run, ordinary):
    day, night = (
        ordinary(200, seed=1),
        ordinary(120, seed=2, brightness=np.random.default_rng(2).normal(20, 4, 120)),
    )
    runs = [write_run(day), write_run(night)]
    path = build_reference(runs, tmp_path / "reference.parquet", conditions=["day", "night"])
    dark = assess(
        write_run(ordinary(150, seed=3, brightness=np.random.default_rng(3).normal(20, 4, 150))),
        path,
    )
    bright = assess(write_run(ordinary(150, seed=4)), path)
    assert (dark.state, dark.condition) == (DriftState.OK, "night")
    assert (bright.state, bright.condition) == (DriftState.OK, "day")
    only_day = build_reference(runs[0], tmp_path / "day.parquet")
    assert (
        assess(write_run(ordinary(150, seed=3, brightness=np.full(150, 20.0))), only_day).state
        is DriftState.DRIFT
    )


def test_a_window_of_both_known_conditions_is_ok_and_one_between_them_is_not(
    tmp_path, write_run, ordinary
):
    def of(brightness, seed):
        return write_run(ordinary(len(brightness), seed=seed, brightness=brightness))

    def around(*means):
        return np.concatenate([np.random.default_rng(mean).normal(mean, 4, 100) for mean in means])

    runs = [of(around(100), 1), of(around(20), 2)]
    path = build_reference(runs, tmp_path / "reference.parquet", conditions=["day", "night"])
    both = np.random.default_rng(5).permutation(around(101, 21))
    mixed = assess(of(both, 3), path)
    assert (mixed.state, mixed.condition) == (DriftState.OK, "mixed")
    dusk = assess(of(around(60, 61), 4), path)
    assert dusk.state is DriftState.DRIFT
    assert "moved by D=" in dusk.reasons[0], "an alert has the first reason: what moved"
    assert dusk.reasons[1].startswith("of the known conditions it is nearest to")
