"""Intervals of paired differences: they mirror, hold their promise, and always have a width."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.statistics.differences import ScoreDifference, ShareDifference, holm

FAST = settings(max_examples=60, deadline=None)
LEVELS = st.sampled_from([0.9, 0.975, 0.999])


@st.composite
def shares(draw: st.DrawFn) -> ShareDifference:
    both, won, lost, neither = draw(st.tuples(*[st.integers(0, 60)] * 4).filter(any))
    return ShareDifference(both + won + lost + neither, both + lost, won, lost)


@st.composite
def scores(draw: st.DrawFn) -> ScoreDifference:
    champion, challenger = draw(st.floats(0, 1)), draw(st.floats(0, 1))
    return ScoreDifference(
        champion, challenger, draw(st.integers(2, 400)), draw(st.floats(0, 0.2)), 0.01
    )


def swapped(difference: ScoreDifference | ShareDifference) -> ScoreDifference | ShareDifference:
    if isinstance(difference, ScoreDifference):
        one, other = difference.challenger, difference.champion
        return ScoreDifference(
            one, other, difference.images, difference.bootstrapped, difference.least
        )
    right = difference.right + difference.won - difference.lost
    return ShareDifference(difference.images, right, difference.lost, difference.won)


@FAST
@given(st.one_of(shares(), scores()), LEVELS)
def test_swapping_the_models_mirrors_the_difference_and_its_bounds(
    difference: ScoreDifference | ShareDifference, level: float
) -> None:
    other = swapped(difference)
    assert other.value == pytest.approx(-difference.value, abs=1e-12)
    assert other.low(level) == pytest.approx(-difference.high(level), abs=1e-7)
    assert other.achievable(level) == pytest.approx(difference.achievable(level), abs=1e-7)


@FAST
@given(st.one_of(shares(), scores()))
def test_bounds_enclose_the_value_and_widen_with_confidence(
    difference: ScoreDifference | ShareDifference,
) -> None:
    lows = [difference.low(level) for level in (0.999, 0.975, 0.9)]
    highs = [difference.high(level) for level in (0.9, 0.975, 0.999)]
    assert sorted([*lows, difference.value, *highs]) == pytest.approx(
        [*lows, difference.value, *highs], abs=1e-7
    )
    assert highs[1] - lows[1] > 1e-4
    assert difference.achievable(0.975) > 0


@FAST
@given(st.one_of(shares(), scores()), LEVELS)
def test_a_p_value_is_small_exactly_beyond_the_bound_of_its_level(
    difference: ScoreDifference | ShareDifference, level: float
) -> None:
    high = difference.high(level)
    if high < 0.99:
        assert difference.chance_above(high + 1e-4) < 1 - level
    if -0.99 < high - 1e-4:
        assert difference.chance_above(high - 1e-4) > 1 - level


def test_answers_that_never_differ_leave_the_interval_of_tango() -> None:
    z2 = 1.959964**2
    difference = ShareDifference(200, 190, 0, 0)
    assert difference.high(0.975) == pytest.approx(z2 / (200 + z2), abs=1e-6)
    assert difference.low(0.975) == pytest.approx(-difference.high(0.975))
    assert difference.achievable(0.975) == -difference.low(0.975)


@pytest.mark.parametrize(
    ("won", "lost", "bound"), [(12, 2, 0.1), (0, 7, -0.2), (5, 5, 0.03), (1, 0, -0.05)]
)
def test_the_statistic_is_that_of_the_likelihood_under_the_bound(
    won: int, lost: int, bound: float
) -> None:
    """The share of losses that makes won, lost and the rest most likely, found by search."""
    n = 60
    losses = np.linspace(max(0.0, -bound), (1 - bound) / 2, 400_001)[1:-1]
    likelihood = (
        won * np.log(losses + bound)
        + lost * np.log(losses)
        + (n - won - lost) * np.log1p(-2 * losses - bound)
    )
    best = losses[likelihood.argmax()]
    statistic = (won - lost - n * bound) / np.sqrt(n * (2 * best + bound * (1 - bound)))
    assert ShareDifference(n, 40, won, lost)._score(bound) == pytest.approx(statistic, abs=2e-3)


@pytest.mark.parametrize(
    ("gains", "losses", "images"), [(0.05, 0.05, 100), (0.02, 0.06, 200), (0.04, 0.0, 80)]
)
def test_intervals_of_shares_hold_the_truth_as_often_as_they_say(
    gains: float, losses: float, images: int
) -> None:
    rng = np.random.default_rng(0)
    won, lost, _ = rng.multinomial(images, [gains, losses, 1 - gains - losses], size=1500).T
    found = [
        ShareDifference(images, images // 2, int(b), int(c)) for b, c in zip(won, lost, strict=True)
    ]
    held = np.mean([one.low(0.975) <= gains - losses <= one.high(0.975) for one in found])
    assert 0.93 <= held <= 0.995


def test_of_a_family_in_which_nothing_is_true_holm_is_wrong_in_one_of_twenty_at_most() -> None:
    rng = np.random.default_rng(0)
    wrong = np.mean([min(holm(list(rng.random(20)))) <= 0.05 for _ in range(4000)])
    assert 0.035 < wrong < 0.06


def test_holm_is_that_of_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
