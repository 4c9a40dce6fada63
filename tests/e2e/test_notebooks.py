"""The notebooks run from top to bottom over real releases, as they do for a user after `make demo`.

With `KEEP_OUTPUTS` in the environment, as `make notebooks` sets it, what they show is kept in the
repository.
"""

from __future__ import annotations

import shutil

import pytest

from tests.notebooks import run

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def test_a_model_of_ones_own_becomes_a_version_and_predicts(released, monkeypatch):
    said = run("bring_your_own_model", released.root, monkeypatch, config=released.config)
    assert "'digits/1 (champion)" in said, "the finished steps of the release were used"
    assert "80 images, 0 failures" in said


def test_the_benchmark_is_read_as_it_was_measured(released, monkeypatch):
    said = run("read_the_benchmark", released.root, monkeypatch)
    chosen = next(row["variant"] for row in released.said["variants"] if row["chosen"])
    assert f"digits for target pair: {chosen} ships" in said
    assert all(reason in said for reason in released.said["reasons"])


def test_an_alarm_is_explained_down_to_what_to_label(released, monkeypatch, tmp_path):
    shots = shutil.copytree(
        released.data / "images" / "night", tmp_path / "night", copy_function=shutil.copyfile
    )
    # predicted anew: the latest alarm
    night = released.foveal("monitor", "digits", "--images", shots, "--json")
    assert night.returncode == 0, night.stderr
    said = run(
        "investigate_a_drift_alarm", released.root, monkeypatch, labels=released.data / "data.yaml"
    )
    assert "UTC: drift" in said and "brightness moved by" in said
    assert "80 images of the window have labels, 0 have none" in said
    assert "uncertainty" in said and "because" in said
