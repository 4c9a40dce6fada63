"""What the gates let through: for any evidence, and for evidence of which something is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contracts import Check, Gate, GateReport, Verdict
from components.errors import ConfigError
from components.evaluation.cost_rules import latency_verdict
from components.evaluation.gate_policy import GatePolicy
from components.evaluation.gate_rules import (
    EvaluationResult,
    Evidence,
    Slice,
    evaluate_gates,
)
from components.evaluation.interleaved import Cost, Ratio
from components.statistics.differences import Difference, ScoreDifference, ShareDifference
from components.statistics.timings import Estimate, p95_ratio

FAST = settings(max_examples=100, deadline=None)


def score(
    champion: float, challenger: float, error: float = 0.004, images: int = 300
) -> ScoreDifference:
    return ScoreDifference(champion, challenger, images, error, 0.001)


def examined(
    difference: Difference, slices: tuple[Slice, ...] = (), images: int = 300
) -> EvaluationResult:
    return EvaluationResult(
        images, "map50_95", difference.champion, difference.challenger, difference, slices
    )


COST = Cost(Estimate(10, 9.5, 11), 200, 6.0, 150.0)
GOOD = Evidence(
    golden=examined(
        score(0.812, 0.809), (Slice("class 7", 80, "objects", score(0.8, 0.79, 0.02)),)
    ),
    recent=examined(score(0.50, 0.62, 0.015)),
    champion=COST,
    challenger=COST,
    ratio=Ratio(Estimate(1.01, 0.97, 1.05), 0.03),
    missing="",
    budget=(Check("p95_ms", 10.0, 50.0, Verdict.PASS, "between 9.5 and 11.0 ms"),),
    bundle=Check("bundle", None, None, Verdict.PASS, "3 images answered"),
)


def report(
    evidence: Evidence, policy: GatePolicy | None = None, *, require: bool = True
) -> GateReport:
    return GateReport(
        "m/1", "m/2", evaluate_gates(evidence, policy or GatePolicy(), require_improvement=require)
    )


def gate(evidence: Evidence, name: str, policy: GatePolicy | None = None) -> Gate:
    return next(found for found in report(evidence, policy).gates if found.name == name)


def with_slice(*slices: Slice) -> Evidence:
    return replace(GOOD, golden=replace(GOOD.golden, slices=slices))


def test_a_good_challenger_passes_every_gate_and_its_reasons_have_numbers() -> None:
    done = report(GOOD)
    assert done.passed
    assert [found.name for found in done.gates] == [
        "golden", "recent", "class 7", "p95_ms", "size_mb", "peak_rss_mb",
        "budget p95_ms", "bundle",
    ]  # fmt: skip
    assert done.reasons[0] == (
        "golden: pass, mAP50-95 0.812 → 0.809, difference −0.003 [−0.011, +0.005] on 300 images; "
        "the margin is 0.02, 0.008 could have been shown"
    )


ABSENT = {
    "golden": {
        "golden": EvaluationResult(
            300, "map50_95", None, 0.8, missing="there is no champion to compare with"
        )
    },
    "recent": {"recent": None},
    "recent difference": {"recent": EvaluationResult(300, "map50_95")},
    "champion": {"champion": None},
    "challenger": {"challenger": Cost(None, 0, None, None)},
    "ratio": {"ratio": Ratio()},
    "noise": {"ratio": Ratio(Estimate(1, 0.9, 1.1), None)},
    "bundle": {"bundle": Check("bundle", None, None, Verdict.NOT_EVALUATED)},
    "budget": {"budget": (Check("p95_ms", None, 50.0, Verdict.NOT_EVALUATED),)},
}
LIMITS = (
    "margin",
    "least_improvement",
    "slice_margin",
    "latency_increase",
    "size_ratio",
    "memory_ratio",
)


@FAST
@given(st.sets(st.sampled_from(sorted(ABSENT))), st.sets(st.sampled_from(LIMITS)))
def test_whatever_is_missing_nothing_is_promoted(absent: set[str], limits: set[str]) -> None:
    changes = {key: value for name in sorted(absent) for key, value in ABSENT[name].items()}
    evidence, policy = replace(GOOD, **changes), GatePolicy(**dict.fromkeys(limits))
    done = report(evidence, policy)
    assert done.passed == (not absent and not limits)
    assert all(found.reason or found.name in ("bundle", "budget p95_ms") for found in done.gates)


@FAST
@given(
    value=st.floats(-0.2, 0.2),
    error=st.floats(0.0, 0.1),
    images=st.integers(2, 600),
    ratio=st.floats(0.3, 4),
    width=st.floats(1, 2),
    noise=st.floats(0, 3),
)
def test_what_is_promoted_is_no_worse_by_the_margin_better_and_never_twice_as_slow(
    value: float, error: float, images: int, ratio: float, width: float, noise: float
) -> None:
    difference = score(0.5, 0.5 + value, error, images)
    times = Ratio(Estimate(ratio, ratio / width, ratio * width), noise)
    accuracy = examined(difference, images=images)
    done = report(replace(GOOD, golden=accuracy, recent=accuracy, ratio=times))
    if done.passed:
        assert images >= 30
        assert difference.low(0.975) > -0.02
        assert difference.low(0.999) > 0
        assert ratio < 1.5


@pytest.mark.parametrize(
    ("challenger", "error", "verdict", "words"),
    [
        (0.80, 0.001, Verdict.PASS, "the margin is 0.02"),
        (0.70, 0.01, Verdict.FAIL, "difference −0.100 [−0.120, −0.080]"),
        (
            0.80,
            0.02,
            Verdict.UNDECIDED,
            "0.039 could have been shown, about 1,165 images would show 0.02",
        ),
        (0.783, 0.009, Verdict.UNDECIDED, "0.018 could have been shown"),
    ],
)
def test_the_golden_gate_is_passed_only_by_what_is_shown(
    challenger: float, error: float, verdict: Verdict, words: str
) -> None:
    found = gate(replace(GOOD, golden=examined(score(0.8, challenger, error))), "golden")
    assert found.verdict is verdict
    assert words in found.reason


def test_few_images_never_promote_even_where_all_are_equal() -> None:
    few = examined(score(0.8, 0.8, 0.0, 29), images=29)
    found = gate(replace(GOOD, golden=few), "golden")
    assert found.verdict is Verdict.UNDECIDED
    assert found.reason.endswith("30 images are the least")


def test_an_exchanged_golden_set_is_not_evaluated_and_its_values_are_shown() -> None:
    found = gate(replace(GOOD, golden=replace(GOOD.golden, missing="not the golden set")), "golden")
    assert (found.verdict, found.champion, found.reason) == (
        Verdict.NOT_EVALUATED,
        0.812,
        "not the golden set",
    )


def test_an_improvement_by_luck_is_not_enough() -> None:
    """Two standard errors: one challenger in forty that are no better reaches them."""
    found = gate(replace(GOOD, recent=examined(score(0.5, 0.53, 0.015))), "recent")
    assert found.difference is not None and found.difference[1] > 0
    assert found.verdict is Verdict.UNDECIDED
    assert (
        gate(replace(GOOD, recent=examined(score(0.5, 0.45, 0.01))), "recent").verdict
        is Verdict.FAIL
    )


@pytest.mark.parametrize(
    ("recent", "verdict"),
    [
        (score(0.5, 0.49), Verdict.PASS),
        (score(0.5, 0.44, 0.05), Verdict.PASS),
        (score(0.5, 0.475, 0.01), Verdict.UNDECIDED),
        (score(0.6, 0.2), Verdict.FAIL),
    ],
)
def test_where_recent_images_were_not_the_cause_a_challenger_must_not_have_lost_on_them(
    recent, verdict
) -> None:
    done = report(replace(GOOD, recent=examined(recent)), require=False)
    (found,) = (gate for gate in done.gates if gate.name == "recent")
    assert found.verdict is verdict
    assert done.passed is (verdict is Verdict.PASS)


def test_recent_images_that_cannot_be_compared_hold_back_only_where_they_were_the_cause() -> None:
    unknown = replace(
        GOOD, recent=EvaluationResult(300, "map50_95", missing="no object in these images")
    )
    assert report(unknown, require=False).passed
    assert not report(unknown, require=True).passed
    assert report(replace(GOOD, recent=None), require=False).passed


def test_a_broken_class_is_named_and_small_slices_hold_nobody_back() -> None:
    broken = Slice("class 3", 60, "objects", score(0.85, 0.02, 0.05, 50))
    small = Slice("class 4", 49, "objects", score(0.85, 0.02, 0.05, 40))
    fine = Slice("brightness ≤ 80", 100, "images", score(0.8, 0.81, 0.02, 100))
    done = report(with_slice(broken, small, fine))
    assert [line.partition(":")[0] for line in done.reasons] == ["class 3"]
    assert (
        "AP50-95 0.850 → 0.020" in done.reasons[0] and "worse by more than 0.05" in done.reasons[0]
    )
    assert gate(with_slice(small), "class 4").verdict is Verdict.NOT_EVALUATED
    assert report(with_slice(small, fine)).passed


def test_a_loss_that_is_real_but_perhaps_small_is_undecided() -> None:
    found = gate(
        with_slice(Slice("class 3", 60, "objects", score(0.85, 0.77, 0.022, 50))), "class 3"
    )
    assert found.verdict is Verdict.UNDECIDED


@pytest.mark.slow
def test_slices_of_equal_models_hold_back_few_challengers() -> None:
    """Twenty slices whose true difference is 0, a thousand times."""
    rng, held = np.random.default_rng(0), 0
    for errors in rng.uniform(0.015, 0.05, (1000, 20)):
        slices = [
            Slice(f"class {k}", 60, "objects", score(0.8, 0.8 + rng.normal(0, error), error, 60))
            for k, error in enumerate(errors)
        ]
        held += not report(with_slice(*slices)).passed
    assert held <= 60, "one in twenty at most"


def test_the_slices_of_recent_images_are_named_so() -> None:
    recent = examined(
        score(0.5, 0.62, 0.015), (Slice("class 7", 80, "objects", score(0.8, 0.2, 0.03)),)
    )
    done = report(replace(GOOD, recent=recent))
    assert [line.partition(":")[0] for line in done.reasons] == ["recent class 7"]


def test_shares_of_right_answers_are_gated_alike() -> None:
    top_one = EvaluationResult(800, "top1", 0.9, 0.9, ShareDifference(800, 720, 8, 8))
    found = gate(replace(GOOD, golden=top_one), "golden")
    assert found.verdict is Verdict.PASS
    assert found.reason.startswith("top-1 0.900 → 0.900, difference 0.000 [−0.0")


def test_a_ratio_a_hair_beyond_its_limit_is_not_shown_as_the_limit() -> None:
    bigger = replace(GOOD, challenger=Cost(COST.p95, 200, 7.512, 150.0))
    found = gate(bigger, "size_mb")
    assert found.verdict is Verdict.FAIL and found.reason.endswith("1.252×; the limit is 1.250×")


@pytest.mark.parametrize(("challenger", "verdict"), [(7.5, Verdict.PASS), (7.6, Verdict.FAIL)])
def test_size_and_memory_keep_within_their_ratio(challenger: float, verdict: Verdict) -> None:
    bigger = replace(GOOD, challenger=Cost(COST.p95, 200, challenger, 25 * challenger))
    assert gate(bigger, "size_mb").verdict is verdict
    assert gate(bigger, "peak_rss_mb").verdict is verdict
    assert "×; the limit is 1.25×" in gate(bigger, "size_mb").reason


def _times(rng: np.random.Generator, factor: float, busy: np.ndarray) -> np.ndarray:
    """Draw one process's calls, (rounds, calls): busy rounds, one call in twenty far behind."""
    calls = factor * 10 * rng.normal(1, 0.01) * busy * rng.lognormal(0, 0.08, (len(busy), 20))
    return np.asarray(
        calls * np.where(rng.random(calls.shape) < 0.05, rng.uniform(1.2, 2.5, calls.shape), 1)
    )


def _raced(rng: np.random.Generator, factor: float) -> Verdict:
    """Up to four looks of ten rounds on a machine that others use, as `measure_both` takes them."""
    verdict, runs = Verdict.UNDECIDED, np.empty((3, 0, 20))
    for _ in range(4):
        busy = rng.choice([1, 1.5, 3], (10, 1), p=[0.7, 0.2, 0.1])
        runs = np.concatenate([runs, [_times(rng, f, busy) for f in (1, 1, factor)]], axis=1)
        itself, ratio = p95_ratio(runs[0], runs[1]), p95_ratio(runs[0], runs[2])
        assert itself is not None and ratio is not None
        noise = max(abs(itself.low - 1), abs(itself.high - 1))
        verdict = latency_verdict(Ratio(ratio, noise), 0.10)
        if verdict is not Verdict.UNDECIDED:
            break
    return verdict


@pytest.mark.slow
def test_on_a_busy_machine_an_equal_challenger_passes_and_one_twice_as_slow_never_does() -> None:
    rng = np.random.default_rng(0)
    assert sum(_raced(rng, 1.0) is Verdict.PASS for _ in range(40)) >= 38
    assert all(_raced(rng, 2.0) is Verdict.FAIL for _ in range(25))


@pytest.mark.parametrize(
    ("ratio", "increase", "verdict"),
    [
        (Estimate(1.7, 1.5, 1.9), 0.10, Verdict.UNDECIDED),
        (Estimate(1.1, 0.9, 1.3), 0.10, Verdict.UNDECIDED),
        (Estimate(1.7, 1.5, 1.9), 10.0, Verdict.PASS),
    ],
)
def test_a_noise_above_the_limit_decides_only_what_it_cannot_exceed(
    ratio, increase, verdict
) -> None:
    busy = replace(GOOD, ratio=Ratio(ratio, 0.8))
    found = gate(busy, "p95_ms", GatePolicy(latency_increase=increase))
    assert (found.verdict, found.noise) == (verdict, 0.8)
    assert found.reason.startswith(
        "busy machine: measure again; a noise of 80% is above 30%; 10.0 → 10.0 ms"
    )
    done = report(busy, GatePolicy(latency_increase=increase))
    assert (done.passed, done.to_measure_again) == (
        verdict is Verdict.PASS,
        verdict is Verdict.UNDECIDED,
    )
    wrong = replace(busy, golden=examined(score(0.8, 0.5)))
    assert not report(wrong).to_measure_again, "a loss of accuracy is a loss on any machine"


def test_times_that_a_quiet_machine_leaves_undecided_keep_the_challenger_back_on_record() -> None:
    quiet = replace(GOOD, ratio=Ratio(Estimate(1.1, 0.95, 1.3), 0.05))
    found = gate(quiet, "p95_ms", GatePolicy(latency_increase=0.10))
    assert (found.verdict, found.noise) == (Verdict.UNDECIDED, None)
    done = report(quiet, GatePolicy(latency_increase=0.10))
    assert (done.passed, done.to_measure_again) == (False, False)


@pytest.mark.parametrize("shape", [(5, 40), (10, 12)])
def test_too_few_rounds_or_calls_give_no_ratio(shape: tuple[int, int]) -> None:
    assert p95_ratio(np.ones(shape).tolist(), np.ones(shape).tolist()) is None


@pytest.mark.parametrize(
    "limit",
    [
        {"margin": 0},
        {"margin": 2},
        {"least_improvement": -0.1},
        {"slice_samples": 1},
        {"size_ratio": 0},
    ],
)
def test_a_limit_out_of_its_range_is_refused(limit: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(limit))):
        GatePolicy(**limit)
