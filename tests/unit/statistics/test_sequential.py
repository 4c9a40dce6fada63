"""Confidence sequences: they hold at every look, and only ever get narrower."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contracts import AbVerdict
from components.evaluation.ab_verdict import AbPlan, decide, evaluate_ab
from components.statistics.sequential import (
    confidence_sequence,
    difference_of_sequences,
    paired_sequence,
)

FAST = settings(max_examples=60, deadline=None)
scores = st.lists(st.sampled_from([0.0, 0.3, 0.5, 1.0]), min_size=1, max_size=60)
differences = st.lists(st.sampled_from([-1.0, -0.2, 0.0, 0.2, 1.0]), min_size=1, max_size=80)


def equals(rng, images, rate=0.2):
    """Draw differences of two equally good versions, one alone right on a share of the images."""
    return rng.choice([-1.0, 0.0, 1.0], images, p=[rate / 2, 1 - rate, rate / 2])


@FAST
@given(scores, scores)
def test_one_more_image_never_widens_the_interval(values, more):
    before = confidence_sequence(values, resolution=0.05)
    after = confidence_sequence(values + more, resolution=0.05)
    assert before.low <= after.low and after.high <= before.high


@FAST
@given(scores)
def test_the_interval_of_the_mirrored_scores_is_the_mirror_of_the_interval(values):
    one = confidence_sequence(values, resolution=0.1)
    other = confidence_sequence([1 - value for value in values], resolution=0.1)
    assert (1 - one.low, 1 - one.high) == pytest.approx((other.high, other.low), abs=1e-6)


@FAST
@given(differences, differences, st.floats(0.01, 0.5))
def test_a_winner_is_never_overtaken_but_only_contradicted(values, more, delta):
    """A later look confirms the winner, or finds that no single difference fits all images."""
    plan = AbPlan(delta, sequential=True)
    rows = np.array([[0.5 - d / 2, 0.5 + d / 2] for d in values + more])
    first, later = evaluate_ab(rows[: len(values)], plan), evaluate_ab(rows, plan)
    if first.verdict in (AbVerdict.A, AbVerdict.B):
        assert later.verdict is first.verdict or (
            later.verdict is AbVerdict.UNDECIDED and later.interval is None
        )


@FAST
@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0.001, 0.5))
def test_the_verdict_follows_the_interval(low, high, delta):
    verdict = decide(low, high, delta)
    if low > high:
        assert verdict is AbVerdict.UNDECIDED
        return
    assert (verdict is AbVerdict.B) == (low > 0)
    assert (verdict is AbVerdict.A) == (high < 0)
    if verdict is AbVerdict.NO_DIFFERENCE:
        assert -delta < low <= 0 <= high < delta
    mirror = {AbVerdict.A: AbVerdict.B, AbVerdict.B: AbVerdict.A}
    assert decide(-high, -low, delta) is mirror.get(verdict, verdict), (
        "swapping the arms swaps the verdict"
    )


@FAST
@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0.001, 0.4), st.floats(1, 2))
def test_a_larger_delta_decides_no_less(low, width, delta, factor):
    if decide(low, low + width, delta) is not AbVerdict.UNDECIDED:
        assert decide(low, low + width, min(delta * factor, 0.99)) is decide(
            low, low + width, delta
        )


def test_equals_are_told_apart_in_at_most_one_of_twenty_tests_however_often_one_looks():
    """An interval holds all that earlier looks gave, so the last tells whether any look erred."""
    rng = np.random.default_rng(5)
    tests, images, looks = 200, 400, range(20, 401, 20)
    wrong = naive = 0
    for _ in range(tests):
        values = equals(rng, images)
        found = paired_sequence(values, delta=0.1)
        wrong += found.low > 0 or found.high < 0
        naive += any(abs(values[:n].mean()) > 1.96 * values[:n].std() / np.sqrt(n) for n in looks)
    assert wrong <= 0.05 * tests
    assert naive > 0.15 * tests, "who looks at plain intervals as often errs several times as often"


def test_equals_in_a_split_are_told_apart_as_rarely():
    rng = np.random.default_rng(6)
    wrong = 0
    for _ in range(100):
        a, b = (rng.binomial(1, 0.8, 200).astype(float) for _ in range(2))
        found = difference_of_sequences(a, b, delta=0.1)
        wrong += found.low > 0 or found.high < 0
    assert wrong <= 5


@pytest.mark.parametrize("mean", [0.1, 0.5, 0.97])
def test_the_true_mean_stays_inside_and_the_interval_shrinks_around_it(mean):
    values = np.random.default_rng(3).binomial(1, mean, 4000).astype(float)
    found = confidence_sequence(values, resolution=0.01)
    assert found.low < mean < found.high
    plain = 2 * 1.96 * np.sqrt(mean * (1 - mean) / 4000)
    assert found.high - found.low < 2.5 * plain


def test_a_version_that_is_clearly_better_wins_early():
    rng = np.random.default_rng(4)
    values = rng.choice([-1.0, 0.0, 1.0], 300, p=[0.05, 0.55, 0.4])
    rows = np.stack([(1 - values) / 2, (1 + values) / 2], axis=1)
    plan = AbPlan(0.05, sequential=True)
    assert evaluate_ab(rows, plan).verdict is AbVerdict.B
    assert evaluate_ab(rows[:60], plan).verdict is AbVerdict.B
    assert evaluate_ab(rows[:, ::-1], plan).verdict is AbVerdict.A


def test_identical_versions_show_no_difference_after_some_images_and_not_before():
    plan = AbPlan(0.05, sequential=True)
    rows = np.ones((500, 2))
    assert evaluate_ab(rows, plan).verdict is AbVerdict.NO_DIFFERENCE
    assert evaluate_ab(rows[:20], plan).verdict is AbVerdict.UNDECIDED


def test_a_difference_that_turns_round_is_said_to_have_changed():
    rows = np.array([[0.0, 1.0]] * 100 + [[1.0, 0.0]] * 400)
    found = evaluate_ab(rows, AbPlan(0.05, sequential=True))
    assert (found.verdict, found.interval) == (AbVerdict.UNDECIDED, None)
    assert "changed on the way" in found.reason
    apart = np.array([[0.0, np.nan], [np.nan, 1.0]] * 100 + [[1.0, np.nan], [np.nan, 0.0]] * 400)
    assert "changed on the way" in evaluate_ab(apart, AbPlan(0.05, 0.5, sequential=True)).reason
