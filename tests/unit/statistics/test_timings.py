from __future__ import annotations

from math import comb

import pytest

from components.statistics.timings import (
    P95_FLOOR,
    ROUNDS_FLOOR,
    median_interval,
    noise_floor,
    p95_interval,
    quantile_ranks,
    speedup,
    summarise_latency,
)


@pytest.mark.parametrize(
    ("n", "ranks"), [(5, None), (6, (0, 5)), (7, (0, 6)), (9, (1, 7)), (20, (5, 14))]
)
def test_ranks_of_the_median_are_those_of_the_sign_test_tables(
    n: int, ranks: tuple[int, int] | None
) -> None:
    assert quantile_ranks(n, 0.5) == ranks


def test_p95_floor_is_the_least_number_that_holds_two_samples_beyond_it_at_99_percent() -> None:
    def at_most_one_beyond(n: int) -> float:
        return sum(comb(n, k) * 0.05**k * 0.95 ** (n - k) for k in (0, 1))

    assert at_most_one_beyond(P95_FLOOR) <= 0.01 < at_most_one_beyond(P95_FLOOR - 1)


def test_percentiles_are_none_below_their_floors() -> None:
    assert summarise_latency([[1.0] * 9]).p50_ms is None
    assert summarise_latency([[1.0] * 10]).p50_ms == 1.0
    assert summarise_latency([[1.0] * 129]).p95_ms is None
    assert summarise_latency([[1.0] * 130]).p95_ms == 1.0
    assert summarise_latency([]).samples == 0


def test_interval_of_the_median_needs_six_rounds() -> None:
    rounds = [[10.0 + k] * 5 for k in range(ROUNDS_FLOOR)]
    few, enough = summarise_latency(rounds[:-1]), summarise_latency(rounds)
    assert (few.p50_low_ms, few.p50_high_ms) == (None, None)
    assert (enough.p50_low_ms, enough.p50_high_ms) == (10.0, 15.0)


def test_p95_interval_encloses_the_percentile() -> None:
    estimate = p95_interval([[float(k) for k in range(70)], [float(k) for k in range(70, 140)]])
    assert estimate is not None
    assert (estimate.low, estimate.high) == (127.0, 138.0)
    assert estimate.value == pytest.approx(132.05)


def test_speedup_is_paired_by_round_so_that_a_busy_round_does_not_count() -> None:
    slow_moments = [1.0, 1.0, 3.0, 1.0, 5.0, 1.0, 1.0]
    baseline = [[20.0 * moment] * 3 for moment in slow_moments]
    variant = [[10.0 * moment] * 3 for moment in slow_moments]
    gain = speedup(baseline, variant)
    assert gain is not None
    assert (gain.low, gain.value, gain.high) == (2.0, 2.0, 2.0)


def test_speedup_refuses_variants_of_different_rounds() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        speedup([[1.0]] * 7, [[1.0]] * 6)


def test_noise_floor_is_the_largest_departure_of_the_twin() -> None:
    baseline = [[100.0]] * 7
    twin = [[100.0 / ratio] for ratio in (1.0, 1.01, 0.97, 1.0, 1.02, 0.99, 1.0)]
    assert noise_floor(baseline, twin) == pytest.approx(0.03)


def test_nothing_is_said_about_noise_with_too_few_rounds() -> None:
    assert noise_floor([[1.0]] * 5, [[1.0]] * 5) is None
    assert median_interval([1.0] * 5) is None
