"""An A/B test by command line: two arms of one version, over two days."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest


def ab(released, *options: str | Path) -> dict:
    done = released.foveal("ab", "digits", "1", "champion", *options, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def days(released, tmp_path_factory) -> list[Path]:
    """The labelled day images in two folders, as they would come on two days."""
    folder = tmp_path_factory.mktemp("days")
    images = sorted((released.data / "images" / "day").iterdir())
    for name, part in (("one", images[:60]), ("two", images[40:])):
        (folder / name).mkdir()
        for image in part:
            shutil.copy(image, folder / name)
    return [folder / "one", folder / "two"]


def test_a_version_against_itself_shows_no_difference_over_two_days(released, days):
    """One story: no labels decide nothing; labels may come late; each image counts once."""
    plan = ("--sequential", "--delta", "0.3", "--experiment", "itself")
    labels = ("--labels", released.data / "data.yaml", "--labels-split", "day")
    first = ab(released, "--images", days[0], *plan)
    assert (first["new"], first["result"]["verdict"], first["result"]["reason"]) == (
        60,
        "undecided",
        "no labels",
    )
    assert first["agreement"] == 1.0

    second = ab(released, "--images", days[1], *labels, *plan)
    assert (second["new"], second["counted_before"]) == (20, 20)
    assert [(arm["arm"], arm["model"], arm["images"], arm["scored"]) for arm in second["arms"]] == [
        ("A", "digits/1", 80, 80),
        ("B", "digits/1", 80, 80),
    ]
    assert second["arms"][0]["score"] == second["arms"][1]["score"] > 0.5
    assert (second["result"]["verdict"], second["result"]["value"]) == ("no difference ≥ δ", 0.0)
    assert second["result"]["samples"] == 80

    folder = Path(second["folder"])
    for arm in ("A", "B"):
        tables = [
            pq.read_table(path) for path in sorted(folder.glob(f"batches/*/{arm}/images.parquet"))
        ]
        assert [len(table) for table in tables] == [60, 20]
        assert sum(table["inference_ms"].null_count for table in tables) == 0


def test_a_split_gives_every_image_to_one_arm_and_says_how_many_the_plan_misses(released, days):
    labels = ("--labels", released.data / "data.yaml", "--labels-split", "day")
    said = ab(released, "--images", days[0], *labels, "--mode", "split", "--samples", "400")
    counts = [arm["images"] for arm in said["arms"]]
    assert sum(counts) == 60 and min(counts) > 10
    assert (said["result"]["verdict"], said["result"]["planned"]) == ("undecided", 400)
    assert "340 are missing" in said["result"]["reason"]
    assert said["agreement"] is None
