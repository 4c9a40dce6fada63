"""The decision record and the aliases that follow it, in a real embedded MLflow."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.contracts import Decision, Gate, GateReport, Outcome, Verdict, load
from components.errors import ConfigError, RegistryError
from model_registry import RELEASE, Rationale, Registry
from model_registry.decisions.chain import link
from model_registry.decisions.history import Entry, replay
from model_registry.decisions.record import Record
from model_registry.store import open_store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def store(registry):
    """The same store, as MLflow's own client sees it."""
    return open_store(registry.tracking_uri)


@pytest.fixture
def client(store):
    return store.client


@pytest.fixture
def model(client, store_root, request):
    """Name of a new model with four versions."""
    name = f"decided.{request.node.name[:60].strip('_[]')}"
    client.create_registered_model(name)
    for number in range(4):
        tags = {"model_sha256": f"{number}" * 64, "reference_sha256": "f" * 64}
        client.create_model_version(name, store_root.as_uri(), tags=tags, await_creation_for=0)
    return name


def aliases(client, name):
    return {
        alias: int(version) for alias, version in client.get_registered_model(name).aliases.items()
    }


def chain(registry, name):
    """The record in short."""
    return [
        (d.decision.outcome.value, d.decision.version, d.decision.champion_before)
        for d in registry.decisions(name)
    ]


def gates(name, champion, challenger, verdict=Verdict.PASS):
    """One gate of accuracy, one of latency, and one that could not be measured."""
    golden = Gate(
        "golden",
        0.81,
        0.83,
        (0.02, 0.01, 0.03),
        -0.01,
        0.006,
        400,
        verdict,
        "0.02 better on 400 images",
    )
    broken = Gate(
        "class 7",
        None,
        None,
        None,
        None,
        None,
        12,
        Verdict.NOT_EVALUATED,
        "too few",
        required=False,
    )
    p95 = Gate(
        "p95_ms",
        4.0,
        3.8,
        (0.95, 0.86, 0.97),
        1.26,
        None,
        200,
        Verdict.PASS,
        "0.95× in interleaved calls",
    )
    return GateReport(
        f"{name}/{champion}" if champion else "", f"{name}/{challenger}", (golden, broken, p95)
    )


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


def test_an_alias_that_was_moved_by_hand_is_adopted_and_never_undone(registry, model, client):
    registry.promote(model, 1)
    registry.promote(model, 2)
    client.set_registered_model_alias(model, "champion", "4")
    assert registry.get(model, "champion").version == 4
    assert chain(registry, model)[2:] == [("adopted", 4, 2)]
    assert registry.rollback(model).version == 2
    assert aliases(client, model) == {"champion": 2, "previous_champion": 1}


def test_a_champion_from_before_there_was_a_record_is_adopted(registry, model, client):
    client.set_registered_model_alias(model, "previous_champion", "1")
    client.set_registered_model_alias(model, "champion", "2")
    assert chain(registry, model) == [("adopted", 2, None)]
    assert registry.rollback(model).version == 1
    assert aliases(client, model) == {"champion": 1}


def test_a_second_rollback_goes_further_back_and_never_to_what_was_rolled_back(
    registry, model, client
):
    for version in (1, 2, 3):
        registry.promote(model, version)
    assert registry.rollback(model).version == 2
    assert aliases(client, model) == {"champion": 2, "previous_champion": 1}
    assert registry.rollback(model).version == 1
    assert aliases(client, model) == {"champion": 1}
    nothing = (
        rf"{model}/1 with nothing before it; {model}/2, {model}/3 left production before; "
        r".*--to VERSION"
    )
    with pytest.raises(RegistryError, match=nothing):
        registry.rollback(model)
    registry.promote(model, 4)
    assert registry.history(model).former == (1,)


def test_a_rollback_goes_to_a_version_by_number_if_it_was_in_production(registry, model):
    for version in (1, 2, 3):
        registry.promote(model, version)
    with pytest.raises(
        RegistryError,
        match=rf"{model}/4, which never was; those that were: 1, 2, 3; .*foveal promote",
    ):
        registry.rollback(model, to=4)
    assert registry.rollback(model, to=1).version == 1
    assert registry.history(model).former == ()
    assert registry.rollback(model, to=3).version == 3, "somebody wants it after all"
    assert chain(registry, model)[3:] == [("rolled_back", 1, 3), ("rolled_back", 3, 1)]
    assert registry.rollback(model).version == 1


def test_a_deleted_version_is_not_the_previous_champion(registry, model, client):
    for version in (1, 2, 3):
        registry.promote(model, version)
    client.delete_model_version(model, "2")
    assert registry.history(model).previous == 1
    assert registry.rollback(model).version == 1


def test_a_record_of_rollbacks_that_undid_each_other_replays_to_the_same_champion():
    """An older Foveal let champion and previous champion change places."""
    made = [("promoted", 1, None), ("promoted", 2, 1), ("rolled_back", 1, 2), ("rolled_back", 2, 1)]
    made = [(Outcome(outcome), *versions) for outcome, *versions in made]
    entries = [
        Entry(k, datetime.now(UTC), str(k), "", Decision(*one, "by hand", ""))
        for k, one in enumerate(made, 1)
    ]
    assert (replay(entries).champion, replay(entries).former) == (2, (1,))


def test_a_champion_that_was_removed_by_hand_is_no_champion_and_can_be_brought_back(
    registry, model, client
):
    registry.promote(model, 1)
    registry.promote(model, 3)
    client.delete_model_version(model, "3")
    with pytest.raises(RegistryError, match="alias champion"):
        registry.get(model, "champion")
    assert registry.champion_at(model, datetime.now(UTC)) is None
    assert chain(registry, model)[2:] == [("withdrawn", 3, 3)]
    assert registry.promote(model, 1).aliases == ("champion",)


def test_what_people_took_out_of_production_is_known_until_it_comes_back(registry, model, client):
    registry.promote(model, 1)
    registry.promote(model, 2, Rationale("drift", "flow", (), "event-1", gates(model, 1, 2)))
    assert registry.history(model).taken_back(2) is None
    registry.rollback(model, Rationale(who="ann", reasons=("blind at night",)))
    undone = registry.history(model).taken_back(2)
    assert undone.decision.outcome is Outcome.ROLLED_BACK
    assert registry.history(model).taken_back(1) is None
    registry.promote(model, 3, Rationale("drift", "flow", (), "event-2", gates(model, 1, 3)))
    assert registry.history(model).taken_back(1) is None, "another took its place by evidence"
    assert registry.history(model).taken_back(2) == undone
    registry.promote(model, 2)
    assert registry.history(model).taken_back(2) is None
    client.delete_registered_model_alias(model, "champion")
    assert registry.history(model).taken_back(2).decision.outcome is Outcome.WITHDRAWN


def test_what_was_appended_before_a_kill_is_finished_by_whoever_opens_next(registry, model, store):
    registry.promote(model, 1)
    half_done(store, model, Decision(Outcome.PROMOTED, 2, 1, "by hand", "a victim"))
    assert aliases(store.client, model) == {"champion": 1}
    assert registry.get(model, "champion").version == 2
    assert aliases(store.client, model) == {"champion": 2, "previous_champion": 1}
    assert chain(registry, model) == [("promoted", 1, None), ("promoted", 2, 1)]
    assert unfinished(store, model) == ([], [])


def test_what_was_announced_but_not_appended_before_a_kill_never_happened(registry, model, store):
    registry.promote(model, 1)
    half_done(store, model, Decision(Outcome.PROMOTED, 2, 1, "by hand", "a victim"), appended=False)
    assert registry.get(model, "champion").version == 1
    assert chain(registry, model) == [("promoted", 1, None)]
    assert unfinished(store, model) == ([], [])


def test_what_a_killed_writer_did_too_late_is_put_right_and_not_taken_for_a_hand(
    registry, model, store
):
    registry.promote(model, 1)
    registry.promote(model, 2)
    LEFT.append(late := Record(store, model).writing(after=1))
    late.__enter__()
    store.client.set_registered_model_alias(model, "champion", "1")
    assert registry.get(model, "champion").version == 2
    assert chain(registry, model) == [("promoted", 1, None), ("promoted", 2, 1)]
    assert unfinished(store, model) == ([], [])


def test_an_entry_that_was_sent_twice_counts_once_and_one_that_came_too_late_not_at_all(
    registry, model, store
):
    registry.promote(model, 1)
    rejected = Decision(Outcome.REJECTED, 4, 1, "drift", "a flow")
    half_done(store, model, rejected, times=2)
    half_done(store, model, Decision(Outcome.PROMOTED, 2, 1, "by hand", "the first"))
    half_done(store, model, Decision(Outcome.PROMOTED, 3, 1, "by hand", "the second"))
    assert registry.get(model, "champion").version == 2
    assert chain(registry, model) == [("promoted", 1, None), ("rejected", 4, 1), ("promoted", 2, 1)]
    assert [decided.number for decided in registry.decisions(model)] == [1, 2, 4]
    assert unfinished(store, model) == ([], [])


def half_done(store, name, decision, *, appended=True, times=1):
    """What a process leaves that was killed before it moved the aliases."""
    from model_registry.decisions import runs as decision_runs

    record = Record(store, name)
    writing = record.writing(record.head())
    key = writing.__enter__()
    run = decision_runs.open_run(record, decision, key)
    for _ in range(times if appended else 0):
        record.append(decision, key, run, "")
    LEFT.append(writing)


LEFT: list[object] = []  # contexts that nobody leaves, as a killed process would not


def unfinished(store, name):
    """Open runs of decisions, and announcements."""
    experiment = store.client.get_experiment_by_name(f"{name}.decisions").experiment_id
    open_runs = [
        run.info.run_name
        for run in store.client.search_runs([experiment], "attributes.status = 'RUNNING'")
    ]
    return open_runs, list(Record(store, name).intents())


def test_the_record_is_hidden_where_models_are_listed_and_its_names_are_not_for_users(
    registry, model
):
    registry.promote(model, 1)
    with pytest.raises(RegistryError) as refused:
        registry.get("never-heard-of", 1)
    assert model in str(refused.value) and ".decisions" not in str(refused.value)
    with pytest.raises(ConfigError, match=r"\.decisions"):
        registry.versions(f"{model}.decisions")


def test_only_a_decision_moves_the_champion(registry, model):
    for alias in ("champion", "previous_champion"):
        with pytest.raises(ConfigError, match="promote"):
            registry.set_alias(model, alias, 1)
    assert registry.set_alias(model, "shadow", 1).aliases == ("shadow",)


def test_gates_too_many_for_the_record_are_kept_with_the_run(registry, model, client, tmp_path):
    registry.promote(model, 1)
    many = replace(gates(model, 1, 2), gates=gates(model, 1, 2).gates * 400)
    registry.promote(model, 2, Rationale("drift", "a flow", gates=many))
    decided = registry.decisions(model)[-1].decision
    assert (decided.outcome, decided.version, decided.gates) == (Outcome.PROMOTED, 2, None)
    assert registry.compare(model, 1, 2).decided.decision.gates == many
    run_id = registry.history(model).entries[-1].run_id
    stored = json.loads(
        Path(client.download_artifacts(run_id, "decision.json", str(tmp_path))).read_text()
    )
    assert load(Decision, stored).gates == many


def test_a_deleted_or_changed_entry_is_seen_and_only_a_person_decides_from_there(
    registry, model, client
):
    for version in (1, 2):
        registry.promote(model, version)
    registry.rollback(model)
    assert registry.history(model).broken == ()
    # the newest: the version that was taken back would return
    client.delete_prompt_version(f"{model}.decisions", "3")
    assert registry.history(model).broken == ("decision 3 was deleted",)
    with pytest.raises(
        RegistryError, match=r"decision 3 was deleted outside of Foveal.*foveal history"
    ):
        registry.promote(model, 3, Rationale("drift", "a flow", gates=gates(model, 1, 3)))
    with pytest.raises(RegistryError, match="as Foveal wrote it"):
        registry.reject(model, 3, Rationale("drift", "a flow"))
    registry.promote(model, 4, Rationale(who="ann"))
    assert registry.history(model).broken == (), "ann has seen it"
    registry.reject(model, 3, Rationale("drift", "a flow"))
    client.delete_prompt_version(f"{model}.decisions", "1")
    stated = client.get_model_version(f"{model}.decisions", "2").tags["decision"]
    client.set_prompt_version_tag(
        f"{model}.decisions", "2", "decision", stated.replace('"who": "', '"who": "not ')
    )
    assert registry.history(model).broken == ("decision 1 was deleted", "decision 2 was changed")


def test_an_entry_that_was_changed_until_it_cannot_be_read_is_told_of_and_nothing_fails(
    registry, model, client
):
    for version in (1, 2):
        registry.promote(model, version)
    for number, text in (("1", "{}"), ("2", "no JSON at all")):
        client.set_prompt_version_tag(f"{model}.decisions", number, "decision", text)
    client.set_prompt_tag(f"{model}.decisions", "writing.x", "not two numbers")
    assert registry.history(model).broken == ("decision 1 was changed", "decision 2 was changed")
    assert registry.get(model, "champion").version == 2
    registry.promote(model, 3, Rationale(who="ann"))
    assert registry.history(model).broken == ()


def test_a_record_is_not_in_the_list_of_models(registry, model, client):
    registry.promote(model, 1)
    listed = [found.name for found in client.search_registered_models(f"name LIKE '{model}%'")]
    assert listed == [model]
    assert client.get_model_version(f"{model}.decisions", "1").tags["outcome"] == "promoted"


def test_a_record_that_an_older_foveal_left_in_the_list_of_models_leaves_it(
    registry, model, client
):
    client.create_registered_model(f"{model}.decisions", tags={"writing.x": "0 1.0"})
    record = Record(open_store(registry.tracking_uri), model)
    assert [intent.key for intent in record.intents()] == ["x"]
    registry.promote(model, 1)
    assert client.get_prompt(f"{model}.decisions").tags == {}, (
        "the dead writer's announcement is taken back"
    )
    assert [decided.number for decided in registry.decisions(model)] == [1]


def test_a_whole_record_that_was_deleted_is_missed(registry, model, client):
    registry.promote(model, 1)
    client.delete_prompt(f"{model}.decisions")
    assert registry.get(model, "champion").version == 1, "adopted: the alias is all that is left"
    assert registry.history(model).broken == ("decision 1 was changed",)
    registry.promote(model, 2, Rationale(who="ann"))
    assert registry.history(model).broken == ()


@pytest.fixture
def watched(registry, tmp_path):
    """The registry as a storage root sees it that keeps the newest decision seen."""
    return Registry(registry.tracking_uri, seen=tmp_path / "seen")


def retag(client, model, number, **tags):
    for key, value in tags.items():
        client.set_prompt_version_tag(f"{model}.decisions", str(number), key, value)


def relink(client, model, number):
    """Let an entry, and the model, name the entry before as it is now, as an attacker would."""
    rows = {
        int(row.version): row for row in client.search_model_versions(f"name = '{model}.decisions'")
    }
    if number in rows:
        retag(client, model, number, previous=link(rows[number - 1]))
        rows[number] = client.get_model_version(f"{model}.decisions", str(number))
    client.set_registered_model_tag(model, "foveal.record", link(rows[max(rows)]))


def test_an_entry_that_says_of_itself_what_was_known_hides_nothing(registry, model, client):
    for version in (1, 2, 3, 4):
        registry.promote(model, version)
    client.delete_prompt_version(f"{model}.decisions", "2")
    retag(client, model, 3, known_gaps="2 3")
    assert registry.history(model).broken == ("decision 2 was deleted", "decision 3 was changed")
    retag(client, model, 3, known_gaps="2 three")
    assert registry.history(model).broken == ("decision 2 was deleted", "decision 3 was changed")
    registry.promote(model, 1, Rationale(who="ann"))
    assert registry.history(model).broken == (), "ann has seen it"


def test_a_chain_that_was_written_anew_is_missed_by_a_root_that_saw_the_old_one(
    watched, registry, model, client
):
    watched.promote(model, 1)
    watched.reject(model, 2, Rationale("drift", "a flow"))
    for version in (3, 4):
        watched.promote(model, version)
    client.delete_prompt_version(f"{model}.decisions", "2")
    retag(client, model, 3, known_gaps="2 4")
    relink(client, model, 4)
    assert registry.history(model).broken == (), "by the store alone nobody can tell"
    assert watched.history(model).broken == ("decision 4 was changed",)
    client.delete_prompt_version(f"{model}.decisions", "4")
    client.set_registered_model_alias(model, "champion", "3")
    relink(client, model, 4)
    assert (registry.history(model).broken, watched.history(model).broken) == (
        (),
        ("decision 4 was deleted",),
    )
    with pytest.raises(RegistryError, match="decision 4 was deleted outside of Foveal"):
        watched.promote(model, 2, Rationale("drift", "a flow", gates=gates(model, 3, 2)))


def test_a_record_that_was_deleted_as_a_whole_goes_on_by_a_person(watched, model, client, tmp_path):
    for version in (1, 2, 3):
        watched.promote(model, version)
    client.delete_prompt(f"{model}.decisions")
    client.delete_registered_model_tag(model, "foveal.record")
    told = ("decision 2 was deleted", "decision 3 was deleted")
    assert watched.get(model, "champion").version == 3
    assert watched.history(model).broken == told
    watched.promote(model, 4, Rationale(who="ann"))
    assert watched.history(model).broken == ()
    (kept,) = (tmp_path / "seen").iterdir()
    assert json.loads(kept.read_text())["newest"].startswith("2 ")
    assert (tmp_path / "seen").stat().st_mode & 0o077 == 0
    kept.write_bytes(b"")
    assert watched.history(model).broken == (), "a damaged file is as none, and written again"
    assert json.loads(kept.read_text())["model"] == model
