"""The test of a fixed size: a plan first, one look at exactly that many images."""

from __future__ import annotations

import numpy as np
import pytest

from components.contracts import AbVerdict
from components.errors import ConfigError
from components.evaluation.ab_verdict import AbPlan, evaluate_ab
from components.statistics.fixed_size import PILOT, fixed_interval, planned_samples


def paired(rng, images, difference, rate=0.3):
    """Scores of two versions of which one alone is right on a share of the images."""
    better = rng.choice(
        [-1, 0, 1], images, p=[(rate - difference) / 2, 1 - rate, (rate + difference) / 2]
    )
    return np.stack([(1 - better) / 2, (1 + better) / 2], axis=1)


def split(rng, images, a, b):
    """Right or wrong, each image by one of two versions."""
    rows = np.full((images, 2), np.nan)
    arm = rng.integers(0, 2, images)
    rows[np.arange(images), arm] = rng.random(images) < np.array([a, b])[arm]
    return rows


def test_the_plan_is_the_textbook_number_but_for_the_imaginary_images():
    rng = np.random.default_rng(0)
    rows = paired(rng, 4000, 0.0)
    variance = (rows[:, 1] - rows[:, 0]).var()
    assert planned_samples(rows, delta=0.05, share=None) == pytest.approx(
        7.849 * variance / 0.05**2, rel=0.01
    )
    rows = split(rng, 4000, 0.8, 0.8)
    assert planned_samples(rows, delta=0.05, share=0.5) == pytest.approx(
        7.849 * 4 * 0.16 / 0.05**2, rel=0.05
    )


def test_a_smaller_delta_needs_more_images_and_an_even_split_the_fewest():
    rows = split(np.random.default_rng(1), 200, 0.8, 0.8)
    needed = [planned_samples(rows, delta=delta, share=0.5) for delta in (0.2, 0.1, 0.05)]
    assert needed == sorted(needed) and needed[0] < needed[2]
    shares = [planned_samples(rows, delta=0.05, share=share) for share in (0.1, 0.5, 0.9)]
    assert min(shares) == shares[1]


@pytest.mark.parametrize("share", [None, 0.5])
def test_the_plan_does_not_depend_on_which_version_is_better(share):
    rng = np.random.default_rng(2)
    rows = paired(rng, 150, 0.2) if share is None else split(rng, 150, 0.9, 0.6)
    assert planned_samples(rows, delta=0.05, share=share) == planned_samples(
        rows[:, ::-1], delta=0.05, share=share
    )


def test_nothing_is_looked_at_before_the_planned_number():
    rows = np.tile([0.0, 1.0], (400, 1))
    early = evaluate_ab(rows[:399], AbPlan(0.05, samples=400))
    assert (early.verdict, early.value, early.interval, early.planned) == (
        AbVerdict.UNDECIDED,
        None,
        None,
        400,
    )
    assert "1 are missing" in early.reason
    assert evaluate_ab(rows, AbPlan(0.05, samples=400)).verdict is AbVerdict.B
    unplanned = evaluate_ab(rows[: PILOT - 30], AbPlan(0.05))
    assert (unplanned.verdict, unplanned.planned) == (AbVerdict.UNDECIDED, None)
    assert "30 are missing" in unplanned.reason


def test_images_beyond_the_planned_number_change_nothing():
    rows = paired(np.random.default_rng(3), 300, 0.1)
    more = np.concatenate([rows, np.tile([1.0, 0.0], (900, 1))])
    plan = AbPlan(0.05, samples=300)
    assert evaluate_ab(rows, plan) == evaluate_ab(more, plan)
    unplanned = AbPlan(0.3)
    assert evaluate_ab(rows, unplanned) == evaluate_ab(more, unplanned)


@pytest.mark.parametrize("share", [None, 0.5])
def test_equals_are_told_apart_in_one_of_twenty_tests_and_a_difference_of_delta_is_seen_in_most(
    share,
):
    rng, delta = np.random.default_rng(4), 0.1
    plan = AbPlan(delta, share)

    def verdicts(difference):
        images = 3000
        draw = (
            paired if share is None else (lambda rng, n, d: split(rng, n, 0.8 - d / 2, 0.8 + d / 2))
        )
        return [evaluate_ab(draw(rng, images, difference), plan).verdict for _ in range(200)]

    wrong = sum(verdict in (AbVerdict.A, AbVerdict.B) for verdict in verdicts(0.0))
    seen = sum(verdict is AbVerdict.B for verdict in verdicts(delta))
    assert wrong <= 0.05 * 200 + 7  # two standard deviations of the count
    assert seen >= 0.8 * 200 - 11


def test_identical_versions_are_not_called_equal_by_a_handful_of_images():
    rows = np.ones((PILOT, 2))
    found = fixed_interval(rows, paired=True)
    assert found.low < -0.02 and found.high > 0.02
    assert evaluate_ab(rows, AbPlan(0.01, samples=PILOT)).verdict is AbVerdict.UNDECIDED
    assert evaluate_ab(np.ones((3000, 2)), AbPlan(0.02)).verdict is AbVerdict.NO_DIFFERENCE


def test_missing_scores_decide_nothing():
    for sequential in (False, True):
        nothing = evaluate_ab(np.zeros((0, 2)), AbPlan(0.1, sequential=sequential))
        assert (nothing.verdict, nothing.value, nothing.samples) == (AbVerdict.UNDECIDED, None, 0)
        only_a = np.stack([np.ones(500), np.full(500, np.nan)], axis=1)
        found = evaluate_ab(only_a, AbPlan(0.1, 0.5, sequential=sequential))
        assert (
            found.verdict is AbVerdict.UNDECIDED and "version B has no scored image" in found.reason
        )


def test_a_certain_difference_below_delta_is_said_to_be_small():
    rows = np.stack([np.full(4000, 0.50), np.full(4000, 0.51)], axis=1)
    found = evaluate_ab(rows, AbPlan(0.05, samples=4000))
    assert found.verdict is AbVerdict.B and "smaller than δ" in found.reason


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"delta": 0.0}, "δ"),
        ({"delta": 1.0}, "δ"),
        ({"delta": 0.1, "share": 1.0}, "share"),
        ({"delta": 0.1, "samples": 10}, "at least 100"),
        ({"delta": 0.1, "samples": 500, "sequential": True}, "sequential"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        AbPlan(**arguments)
