"""The loop closes: a night's labels become a challenger, gates decide, each event counts once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from components.datasets.dataset import load_dataset
from components.datasets.scenes import write_classification_dataset
from flows.tasks.gates import golden_hash
from model_registry import Registry, sqlite_uri
from tests.conftest import complaints

EVENT = "foveal.drift.detected 2026-11-23 night"


@pytest.fixture(scope="module")
def nights(released_classifier, tmp_path_factory) -> Path:
    """The crops of three nights, labelled: enough of them to show what a short training gained."""
    folder = tmp_path_factory.mktemp("nights")
    shutil.copytree(released_classifier.data / "night", folder / "labels" / "night")
    made = write_classification_dataset(folder / "more", size=32, seed=1)
    for night in ("night", "next_night"):
        for crop in (made / night).rglob("*.jpg"):
            shutil.copy(crop, folder / "labels" / "night" / crop.parent.name / f"more_{crop.name}")
    return folder / "labels"


@pytest.fixture(scope="module")
def settings(nights, tmp_path_factory) -> Path:
    """Write parameters of a short retraining: margins for 72 golden crops and a busy machine."""
    file = tmp_path_factory.mktemp("retraining") / "retrain.yaml"
    file.write_text(
        f"data: {{labels: {nights}, labels_split: night, held_out_share: 0.35, most_images: 300}}\n"
        "training: {epochs: 8, learning_rate: 0.003, blend: 1.0}\n"
        "gates: {margin: 0.25, slice_margin: 0.9, latency_increase: 10, size_ratio: 100, "
        "memory_ratio: 100, "
        "rounds: 7}\n"
    )
    return file


@pytest.fixture(scope="module")
def retrained(released_classifier, settings):
    """What `foveal retrain` said after a drift."""
    done = released_classifier.foveal(
        "retrain", "crops", "--config", settings, "--trigger", "drift", "--event", EVENT, "--json"
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_too_few_labels_say_how_many_are_missing(released_classifier, tmp_path):
    (tmp_path / "much.yaml").write_text("data: {minimum_labels: 5000}\n")
    arguments = (
        "--labels",
        released_classifier.data,
        "--labels-split",
        "night",
        "--config",
        tmp_path / "much.yaml",
    )
    done = released_classifier.foveal("retrain", "crops", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    night = len(list((released_classifier.data / "night").rglob("*.jpg")))
    assert (said["state"], said["missing"], said["challenger"]) == (
        "needs_labels",
        5000 - night,
        None,
    )


def test_a_challenger_that_learnt_the_night_is_promoted_on_evidence(retrained):
    gates = {gate["name"]: gate for gate in retrained["gates"]["gates"]}
    assert retrained["state"] == "promoted", retrained["reason"]
    assert gates["recent"]["difference"][1] > 0
    assert gates["golden"]["verdict"] == gates["bundle"]["verdict"] == "pass"
    assert retrained["dataset"]["sources"]["new"] > 0
    assert retrained["dataset"]["images"]["recent"] > 100


def test_the_record_says_why_and_by_which_event(released_classifier, retrained):
    done = released_classifier.foveal("history", "crops", "--json")
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout)[-1]["decision"]
    assert (last["outcome"], last["version"], last["champion_before"]) == (
        "promoted",
        retrained["champion"],
        1,
    )
    assert (last["trigger"], last["event"]) == ("drift", EVENT)
    assert last["hashes"]["dataset"] == retrained["dataset"]["sha256"]


def test_a_retrained_version_knows_its_golden_set_by_content_under_whatever_name(
    released_classifier, retrained, tmp_path
):
    registry = Registry(sqlite_uri(released_classifier.root / "mlflow" / "mlflow.db"))
    version = registry.get("crops", str(retrained["challenger"]))
    bundle = registry.download_bundle(version, tmp_path / "bundle")
    frozen = load_dataset(released_classifier.data, "val", objects=False)
    assert golden_hash(bundle, "val") == frozen.sha256, "a further release is compared on it"


def test_a_repeated_event_does_nothing_and_says_what_came_of_it(
    released_classifier, settings, retrained
):
    arguments = ("--config", settings, "--trigger", "drift", "--event", EVENT, "--json")
    again = released_classifier.foveal("retrain", "crops", *arguments)
    assert again.returncode == 0, again.stderr
    said = json.loads(again.stdout)
    assert said["repeated"]
    assert (said["state"], said["challenger"]) == ("promoted", retrained["challenger"])
    history = json.loads(released_classifier.foveal("history", "crops", "--json").stdout)
    assert sum(one["decision"]["event"] == EVENT for one in history) == 1


def test_what_a_file_says_counts_unless_the_command_says_otherwise(
    released_classifier, settings, retrained, tmp_path
):
    file = tmp_path / "retrain.yaml"
    file.write_text(f"trigger: drift\nevent: {EVENT}\n{settings.read_text()}")
    done = released_classifier.foveal("retrain", "crops", "--config", file, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["repeated"]
    file.write_text("name: letters\n")
    other = released_classifier.foveal("retrain", "crops", "--config", file)
    assert (other.returncode, len(complaints(other.stderr))) == (2, 1)
    assert "parameters to retrain crops, found letters" in other.stderr


def test_a_challenger_of_wrong_labels_is_rejected_on_record(
    released_classifier, nights, settings, retrained, tmp_path
):
    classes = sorted(path.name for path in (nights / "night").iterdir())
    for name, wrong in zip(classes, [*classes[1:], classes[0]], strict=True):
        shutil.copytree(nights / "night" / name, tmp_path / "labels" / "night" / wrong)
    file = tmp_path / "retrain.yaml"
    strict = settings.read_text().replace(
        "{margin: 0.25, slice_margin: 0.9", "{margin: 0.02, slice_margin: 0.05"
    )
    strict = strict.replace("epochs: 8", "epochs: 2")  # of what is wrong, a little is enough
    file.write_text(strict.replace(str(nights), str(tmp_path / "labels")))
    done = released_classifier.foveal(
        "retrain", "crops", "--config", file, "--trigger", "schedule", "--json"
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["state"], said["champion"]) == ("rejected", retrained["champion"])
    assert said["reason"].startswith("golden: "), said["reason"]
    last = json.loads(released_classifier.foveal("history", "crops", "--json").stdout)[-1][
        "decision"
    ]
    assert (last["outcome"], last["version"]) == ("rejected", said["challenger"])
    assert said["challenger"] != retrained["champion"]
    later = released_classifier.foveal(
        "retrain", "crops", "--config", file, "--trigger", "schedule", "--json"
    )
    assert "cooling down" in json.loads(later.stdout)["reason"]


@pytest.mark.parametrize("mood", ["next_night", "day"])
def test_monitoring_is_quiet_about_every_condition_that_was_learnt(
    released_classifier, retrained, mood
):
    done = released_classifier.foveal(
        "monitor", "crops", "--images", released_classifier.data / mood, "--json"
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["version"] == retrained["champion"]
    assert said["window"]["state"] in {"ok", "warn"}, said["window"]["reasons"]


def test_one_command_takes_it_back(released_classifier, retrained):
    done = released_classifier.foveal(
        "rollback", "crops", "--reason", "the night crew prefers it", "--json"
    )
    assert done.returncode == 0, done.stderr
    history = json.loads(released_classifier.foveal("history", "crops", "--json").stdout)
    assert (history[-1]["decision"]["outcome"], history[-1]["decision"]["version"]) == (
        "rolled_back",
        1,
    )


def test_the_next_drift_does_not_undo_a_rollback(released_classifier, settings, tmp_path):
    file = tmp_path / "retrain.yaml"
    file.write_text(f"trigger: drift\nevent: the night after\n{settings.read_text()}")
    waits = json.loads(
        released_classifier.foveal("retrain", "crops", "--config", file, "--json").stdout
    )
    assert waits["state"] == "not_begun" and "was rolled back" in waits["reason"]
    file.write_text(f"cooldown_hours: 0\n{file.read_text()}")
    done = released_classifier.foveal("retrain", "crops", "--config", file, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["state"], said["champion"]) == ("rejected", 1)
    assert "rolled back by" in said["reason"] and "the night crew prefers it" in said["reason"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody"], "nobody"),
        (["crops", "--trigger", "boredom"], "trigger"),
        (["crops", "--labels", "/nowhere", "--labels-split", "night"], "/nowhere"),
    ],
)
def test_bad_input_is_one_line(released_classifier, arguments, words):
    done = released_classifier.foveal("retrain", *arguments)
    assert done.returncode in (1, 2)
    assert len(complaints(done.stderr)) == 1 and words in done.stderr
