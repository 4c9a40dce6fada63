"""What the demo says last: each line names the version whose file it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flows.cli.screens.results import demo_places
from flows.demo import DemoSummary
from flows.reporting.retraining import RetrainSummary
from flows.reporting.saved import saved_bundle
from flows.reporting.summary import MonitorSummary, ReleaseSummary, Window


@pytest.fixture
def done(tmp_path, monkeypatch) -> DemoSummary:
    """A demo whose challenger was promoted."""
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path))

    def window(folder: str) -> Window:
        return Window(
            9,
            0,
            9.0,
            "ok",
            (),
            tmp_path / folder / "images.parquet",
            tmp_path / folder / "report.html",
        )

    for version in ("1", "2"):
        (tmp_path / "releases" / "digits" / version).mkdir(parents=True)
        (tmp_path / "releases" / "digits" / version / "digits.zip").touch()
    first = ReleaseSummary(
        "digits", 1, ("previous_champion",), "map50_95", "workstation", (), (), None, "a CPU",
        tmp_path / "releases" / "digits" / "1",
        tmp_path / "releases" / "digits" / "1" / "digits.zip",
        None, window("releases/digits/1"),
    )  # fmt: skip
    nights = [
        MonitorSummary(
            "digits", version, window(f"monitoring/digits/{version}-ab"), False, (), (), tmp_path
        )
        for version in (1, 2)
    ]
    bundle = saved_bundle("digits", 2)
    assert bundle is not None
    retrained = RetrainSummary("digits", "promoted", "", 2, 2)
    return DemoSummary(first, nights[0], retrained, nights[1], bundle, (), 1.0, 2.0, "foveal")


def test_the_champions_lines_name_the_champions_files_and_older_ones_say_whose_they_are(
    done, tmp_path
):
    rows = {name: str(value) for name, value in demo_places(done)}
    assert rows["version"] == "digits/2 (champion)"
    for name in ("bundle", "predictions", "drift report"):
        assert Path(rows[name]).relative_to(tmp_path).parts[2].startswith("2")
    for name in ("day, digits/1", "night, digits/1"):
        assert Path(rows[name]).relative_to(tmp_path).parts[2].startswith("1")
    assert done.to_json()["bundle"] == rows["bundle"] == done.retraining.to_json()["bundle"]


def test_a_retraining_without_a_version_or_with_one_that_was_released_elsewhere_names_no_bundle(
    done,
):
    assert replace(done.retraining, challenger=None).bundle is None
    assert replace(done.retraining, challenger=7).to_json()["bundle"] is None
