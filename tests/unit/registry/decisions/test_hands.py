"""Aliases that people moved, and ways back to earlier champions."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from components.contracts import Decision, Outcome
from components.errors import RegistryError
from model_registry import Rationale
from model_registry.decisions.history import Entry, replay
from tests.unit.registry.decisions.told import aliases, chain, gates

pytestmark = pytest.mark.slow


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
