"""The decision record and the aliases that follow it, in a real embedded MLflow."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.contracts import Decision, Outcome, Verdict, load
from components.errors import ConfigError, RegistryError
from model_registry import RELEASE, Rationale
from tests.unit.registry.decisions.told import chain, gates

pytestmark = pytest.mark.slow


def test_a_decision_is_an_entry_with_all_that_it_rests_on(registry, model, client):
    registry.promote(model, 1, Rationale(RELEASE, "eve", ("the first one",)))
    why = Rationale(
        "drift",
        "foveal retrain",
        ("better at night",),
        "event-7",
        gates(model, 1, 2),
        {"dataset": "d" * 64},
    )
    registry.promote(model, 2, why)
    first, second = registry.decisions(model)
    assert (first.number, first.decision.outcome, first.decision.trigger) == (
        1,
        Outcome.PROMOTED,
        "release",
    )
    assert (first.decision.who, first.decision.reasons) == ("eve", ("the first one",))
    assert second.decision == Decision(
        Outcome.PROMOTED, 2, 1, "drift", "foveal retrain", ("better at night",), "event-7",
        gates(model, 1, 2), {"model": "1" * 64, "reference": "f" * 64, "dataset": "d" * 64},
    )  # fmt: skip
    assert timedelta() <= datetime.now(UTC) - second.at < timedelta(minutes=5)


def test_a_decision_is_a_run_with_tags_metrics_and_files(registry, model, client, tmp_path):
    registry.promote(model, 1)
    registry.promote(model, 2, Rationale("accuracy", "a flow", ("why",), "e1", gates(model, 1, 2)))
    experiment = client.get_experiment_by_name(f"{model}.decisions").experiment_id
    found = client.search_runs(
        [experiment], "tags.`foveal.kind` = 'decision' and tags.event = 'e1'"
    )
    (run,) = found
    assert (run.info.run_name, run.info.status) == ("decision 2 · promoted v2", "FINISHED")
    tags = run.data.tags
    assert (tags["outcome"], tags["version"], tags["champion_before"], tags["trigger"]) == (
        "promoted", "2", "1", "accuracy",
    )  # fmt: skip
    assert (tags["gate.golden"], tags["gate.class 7"]) == ("pass", "not_evaluated")
    assert (tags["reference_sha256"], tags["decision"]) == ("f" * 64, "2")
    assert run.data.metrics == {
        "difference.golden": 0.02, "difference_low.golden": 0.01, "difference_high.golden": 0.03,
        "ratio.p95_ms": 0.95, "ratio_low.p95_ms": 0.86, "ratio_high.p95_ms": 0.97,
    }  # fmt: skip
    folder = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
    assert (
        load(Decision, json.loads((folder / "decision.json").read_text()))
        == registry.decisions(model)[1].decision
    )
    page = (folder / "decision.md").read_text()
    assert (
        "| golden | 0.8100 | 0.8300 | 0.0200 [0.0100, 0.0300] | -0.0100 | 0.0060 | 400 | pass |"
        in page
    )
    assert "| p95_ms | 4.0000 | 3.8000 | 0.9500× [0.8600, 0.9700] | 1.2600× |" in page


def test_a_version_says_why_it_is_what_it_is(registry, model):
    registry.promote(model, 1, Rationale(reasons=("it is the only one",)))
    registry.promote(model, 2)
    registry.reject(model, 3, Rationale("drift", "a flow", ("golden: fail, worse",)))
    one, two, three = (registry.tags(registry.get(model, number)) for number in (1, 2, 3))
    assert one["decision"].startswith("1 · promoted by ") and one["reasons"] == "it is the only one"
    assert one["replaced_by"] == "decision 2 · promoted v2"
    assert two["decision"].startswith("2 · promoted") and "replaced_by" not in two
    assert (three["decision"], three["reasons"]) == (
        "3 · rejected by a flow",
        "golden: fail, worse",
    )
    registry.rollback(model)
    assert registry.tags(registry.get(model, 2))["replaced_by"] == "decision 4 · rolled back v1"
    assert registry.tags(registry.get(model, 1))["replaced_by"] == "is champion again"


def test_who_was_in_production_is_answered_for_any_time(registry, model):
    before = datetime.now(UTC) - timedelta(seconds=1)
    for version in (1, 2):
        registry.promote(model, version)
    registry.reject(model, 3)
    registry.rollback(model)
    _, second, _, back = registry.decisions(model)
    assert registry.champion_at(model, before) is None
    period = registry.champion_at(model, second.at)
    assert (period.version, period.since, period.until) == (2, second.at, back.at)
    assert (period.by, period.ended_by) == (second, back)
    assert registry.champion_at(model, second.at - timedelta(milliseconds=1)).version == 1
    now = registry.champion_at(model, datetime.now(UTC))
    assert (now.version, now.until, now.by) == (1, None, back)
    with pytest.raises(ConfigError, match="zone"):
        registry.champion_at(model, datetime(2026, 1, 1))


def test_promoting_the_champion_and_rejecting_again_add_nothing(registry, model):
    why = Rationale("schedule", "a flow", ("worse",), "event-1")
    registry.promote(model, 1)
    registry.promote(model, 1)
    registry.reject(model, 2, why)
    registry.reject(model, 2, why)
    assert chain(registry, model) == [("promoted", 1, None), ("rejected", 2, 1)]
    registry.reject(model, 2, replace(why, event="event-2"))
    assert len(registry.decisions(model)) == 3


def test_who_compared_with_another_champion_loses_with_one_clear_error(registry, model):
    registry.promote(model, 1, Rationale(who="ann"))
    registry.promote(model, 2, Rationale(who="bob"))
    found = (
        rf"expected {model}/1 as champion .* found {model}/2, promoted by bob at .* in "
        r"decision 2; .*history"
    )
    with pytest.raises(RegistryError, match=found):
        registry.promote(model, 3, Rationale("drift", "a flow", gates=gates(model, 1, 3)))
    assert registry.get(model, "champion").version == 2
    assert len(registry.decisions(model)) == 2


def test_nothing_but_a_person_or_the_rule_for_releases_promotes_without_passed_gates(
    registry, model
):
    registry.promote(model, 1, Rationale(RELEASE))
    for verdict in (Verdict.FAIL, Verdict.UNDECIDED, Verdict.NOT_EVALUATED):
        with pytest.raises(RegistryError, match="golden: "):
            registry.promote(model, 2, Rationale("drift", gates=gates(model, 1, 2, verdict)))
    with pytest.raises(RegistryError, match="none evaluated"):
        registry.promote(model, 2, Rationale("schedule"))
    with pytest.raises(RegistryError, match=rf"gates of {model}/2, found gates of {model}/3"):
        registry.promote(model, 2, Rationale("drift", gates=gates(model, 1, 3)))
    registry.promote(model, 2, Rationale(gates=gates(model, 1, 2, Verdict.FAIL)))
    assert registry.decisions(model)[-1].decision.gates.passed is False


def test_the_champion_is_not_rejected_and_a_first_champion_has_none_to_go_back_to(registry, model):
    with pytest.raises(RegistryError, match="found no champion"):
        registry.rollback(model)
    registry.promote(model, 1)
    with pytest.raises(RegistryError, match="rollback"):
        registry.reject(model, 1)
    with pytest.raises(RegistryError, match="promote"):
        registry.rollback(model)
    assert chain(registry, model) == [("promoted", 1, None)]


def test_a_rejected_version_challenges_no_more_also_when_its_release_is_logged_again(
    registry, make_release
):
    registry.promote("beaten", registry.log_release(make_release("beaten")).version)
    assert registry.log_release(make_release("beaten", noise_floor=0.02)).aliases == ("challenger",)
    assert registry.reject("beaten", 2).aliases == ()
    assert registry.log_release(make_release("beaten", noise_floor=0.02)).aliases == ()
    assert registry.decisions("beaten")[0].decision.hashes["reference"] != ""


def test_only_a_decision_moves_the_champion(registry, model):
    for alias in ("champion", "previous_champion"):
        with pytest.raises(ConfigError, match="promote"):
            registry.set_alias(model, alias, 1)
    assert registry.set_alias(model, "shadow", 1).aliases == ("shadow",)
