"""The intervals and the choice, for any distribution and any measurement."""

from __future__ import annotations

from math import comb
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.benchmark.selection import choose
from components.benchmark.verdicts import Evidence, check_budget
from components.contracts import (
    Budget,
    Check,
    Fit,
    Format,
    Latency,
    Measurement,
    ModelArtifact,
    Precision,
    Target,
    Verdict,
    VisionSpec,
)
from components.statistics.timings import (
    Estimate,
    median_interval,
    noise_floor,
    quantile_ranks,
    speedup,
    summarise_latency,
)

FAST = settings(max_examples=100, deadline=None)  # a busy machine is no bug
milliseconds = st.floats(0.01, 1e5)
ROUNDS = st.lists(st.lists(milliseconds, min_size=1, max_size=8), min_size=6, max_size=14)
SPEC = VisionSpec("classify", ("a",), (8, 8), Fit.STRETCH, "logits")
ARTIFACT = ModelArtifact(Path("model.onnx"), Format.ONNX, Precision.FP32, "0", SPEC, (), ())


@FAST
@given(
    n=st.integers(1, 400),
    quantile=st.sampled_from([0.5, 0.9, 0.95]),
    confidence=st.sampled_from([0.9, 0.95, 0.99]),
)
def test_order_statistics_cover_the_quantile_at_least_as_often_as_they_say(
    n: int, quantile: float, confidence: float
) -> None:
    ranks = quantile_ranks(n, quantile, confidence)
    chances = [comb(n, k) * quantile**k * (1 - quantile) ** (n - k) for k in range(n + 1)]
    if ranks is None:
        # then the quantile is too often beyond even the smallest or the largest sample
        assert max(chances[0], chances[n]) > (1 - confidence) / 2 - 1e-12
    else:
        low, high = ranks
        assert sum(chances[low + 1 : high + 1]) >= confidence - 1e-9


@FAST
@given(ROUNDS)
def test_median_lies_in_its_interval(rounds: list[list[float]]) -> None:
    latency = summarise_latency(rounds)
    if latency.p50_ms is not None:
        assert latency.p50_low_ms is not None
        assert latency.p50_high_ms is not None
        assert latency.p50_low_ms <= latency.p50_ms <= latency.p50_high_ms


@FAST
@given(st.lists(milliseconds, min_size=6, max_size=40), st.permutations(range(6)))
def test_interval_of_a_median_does_not_depend_on_the_order(
    samples: list[float], order: list[int]
) -> None:
    turned = [samples[k] for k in order] + samples[6:]
    assert median_interval(samples) == median_interval(turned)


@FAST
@given(ROUNDS, st.floats(0.1, 10))
def test_speedup_of_a_uniformly_faster_variant_is_its_factor(
    rounds: list[list[float]], factor: float
) -> None:
    gain = speedup(rounds, [[call / factor for call in calls] for calls in rounds])
    assert gain is not None
    assert gain.low == pytest.approx(factor)
    assert gain.high == pytest.approx(factor)


@FAST
@given(ROUNDS)
def test_a_file_against_itself_has_no_noise(rounds: list[list[float]]) -> None:
    assert noise_floor(rounds, rounds) == 0


@FAST
@given(
    low=milliseconds,
    widths=st.tuples(st.floats(1, 2), st.floats(1, 2)),
    noise=st.floats(0, 0.5),
    limit=milliseconds,
)
def test_p95_passes_only_if_all_that_it_may_be_is_within_the_limit(
    low: float, widths: tuple[float, float], noise: float, limit: float
) -> None:
    value, high = low * widths[0], low * widths[0] * widths[1]
    evidence = Evidence(Estimate(value, low, high), noise, 1.0, None, None, None, 0)
    (check,) = check_budget(evidence, Budget(p95_ms=limit), measured_on_host=False)
    assert (check.verdict is Verdict.PASS) == (high * (1 + noise) <= limit)
    assert (check.verdict is Verdict.FAIL) == (low / (1 + noise) > limit)


@st.composite
def _measurements(draw: st.DrawFn) -> list[Measurement]:
    found = []
    for number in range(draw(st.integers(1, 5))):
        ratio = draw(st.floats(0.5, 2))
        verdicts = draw(st.lists(st.sampled_from(Verdict), max_size=2))
        p50 = draw(st.none() | milliseconds)
        speed = (
            None if number == 0 else draw(st.none() | st.just((ratio, ratio * 0.95, ratio * 1.05)))
        )
        checks = tuple(Check("size_mb", 2.0, 1.0, verdict) for verdict in verdicts)
        error = draw(st.sampled_from(["", "", "", "crashed"]))
        latency = Latency(20, p50, None, None, None)
        found.append(
            Measurement(
                f"v{number}", ARTIFACT, "b", latency, 1.0, 1, 1.0, 1.0, {}, 1, speed, checks, error
            )
        )
    return found


@FAST
@given(_measurements(), st.none() | st.floats(0, 0.2))
def test_what_ships_fails_nothing_and_beats_the_baseline_or_is_it(
    measurements: list[Measurement], noise: float | None
) -> None:
    target = Target("t", "", ("b",), "cpu", 0, (Precision.FP32,), Budget())
    chosen, reasons = choose(measurements, baseline="v0", noise_floor=noise, target=target)

    def fit(m: Measurement) -> bool:
        return not m.error and all(check.verdict is not Verdict.FAIL for check in m.checks)

    assert (chosen is None) == (not any(fit(m) for m in measurements))
    assert sorted(line.split(":")[0] for line in reasons if line.startswith("v")) == [
        m.variant for m in measurements
    ]
    if chosen is None:
        return
    best = next(m for m in measurements if m.variant == chosen)
    assert fit(best)
    if fit(measurements[0]) and chosen != "v0":
        assert best.speedup is not None
        assert noise is not None
        assert best.speedup[1] > 1 + noise


@pytest.mark.slow
def test_a_variant_that_is_no_faster_is_accepted_in_few_runs_and_one_that_is_in_most() -> None:
    """Two thousand simulated runs of seven rounds with 3 % noise a round and 1 % a process."""
    rng = np.random.default_rng(0)

    def accepted(factor: float) -> float:
        hits = 0
        for _ in range(2000):
            process = rng.normal(1, 0.01, 3)
            base, twin, variant = (p * rng.lognormal(0, 0.03, (7, 1)) for p in process)
            gain, noise = speedup(base, variant / factor), noise_floor(base, twin)
            assert gain is not None
            assert noise is not None
            hits += gain.low > 1 + noise
        return hits / 2000

    assert accepted(1.0) <= 0.01
    assert accepted(1.3) >= 0.95
