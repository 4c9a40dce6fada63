"""Versions, aliases and what is kept with them, in a real embedded MLflow."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest

from components.contracts import (
    BenchmarkReport,
    ColumnDrift,
    DriftDecision,
    DriftReport,
    DriftState,
    Gate,
    GateReport,
    Verdict,
    load,
)
from components.errors import BundleError, ConfigError, RegistryError
from components.files import sha256_file, sha256_tree
from components.package import verify_bundle
from model_registry import DataFacts, MetricPair, Rationale, Registry, sqlite_uri
from model_registry.store import open_store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def client(registry):
    """MLflow's own client, to see what anybody would see."""
    return open_store(registry.tracking_uri).client


def runs_of(client, name, kind=None):
    experiment = client.get_experiment_by_name(name)
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    return [run for run in runs if kind in (None, run.data.tags.get("foveal.kind"))]


def artifact(client, run_id, path, tmp_path):
    with open(client.download_artifacts(run_id, path, str(tmp_path)), "rb") as file:
        return file.read()


@pytest.fixture(scope="module")
def released(registry, client, module_release):
    """One release that many tests look at."""
    return registry.log_release(module_release)


@pytest.fixture(scope="module")
def module_release(report, bundle, reference):
    from model_registry import Release

    return Release(
        name="looked.at",
        report=report,
        bundle=bundle,
        reference=reference,
        dataset_hashes={"validation": "a" * 64, "golden": "c" * 64},
        parameters={
            "data": {"labelled": "digits/data.yaml"},
            "backend": "shadowed",
            "long": "x" * 9000,
            "many": {f"p{number}": number for number in range(150)},
        },
        tags={"team": "vision"},
    )


def test_a_release_is_one_version_that_challenges(released, registry):
    assert (released.name, released.version, released.aliases) == ("looked.at", 1, ("challenger",))
    assert registry.versions("looked.at") == (released,)
    assert (
        registry.get("looked.at", "challenger")
        == registry.get("looked.at", 1)
        == registry.get("looked.at", "1")
    )


def test_the_run_holds_the_chosen_variants_numbers_and_the_machine(
    released, registry, client, report
):
    run = client.get_run(released.run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "v1 · int8 · onnxruntime"
    assert run.data.metrics == registry.metrics(released)
    assert run.data.metrics["p50_ms"] == 11.7
    assert run.data.metrics["accuracy_drop"] == pytest.approx(0.009)
    assert run.data.params["passes"] == "export"
    assert run.data.params["data.labelled"] == "digits/data.yaml"
    assert run.data.params["backend"] == "onnxruntime"
    assert len(run.data.params["long"]) == 6000
    assert run.data.params["many.p149"] == "149"
    assert run.data.tags["environment.cpu"] == "Test CPU"


def test_every_variant_has_a_nested_run_with_only_what_was_measured(released, client):
    runs = {run.info.run_name: run for run in runs_of(client, "looked.at", "variant")}
    assert set(runs) == {"fp32 · onnxruntime", "int8 · onnxruntime", "fp16 · onnxruntime"}
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {released.run_id}
    assert runs["fp32 · onnxruntime"].data.metrics["p50_ms"] == 20.0
    assert "speedup" not in runs["fp32 · onnxruntime"].data.metrics
    assert runs["int8 · onnxruntime"].data.tags["chosen"] == "true"
    assert runs["int8 · onnxruntime"].data.tags["verdict.p95_ms"] == "pass"
    failed = runs["fp16 · onnxruntime"]
    assert (failed.info.status, failed.data.tags["error"]) == ("FAILED", "no kernel for fp16")
    assert set(failed.data.metrics) == {"size_mb"}


def test_the_runs_files_are_those_of_the_release(
    released, client, report, bundle, module_release, tmp_path
):
    assert {f.path for f in client.list_artifacts(released.run_id)} == {
        "benchmark.json", "bundle", "model_card.md", "parameters.json", "plots", "reference",
    }  # fmt: skip
    stored = load(
        BenchmarkReport, json.loads(artifact(client, released.run_id, "benchmark.json", tmp_path))
    )
    assert stored == report
    parameters = json.loads(artifact(client, released.run_id, "parameters.json", tmp_path))
    assert parameters == dict(module_release.parameters)
    plot = artifact(client, released.run_id, "plots/latency_accuracy.png", tmp_path)
    assert cv2.imdecode(np.frombuffer(plot, np.uint8), cv2.IMREAD_COLOR) is not None
    archive = artifact(client, released.run_id, f"bundle/{bundle.archive.name}", tmp_path)
    assert archive == bundle.archive.read_bytes()


def test_the_data_are_inputs_of_the_run_and_the_models_metrics_refer_to_them(released, client):
    run = client.get_run(released.run_id)
    inputs = {i.tags[0].value: i.dataset for i in run.inputs.dataset_inputs}
    assert inputs["validation"].digest == "a" * 36
    assert set(inputs) == {"validation", "golden"}
    model = client.get_logged_model(run.outputs.model_outputs[0].model_id)
    assert model.status == "READY"
    metrics = {metric.key: metric for metric in model.metrics}
    assert metrics["map50_95"].value == 0.822
    assert metrics["map50_95"].dataset_name == "looked.at-validation"


def test_a_version_says_which_files_it_consists_of_and_carries_its_card(
    released, registry, client, bundle, report
):
    tags = registry.tags(released)
    assert tags["bundle_sha256"] == bundle.sha256
    assert tags["model_sha256"] == report.of(report.chosen).artifact.sha256
    assert (tags["target"], tags["precision"], tags["backend"], tags["team"]) == (
        "workstation", "fp32", "onnxruntime", "vision",
    )  # fmt: skip
    assert client.get_model_version("looked.at", "1").description.startswith("# looked.at\n")


def test_the_same_release_again_is_the_same_version(released, registry, client, module_release):
    before = Counter(run.info.run_name for run in runs_of(client, "looked.at"))
    assert registry.log_release(module_release).version == released.version
    assert Counter(run.info.run_name for run in runs_of(client, "looked.at")) == before


def test_a_downloaded_bundle_is_a_verified_copy(released, registry, bundle, store_root, tmp_path):
    folder = registry.download_bundle(released, tmp_path / "copy")
    assert sha256_tree(folder) == sha256_tree(bundle.folder)
    assert store_root not in folder.parents
    verify_bundle(folder)
    stored = sha256_tree(store_root / "artifacts")
    (next(folder.glob("*.onnx"))).write_bytes(b"scribbled over")
    assert sha256_tree(store_root / "artifacts") == stored


def test_a_bundle_is_not_unpacked_over_something_else(released, registry, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="empty folder"):
        registry.download_bundle(released, tmp_path)
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_a_downloaded_reference_is_a_copy(released, registry, reference, tmp_path):
    copy = registry.download_reference(released, tmp_path / "kept")
    assert copy.read_bytes() == reference.read_bytes()
    assert copy.parent == tmp_path / "kept"


def test_a_damaged_store_is_noticed(registry, make_release, store_root, tmp_path):
    version = registry.log_release(make_release("damaged"))
    archive = next((store_root / "artifacts" / "damaged" / version.run_id).rglob("*.zip"))
    archive.write_bytes(archive.read_bytes()[:-1] + b"!")
    with pytest.raises(BundleError, match="sha256"):
        registry.download_bundle(version, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_promotion_and_rollback_move_the_aliases(registry, make_release):
    first = registry.log_release(make_release("race"))
    assert registry.promote("race", first.version).aliases == ("champion",)
    second = registry.log_release(make_release("race", noise_floor=0.02))
    assert second.aliases == ("challenger",)
    assert registry.get("race", "champion").version == 1
    assert registry.promote("race", 2).aliases == ("champion",)
    assert registry.get("race", "previous_champion").version == 1
    assert registry.promote("race", 2).aliases == ("champion",)
    assert registry.get("race", "previous_champion").version == 1
    assert registry.rollback("race").version == 1
    assert [version.aliases for version in registry.versions("race")] == [("champion",), ()]
    with pytest.raises(
        RegistryError, match="race/1 with nothing before it; race/2 left production before"
    ):
        registry.rollback("race")


def test_a_release_that_was_promoted_is_not_made_a_challenger_when_logged_again(
    registry, make_release
):
    version = registry.log_release(make_release("steady"))
    registry.promote("steady", version.version)
    assert registry.log_release(make_release("steady")).aliases == ("champion",)


def test_the_newest_version_gets_its_alias_when_a_crash_kept_it_from_it(
    registry, client, make_release
):
    registry.log_release(make_release("interrupted"))
    client.delete_registered_model_alias("interrupted", "challenger")
    assert registry.log_release(make_release("interrupted")).aliases == ("challenger",)


def test_what_is_missing_is_answered_with_what_there_is(registry, released):
    with pytest.raises(RegistryError, match=r"alias champion, found versions 1 \(challenger\)"):
        registry.get("looked.at", "champion")
    with pytest.raises(RegistryError, match=r"version 7 of looked\.at, found versions 1"):
        registry.get("looked.at", 7)
    with pytest.raises(RegistryError, match=r"no model of that name, only .*looked\.at"):
        registry.get("unheard-of", "champion")
    with pytest.raises(RegistryError, match="found no champion"):
        registry.rollback("looked.at")
    with pytest.raises(RegistryError, match="version 7"):
        registry.promote("looked.at", 7)
    with pytest.raises(ConfigError):
        registry.versions("x' or name like '%")


def test_an_alias_that_mlflow_refuses_is_one_clear_error(registry, released):
    with pytest.raises(RegistryError, match="alias v7"):
        registry.set_alias("looked.at", "v7", 1)


def test_two_versions_are_compared_metric_by_metric(registry, report, make_release):
    registry.log_release(make_release("pair"))
    other = replace(
        report,
        measurements=(report.measurements[0], replace(report.measurements[1], peak_rss_mb=210.0)),
    )
    registry.log_release(make_release("pair", report=other))
    found = registry.compare("pair", 1, "challenger")
    rows = {row.metric: row for row in found.metrics}
    sessions = "measured in two sessions, at two moments of a machine"
    assert rows["p50_ms"] == MetricPair("p50_ms", 11.7, 11.7, sessions)
    assert rows["peak_rss_mb"] == MetricPair("peak_rss_mb", None, 210.0, sessions)
    assert (rows["p50_ms"].difference, rows["peak_rss_mb"].difference) == (None, None)
    assert rows["speedup"].incomparable == "each against its own baseline"
    assert (rows["map50_95"].difference, rows["size_mb"].difference) == (0.0, 0.0), (
        "of the same images, of files"
    )
    assert found.decided is None
    url = registry.comparison_url("pair", 1, 2)
    assert found.url == url
    one, two = registry.versions("pair")
    assert url == (
        "http://127.0.0.1:5000/#/compare-model-versions?name=%22pair%22&runs=%7B%221%22%3A%22"
        f"{one.run_id}%22%2C%222%22%3A%22{two.run_id}%22%7D&workflowType=machine_learning"
    )


def test_what_decided_comes_first_and_what_was_not_measured_alike_is_marked(
    registry, client, make_release
):
    first = registry.log_release(make_release("unlike"))
    registry.promote("unlike", first.version)
    other = {"validation": "f" * 64, "calibration": "b" * 64}
    second = registry.log_release(make_release("unlike", dataset_hashes=other, noise_floor=0.02))
    golden = Gate(
        "golden", 0.81, 0.83, (0.02, 0.01, 0.03), -0.01, 0.006, 400, Verdict.PASS, "better"
    )
    dark = replace(golden, name="dark", slice_of="golden")
    p95 = Gate("p95_ms", 4.0, 3.8, (0.95, 0.86, 0.97), 1.26, None, 200, Verdict.PASS, "faster")
    passed = GateReport("unlike/1", "unlike/2", (golden, dark, p95))
    registry.promote("unlike", 2, Rationale("drift", gates=passed))
    for sides in ((1, 2), (2, 1)):
        found = registry.compare("unlike", *sides)
        assert (found.decided.number, found.decided.decision.gates) == (2, passed)
    rows = {row.metric: row for row in found.metrics}
    assert (
        rows["map50_95"].incomparable
        == f"measured on other validation images, sha256 {'f' * 12} and {'a' * 12}"
    )
    assert rows["map50_95"].difference is None and "gate.v1-v2.golden" not in rows
    paired = [
        {
            key: value
            for key, value in client.get_run(version.run_id).data.metrics.items()
            if key.startswith("gate.")
        }
        for version in (first, second)
    ]
    assert paired[0] == {"gate.v1-v2.golden": 0.81, "gate.v1-v2.p95_ms": 4.0}
    assert paired[1] == {"gate.v1-v2.golden": 0.83, "gate.v1-v2.p95_ms": 3.8}


def tampered(path):
    with path.open("ab") as file:
        file.write(b"#")
    return path


def test_only_the_bundle_and_the_code_that_were_released_come_into_production(
    tmp_path, make_release
):
    registry = Registry(sqlite_uri(tmp_path / "mlflow.db"))
    for noise_floor in (0.1, 0.2, 0.3):
        registry.log_release(make_release("guarded", noise_floor=noise_floor))
    for version in (1, 2):
        registry.promote("guarded", version)
    one = registry.get("guarded", 1)
    archive = next((tmp_path / "artifacts" / "guarded" / one.run_id).rglob("*.zip"))
    content = archive.read_bytes()
    tampered(archive)
    with pytest.raises(BundleError, match="the bundle that was registered"):
        registry.rollback("guarded")
    assert registry.get("guarded", "champion").version == 2
    archive.write_bytes(content)
    assert registry.rollback("guarded").version == 1
    models = tmp_path / "artifacts" / "guarded" / "models"
    client = open_store(registry.tracking_uri).client
    own = client.get_run(registry.get("guarded", 3).run_id).outputs.model_outputs[0].model_id
    tampered(next((models / own).rglob("pyfunc_model.py")))
    with pytest.raises(RegistryError, match="the MLflow model that was registered with guarded/3"):
        registry.promote("guarded", 3)
    assert [version.aliases for version in registry.versions("guarded")] == [
        ("champion",),
        (),
        ("challenger",),
    ]


def test_a_checkpoint_is_the_one_that_the_first_decision_recorded_whatever_tags_say(
    tmp_path, make_release
):
    source = tmp_path / "model.pt"
    source.write_bytes(b"weights")
    registry = Registry(sqlite_uri(tmp_path / "mlflow.db"))
    version = registry.log_release(make_release("bound", source=source))
    registry.promote("bound", 1)
    client = open_store(registry.tracking_uri).client
    stored = tampered(
        next((tmp_path / "artifacts" / "bound" / version.run_id / "artifacts" / "source").iterdir())
    )
    client.set_model_version_tag("bound", "1", "source_sha256", sha256_file(stored))
    with pytest.raises(RegistryError, match=r"the model\.pt that was registered with bound/1"):
        registry.download_source(version, tmp_path / "output")
    assert registry.hashes(version)["source"] == sha256_file(source)


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


def test_drift_windows_are_steps_of_one_run_and_each_is_kept_once(
    registry, client, released, tmp_path
):
    for number, state in enumerate((DriftState.OK, DriftState.DRIFT, DriftState.INSUFFICIENT_DATA)):
        report = window(tmp_path / str(number), state)
        page = registry.log_drift(released, report, f"night {number}")
        assert registry.log_drift(released, report, f"night {number}") == page
    (run,) = runs_of(client, "looked.at", "drift")
    place = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    assert page == f"{place}/artifacts/windows/0003/report.html"
    assert run.data.tags["mlflow.parentRunId"] == released.run_id
    assert run.data.tags["state"] == "insufficient_data"
    history = {
        metric: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, metric)]
        for metric in ("distance.brightness", "drift_level")
    }
    assert history["distance.brightness"] == [(1, 0.5), (2, 0.5), (3, 0.5)]
    assert history["drift_level"] == [(1, 0.0), (2, 2.0)]
    assert {f.path for f in client.list_artifacts(run.info.run_id, "windows/0002")} == {
        "windows/0002/decision.json", "windows/0002/evidently.html", "windows/0002/report.html",
        "windows/0002/report.json",
    }  # fmt: skip
    assert "evidently" not in "".join(
        f.path for f in client.list_artifacts(run.info.run_id, "windows/0003")
    )


def window(folder, state):
    folder.mkdir()
    (folder / "report.html").write_text("<p>report</p>")
    (folder / "report.json").write_text(json.dumps({"state": state.value}))
    columns = (
        ColumnDrift("brightness", 0.5, 0.2, 0.001, True),
        ColumnDrift("empty", float("nan"), 0.2, None, False),
    )
    decision = DriftDecision(state, ("brightness moved",), columns, 300, 200)
    shown = state is not DriftState.INSUFFICIENT_DATA
    if shown:
        (folder / "evidently.html").write_text("<p>Evidently</p>")
    return DriftReport(
        folder / "report.html",
        folder / "report.json",
        decision,
        folder / "evidently.html" if shown else None,
    )


def test_mlflows_global_state_and_the_working_directory_stay_untouched(
    released, registry, make_release, monkeypatch, tmp_path
):
    import mlflow

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    version = Registry(registry.tracking_uri).log_release(make_release("elsewhere"))
    registry.download_bundle(version, tmp_path / "copy")
    assert mlflow.active_run() is None
    assert mlflow.get_tracking_uri() == "http://127.0.0.1:9"
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
