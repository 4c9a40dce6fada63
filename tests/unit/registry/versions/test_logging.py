"""What a release, or one that fails half way, leaves in MLflow."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from components.errors import BundleError, RegistryError
from model_registry import DataFacts, Rationale
from tests.unit.registry.versions.seen import artifact, runs_of

pytestmark = pytest.mark.slow


def test_mlflow_shows_what_its_users_look_for(registry, client, make_release, tmp_path):
    figures = tmp_path / "figures"
    figures.mkdir()
    (figures / "confusion_matrix.png").write_bytes(b"a picture")
    facts = {"validation": DataFacts("/data/digits", 80, 240, ("cat", "dog"))}
    version = registry.log_release(make_release("looked.for", data_facts=facts, figures=figures))
    run = client.get_run(version.run_id)
    (output,) = run.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert model.name == "looked-for-v1-int8-onnxruntime"
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": "looked.for", "version": 1}]
    assert model.tags["mlflow.note.content"].startswith("# looked.for")
    assert "2 classes: cat, dog" in client.get_registered_model("looked.for").description
    data = {one.dataset.name: one.dataset for one in run.inputs.dataset_inputs}
    known = data["looked.for-validation"]
    assert (known.source_type, json.loads(known.source)["uri"]) == ("local", "/data/digits")
    assert json.loads(known.profile) == {
        "num_rows": 80,
        "num_labels": 240,
        "classes": ["cat", "dog"],
    }
    assert [column["name"] for column in json.loads(known.schema)["mlflow_colspec"]] == [
        "image",
        "label",
    ]
    assert (
        artifact(client, version.run_id, "evaluation/confusion_matrix.png", tmp_path)
        == b"a picture"
    )
    client.delete_model_version("looked.for", "1")
    again = registry.log_release(make_release("looked.for", noise_floor=0.02))
    assert again.version == 2
    (output,) = client.get_run(again.run_id).outputs.model_outputs
    assert client.get_logged_model(output.model_id).name == "looked-for-v2-int8-onnxruntime"


def test_a_training_is_kept_with_its_version_once(registry, client, make_release, tmp_path):
    version = registry.log_release(make_release("trained"))
    curve = tmp_path / "curve.csv"
    curve.write_text("epoch, train/box_loss,metrics/mAP50(B)\n1,1.5,\n2,0.75,0.5\n")
    registry.log_training(version, {"started_from": "trained/0", "blend": 0.6}, curve)
    registry.log_training(version, {"started_from": "its/twin", "blend": 0.6}, curve)
    data = client.get_run(version.run_id).data
    assert (data.params["training.started_from"], data.params["training.blend"]) == (
        "trained/0",
        "0.6",
    )
    history = client.get_metric_history(version.run_id, "training/train/box_loss")
    assert [(row.step, row.value) for row in history] == [(1, 1.5), (2, 0.75)]
    assert data.metrics["training/metrics/mAP50_B_"] == 0.5
    assert artifact(client, version.run_id, "training/curve.csv", tmp_path) == curve.read_bytes()
    assert not [
        row.metric for row in registry.compare("trained", 1, 1).metrics if "training" in row.metric
    ]


def test_a_version_has_at_most_eight_tags_and_says_all_else_as_parameters(
    registry, client, make_release
):
    registry.log_release(make_release("plainly"))
    registry.promote("plainly", 1, Rationale(reasons=("it is the first",)))
    registry.log_release(make_release("plainly", noise_floor=0.02))
    registry.promote("plainly", 2)
    tags = client.get_model_version("plainly", "1").tags
    assert len(tags) == 8, sorted(tags)
    facts = registry.tags(registry.get("plainly", 1))
    assert {"model_sha256", "reference_sha256", "pyfunc_sha256", "precision", "metric"} <= set(
        facts
    )


def test_a_release_that_fails_half_way_leaves_no_version_and_no_open_run(
    registry, client, make_release, tmp_path
):
    unwritable = make_release(
        "broken", parameters={"key" * 100: "MLflow takes keys of up to 250 characters"}
    )
    with pytest.raises(RegistryError, match="to log a release"):
        registry.log_release(unwritable)
    assert registry.versions("broken") == ()
    assert {run.info.status for run in runs_of(client, "broken")} == {"FAILED"}
    experiment = client.get_experiment_by_name("broken").experiment_id
    assert {model.status for model in client.search_logged_models([experiment])} == {"FAILED"}
    assert registry.log_release(make_release("broken")).version == 1


def test_runs_that_a_killed_release_left_open_are_failed_when_it_is_made_again(
    registry, client, make_release, tmp_path
):
    release = make_release("killed")
    experiment = client.create_experiment("killed", artifact_location=tmp_path.as_uri())
    left = client.create_run(experiment, tags={"release_key": release.key}).info.run_id
    registry.log_release(release)
    assert client.get_run(left).info.status == "FAILED"


def test_a_bundle_that_changed_since_it_was_packed_is_not_logged(
    registry, client, make_release, bundle
):
    with pytest.raises(BundleError):
        registry.log_release(make_release("changed", bundle=replace(bundle, sha256="0" * 64)))
    assert runs_of(client, "changed") == []


def test_a_release_without_a_reference_has_none(registry, make_release, tmp_path):
    version = registry.log_release(
        make_release("bare", reference=None, dataset_hashes={}, parameters={})
    )
    assert registry.download_reference(version, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_card_of_ones_own_is_used(registry, client, make_release):
    registry.log_release(make_release("carded", description="# My own words\n"))
    assert client.get_model_version("carded", "1").description == "# My own words\n"


def test_an_experiment_that_was_deleted_is_named_with_the_way_back(
    registry, client, make_release, tmp_path
):
    client.delete_experiment(client.create_experiment("gone", artifact_location=tmp_path.as_uri()))
    with pytest.raises(RegistryError, match="mlflow experiments restore"):
        registry.log_release(make_release("gone"))
