"""Where MLflow shows the record, and what is kept outside of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from components.contracts import Decision, Outcome, load
from components.errors import ConfigError, RegistryError
from model_registry import Rationale
from model_registry.decisions.record import Record
from model_registry.store import open_store
from tests.unit.registry.decisions.told import gates

pytestmark = pytest.mark.slow


def test_the_record_is_hidden_where_models_are_listed_and_its_names_are_not_for_users(
    registry, model
):
    registry.promote(model, 1)
    with pytest.raises(RegistryError) as refused:
        registry.get("never-heard-of", 1)
    assert model in str(refused.value) and ".decisions" not in str(refused.value)
    with pytest.raises(ConfigError, match=r"\.decisions"):
        registry.versions(f"{model}.decisions")


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
