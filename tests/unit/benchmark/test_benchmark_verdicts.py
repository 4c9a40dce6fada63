from __future__ import annotations

from dataclasses import replace

import pytest

from components.benchmark.statistics import Estimate
from components.benchmark.verdicts import Evidence, check_budget
from components.contracts import Budget, Check, Verdict

EVIDENCE = Evidence(
    p95_ms=Estimate(45.0, 42.0, 48.0),
    noise_floor=0.02,
    size_mb=9.5,
    peak_rss_mb=180.0,
    accuracy=0.88,
    reference_accuracy=0.90,
    images=300,
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
    [(49.0, Verdict.PASS), (48.5, Verdict.UNDECIDED), (42.0, Verdict.UNDECIDED), (41.0, Verdict.FAIL)],
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
    assert [check.verdict.value for check in checks] == ["not_evaluated", "pass", "not_evaluated", "not_evaluated"]
    without_reference = replace(EVIDENCE, reference_accuracy=None)
    drop = _only(check_budget(without_reference, Budget(max_accuracy_drop=0.1), measured_on_host=False))
    assert drop.verdict is Verdict.NOT_EVALUATED


def test_drop_that_equals_the_limit_passes_in_spite_of_binary_fractions() -> None:
    assert 0.90 - 0.88 > 0.02
    drop = _only(check_budget(EVIDENCE, Budget(max_accuracy_drop=0.02), measured_on_host=False))
    assert drop.verdict is Verdict.PASS
    assert drop.reason == "0.8800 against 0.9000 on the same 300 images"


def test_gain_in_accuracy_passes_a_limit_of_no_drop() -> None:
    better = replace(EVIDENCE, accuracy=0.95)
    assert _only(check_budget(better, Budget(max_accuracy_drop=0), measured_on_host=False)).verdict is Verdict.PASS


def test_time_and_memory_of_another_device_say_that_they_were_measured_on_host() -> None:
    checks = {check.name: check for check in check_budget(EVIDENCE, EVERYTHING, measured_on_host=True)}
    assert checks["p95_ms"].reason.endswith("measured on host")
    assert checks["peak_rss_mb"].reason == "measured on host"
    assert "host" not in checks["size_mb"].reason + checks["accuracy_drop"].reason
