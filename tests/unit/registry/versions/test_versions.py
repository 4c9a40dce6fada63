"""Versions, aliases and what is kept with them, in a real embedded MLflow."""

from __future__ import annotations

import json
from collections import Counter

import cv2
import numpy as np
import pytest

from components.contracts import (
    BenchmarkReport,
    ColumnDrift,
    DriftDecision,
    DriftReport,
    DriftState,
    load,
)
from components.errors import ConfigError, RegistryError
from components.files import sha256_tree
from components.package import verify_bundle
from model_registry import Registry
from tests.unit.registry.versions.seen import artifact, runs_of

pytestmark = pytest.mark.slow


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
