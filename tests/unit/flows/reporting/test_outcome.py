"""Every flow's run and final state say what came of it, in the words that people look for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.contracts import (
    AbMode,
    AbResult,
    AbVerdict,
    Decision,
    FailedImage,
    Gate,
    GateReport,
    InferenceRun,
    ModelVersion,
    Outcome,
    Verdict,
    dump,
)
from flows import ab_test, batch_inference, gates, promote
from flows.config.ab_test import AbConfig
from flows.config.batch_inference import BatchConfig
from flows.config.gates import GatesConfig
from flows.config.promote import PromotionConfig
from flows.config.retrain import RetrainConfig
from flows.reporting.retraining import RetrainSummary
from flows.reporting.summary import MonitorSummary, ReleaseSummary, Window
from flows.tasks import retrain
from flows.tasks.stores import store

DRIFT = RetrainConfig(name="digits", trigger="drift")


def gate(name: str, verdict: Verdict, *, noise: float | None = None) -> Gate:
    return Gate(name, 5.0, 6.0, (1.2, 1.1, 1.3), 1.1, None, 40, verdict, "why", noise=noise)


def report(*held: Gate) -> GateReport:
    return GateReport("digits/1", "digits/2", (gate("golden", Verdict.PASS), *held))


SLOWER = report(gate("p95_ms", Verdict.FAIL), gate("size_mb", Verdict.FAIL))
BUSY = report(gate("p95_ms", Verdict.UNDECIDED, noise=0.4))


@pytest.mark.parametrize(
    ("found", "outcome", "headline"),
    [
        (report(), "passed", "digits/2 against digits/1: passed; golden: pass, why"),
        (
            SLOWER,
            "not passed: p95_ms",
            "digits/2 against digits/1: not passed; p95_ms: fail, why",
        ),
        (BUSY, "undecided", "digits/2 against digits/1: not passed; p95_ms: undecided, why"),
    ],
)
def test_gates_by_hand_end_in_what_they_found(found, outcome, headline):
    done = gates.conclusion(GatesConfig(name="digits", data=Path("data.yaml")), found)
    assert (done.name, done.outcome, done.headline) == ("digits", outcome, headline)


@pytest.mark.parametrize(
    ("processed", "failures", "outcome", "headline"),
    [
        (1, 0, "predicted", "1 image, 0 unreadable"),
        (5, 1, "predicted", "6 images, 1 unreadable"),
        (0, 2, "nothing predicted", "2 images, 2 unreadable"),
    ],
)
def test_a_batch_ends_in_what_was_predicted(processed, failures, outcome, headline):
    failed = (FailedImage("a.jpg", "no image"),) * failures
    run = InferenceRun(Path("out"), "digits/3", processed, failed, 1.0, 1)
    done = batch_inference.conclusion(BatchConfig(model="digits", images="in"), run)
    assert (done.name, done.outcome, done.headline) == ("digits/3", outcome, headline)


@pytest.mark.parametrize(
    ("action", "reason", "outcome", "headline"),
    [
        ("promote", "", "promoted", "version 2 is the champion"),
        ("rollback", "too slow", "rolled back", "version 2 is the champion; too slow"),
    ],
)
def test_a_promotion_ends_in_the_champion(action, reason, outcome, headline):
    config = PromotionConfig(name="digits", action=action, reason=reason)
    done = promote.conclusion(config, ModelVersion("digits", 2, "run"))
    assert (done.name, done.outcome, done.headline) == ("digits", outcome, headline)


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (AbVerdict.B, "B is better"),
        (AbVerdict.NO_DIFFERENCE, "no difference ≥ δ"),
        (AbVerdict.UNDECIDED, "undecided"),
    ],
)
def test_an_ab_test_ends_in_its_verdict(verdict, outcome):
    result = AbResult(verdict, None, None, 0, None, 0.02, "fixed sample size", "no labels")
    found = ab_test.AbSummary(
        "test", AbMode.SHADOW.value, "score", 3, 0, (), None, result, Path("folder")
    )
    done = ab_test.conclusion(AbConfig(name="digits", a="1", b="2", images="in"), found)
    assert (done.name, done.outcome) == ("digits: 1 and 2", outcome)
    assert done.headline == "no labels"


def test_a_retraining_ends_in_the_gate_that_rejected_its_challenger():
    decision = Decision(Outcome.REJECTED, 2, 1, "drift", "me", ("p95_ms: fail, why",), gates=SLOWER)
    assert RetrainSummary.decided(DRIFT, decision).outcome == "rejected: p95_ms"
    unexplained = replace(decision, gates=None)
    assert RetrainSummary.decided(DRIFT, unexplained).outcome == "rejected"


def test_a_retraining_that_did_not_begin_says_what_it_waits_for(monkeypatch, tmp_path):
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    at = datetime.now(UTC)
    rejected = RetrainSummary("digits", "rejected", "p95_ms: fail", 1, 2)
    content = {"event": "", "trigger": "drift", "summary": dump(rejected)}
    store().put_record("digits", 1, retrain.KIND, "key", content, at=at)
    done = RetrainSummary.not_begun(DRIFT, retrain.cooling_down(DRIFT))
    until = at + timedelta(hours=DRIFT.cooldown_hours)
    assert done.outcome == f"skipped: cooling down until {until:%Y-%m-%d %H:%M} UTC"
    assert "started by hand" in done.headline


def test_a_retraining_beside_another_says_so():
    done = RetrainSummary.not_begun(DRIFT, "one of digits is in flight")
    assert done.outcome == "skipped: one of digits is in flight"


def test_a_night_ends_in_its_drift_decision():
    window = Window(40, 1, 20.0, "drift", ("brightness moved",), Path("p"), Path("r"))
    done = MonitorSummary("digits", 1, window, True, (), (), Path("folder"))
    assert done.outcome == "drift"
    assert replace(done, window=replace(window, state="insufficient_data")).outcome == (
        "insufficient data"
    )


@pytest.mark.parametrize(
    ("aliases", "found", "outcome"),
    [
        (("champion",), report(), "champion"),
        ((), SLOWER, "rejected: p95_ms"),
        ((), BUSY, "undecided"),
        (("challenger",), None, "registered"),
    ],
)
def test_a_release_ends_in_what_became_of_its_version(aliases, found, outcome):
    done = ReleaseSummary(
        "digits", 2, aliases, "map", "t", (), (), None, "", Path(), Path(), found, None
    )
    assert done.outcome == outcome
    held = "p95_ms" in done.headline
    assert held is (found is not None and not found.passed)
