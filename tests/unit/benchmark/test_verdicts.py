from __future__ import annotations

from dataclasses import replace

import pytest

from components.benchmark.verdicts import Evidence, check_budget
from components.contracts import Budget, Check, Verdict
from components.statistics.differences import ScoreDifference, ShareDifference
from components.statistics.timings import Estimate

EVIDENCE = Evidence(
    p95_ms=Estimate(45.0, 42.0, 48.0),
    noise_floor=0.02,
    size_mb=9.5,
    peak_rss_mb=180.0,
    accuracy=0.88,
    reference_accuracy=0.90,
    images=300,
    difference=ScoreDifference(0.90, 0.88, 300, 0.0, 1e-12),
)
EVERYTHING = Budget(p95_ms=50, size_mb=10, peak_rss_mb=200, max_accuracy_drop=0.02)


def _only(checks: tuple[Check, ...]) -> Check:
    (check,) = checks
    return check


def test_there_is_one_check_for_each_limit_that_is_set() -> None:
    checks = check_budget(EVIDENCE, EVERYTHING, measured_on_host=False)
    assert [check.name for check in checks] == ["p95_ms", "size_mb", "peak_rss_mb", "accuracy_drop"]
    assert {check.verdict for check in checks} == {Verdict.PASS}
    assert check_budget(EVIDENCE, Budget(), measured_on_host=False) == ()


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [
        (49.0, Verdict.PASS),
        (48.5, Verdict.UNDECIDED),
        (42.0, Verdict.UNDECIDED),
        (41.0, Verdict.FAIL),
    ],
)
def test_p95_is_undecided_while_its_interval_widened_by_the_noise_holds_the_limit(
    limit: float, verdict: Verdict
) -> None:
    check = _only(check_budget(EVIDENCE, Budget(p95_ms=limit), measured_on_host=False))
    assert check.verdict is verdict
    assert check.value == 45.0
    assert check.reason == "between 41.2 and 49.0 ms"


def test_what_is_missing_is_not_evaluated() -> None:
    nothing = replace(EVIDENCE, p95_ms=None, peak_rss_mb=None, accuracy=None)
    checks = check_budget(nothing, EVERYTHING, measured_on_host=False)
    assert [check.verdict.value for check in checks] == [
        "not_evaluated",
        "pass",
        "not_evaluated",
        "not_evaluated",
    ]
    without_reference = replace(EVIDENCE, reference_accuracy=None)
    drop = _only(
        check_budget(without_reference, Budget(max_accuracy_drop=0.1), measured_on_host=False)
    )
    assert drop.verdict is Verdict.NOT_EVALUATED


def _drop(evidence: Evidence, limit: float) -> Check:
    return _only(check_budget(evidence, Budget(max_accuracy_drop=limit), measured_on_host=False))


@pytest.mark.parametrize(
    ("challenger", "error", "verdict"),
    [
        (0.899, 0.004, Verdict.PASS),
        (0.899, 0.012, Verdict.UNDECIDED),
        (0.875, 0.004, Verdict.UNDECIDED),
        (0.860, 0.004, Verdict.FAIL),
        (0.990, 0.010, Verdict.PASS),
    ],
)
def test_a_drop_passes_only_if_its_whole_interval_is_within_the_limit(
    challenger: float, error: float, verdict: Verdict
) -> None:
    difference = ScoreDifference(0.90, challenger, 300, error, 1e-9)
    check = _drop(replace(EVIDENCE, accuracy=challenger, difference=difference), 0.02)
    assert check.verdict is verdict
    assert check.value == pytest.approx(0.90 - challenger)
    high = 0.90 - challenger + 1.968 * error
    assert f"and {high:.4f}" in check.reason


def test_an_undecided_drop_says_how_many_images_would_show_that_it_is_within_the_limit() -> None:
    alike = ShareDifference(60, 54, 0, 0)
    check = _drop(replace(EVIDENCE, accuracy=0.9, difference=alike, images=60), 0.01)
    assert check.verdict is Verdict.UNDECIDED and "images would show it" in check.reason
    worse = replace(
        EVIDENCE, difference=ScoreDifference(0.90, 0.875, 300, 0.01, 1e-9), accuracy=0.875
    )
    assert "would show" not in _drop(worse, 0.02).reason


def test_the_reference_has_lost_nothing_and_numbers_that_are_none_pass_nothing() -> None:
    reference = replace(EVIDENCE, accuracy=0.9, difference=None, is_reference=True)
    assert _drop(reference, 0.0).verdict is Verdict.PASS
    assert _drop(replace(EVIDENCE, difference=None), 0.1).verdict is Verdict.NOT_EVALUATED
    nan = replace(EVIDENCE, accuracy=float("nan"), peak_rss_mb=float("nan"))
    checks = check_budget(nan, EVERYTHING, measured_on_host=False)
    assert [check.verdict.value for check in checks] == [
        "pass",
        "pass",
        "not_evaluated",
        "not_evaluated",
    ]


def test_a_percentile_in_unknown_noise_is_undecided() -> None:
    check = _only(
        check_budget(
            replace(EVIDENCE, noise_floor=None), Budget(p95_ms=500), measured_on_host=False
        )
    )
    assert check.verdict is Verdict.UNDECIDED and "noise is unknown" in check.reason


def test_time_and_memory_of_another_device_say_that_they_were_measured_on_host() -> None:
    checks = {
        check.name: check for check in check_budget(EVIDENCE, EVERYTHING, measured_on_host=True)
    }
    assert checks["p95_ms"].reason.endswith("measured on host")
    assert checks["peak_rss_mb"].reason == "measured on host"
    assert "host" not in checks["size_mb"].reason + checks["accuracy_drop"].reason
