"""A record that somebody changed or deleted is noticed, in a real embedded MLflow."""

from __future__ import annotations

import json

import pytest

from components.errors import RegistryError
from model_registry import Rationale, Registry
from model_registry.decisions.chain import link
from tests.unit.registry.decisions.told import gates

pytestmark = pytest.mark.slow


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
