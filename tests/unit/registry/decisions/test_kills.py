"""Decisions of processes that were killed, or came twice or too late."""

from __future__ import annotations

import pytest

from components.contracts import Decision, Outcome
from model_registry.decisions.record import Record
from tests.unit.registry.decisions.told import aliases, chain

pytestmark = pytest.mark.slow


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
