"""A classifier before its first night: its alarms' errors, and that no label can be asked for."""

from __future__ import annotations

import json

from flows.tasks.calibrate import calibrate
from tests.conftest import complaints


def test_a_model_that_was_never_watched_says_what_to_do(released_classifier, tmp_path):
    done = released_classifier.foveal("labels", "export", "crops", "--output", tmp_path / "out")
    assert (done.returncode, len(complaints(done.stderr))) == (2, 1)
    assert "foveal nightly" in done.stderr
    assert not (tmp_path / "out").exists()


def test_calibration_prints_the_alarms_errors_on_the_models_own_reference(released_classifier):
    done = released_classifier.foveal("drift", "calibrate", "crops", "--windows", "20", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["model"] == "crops/1"
    assert (
        [rate["windows"] for rate in said["false_alarms"]] == [20] * len(said["false_alarms"]) != []
    )
    assert all(rate["drifted"] <= 0.1 for rate in said["false_alarms"])
    assert (said["accepted_windows"], said["nights"], said["power"]) == (0, None, [])


def test_calibration_sees_a_strong_damage_of_a_few_images(released_classifier, monkeypatch):
    monkeypatch.setenv("FOVEAL_HOME", str(released_classifier.root))
    images = sorted((released_classifier.data / "day").rglob("*.jpg"))[::10][:20]
    few = released_classifier.root / "few.txt"
    few.write_text("\n".join(map(str, images)))
    done = calibrate("crops", str(few), windows=20, sizes=(50,), damages=(("noise", 5),))
    assert [(row.kind, row.severity, row.contamination) for row in done.power] == [
        ("noise", 5, 1.0), ("noise", 5, 0.3), ("noise", 5, 0.1),
    ]  # fmt: skip
    assert done.power[0].raised == 1
