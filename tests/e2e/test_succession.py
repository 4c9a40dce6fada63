"""A further release of a name meets the champion: its gates give it the place, or it gets none."""

from __future__ import annotations

import json

import torch

from model_registry import CHAMPION, Registry, sqlite_uri


def test_a_release_that_is_worse_than_the_champion_is_rejected_and_the_record_says_why(
    released_classifier, trained_classifier
):
    checkpoint = torch.load(trained_classifier.checkpoint, weights_only=True)
    last = list(checkpoint["state_dict"])[-2:]
    for (
        name
    ) in last:  # half of the classes are called the next one: far worse, and still far above chance
        values = checkpoint["state_dict"][name]
        half = len(values) // 2
        checkpoint["state_dict"][name] = torch.cat([values[:half].roll(1, 0), values[half:]])
    torch.save(checkpoint, trained_classifier.checkpoint.with_name("worse.pt"))
    config = released_classifier.config.with_name("worse.yaml")
    config.write_text(
        released_classifier.config.read_text().replace("trained/model.pt", "trained/worse.pt")
    )
    registry = Registry(sqlite_uri(released_classifier.root / "mlflow" / "mlflow.db"))
    champion = registry.get("crops", CHAMPION).version

    done = released_classifier.foveal("release", config, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    gates = {gate["name"]: gate["verdict"] for gate in said["gates"]["gates"]}
    assert (gates["golden"], gates["bundle"]) == ("fail", "pass"), said["gates"]["gates"]
    assert said["version"] > champion and "champion" not in said["aliases"]
    assert registry.get("crops", CHAMPION).version == champion
    decision = registry.decisions("crops")[-1].decision
    assert (decision.trigger, decision.outcome, decision.version) == (
        "release",
        "rejected",
        said["version"],
    )
    assert decision.reasons[0].startswith("golden: fail, top-1")

    again = released_classifier.foveal("release", config, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["version"] == said["version"]
    assert registry.decisions("crops")[-1].decision == decision, "it was decided on once"
