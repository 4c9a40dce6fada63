"""`foveal gates`, end to end: a registered version against itself on its release's images."""

from __future__ import annotations

import json


def test_a_version_against_itself_is_as_good_no_better_and_changes_nothing(released_classifier):
    done = released_classifier.foveal(
        "gates",
        "crops",
        "1",
        "--data",
        released_classifier.data,
        "--recent-split",
        "night",
        "--json",
    )
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    assert (said["champion"], said["challenger"], said["passed"]) == ("crops/1", "crops/1", False)
    gates = {gate["name"]: gate for gate in said["gates"]}
    assert gates["golden"]["verdict"] == "pass", gates["golden"]
    assert gates["golden"]["difference"][0] == 0
    assert gates["bundle"]["verdict"] == "pass", gates["bundle"]
    assert gates["recent"]["verdict"] == "undecided"
    assert any(reason.startswith("recent: undecided, top-1") for reason in said["reasons"])
    assert {"brightness", "contrast", "sharpness"} <= {name.split()[0] for name in gates}


def test_a_missing_split_is_one_line(command, scenes):
    done = command("gates", "digits", "1", "--data", scenes, "--golden-split", "none")
    assert done.returncode == 2
    assert done.stderr.startswith("error: expected the split none") and done.stderr.count("\n") == 1
