"""`foveal gates` without `--golden-split`: the split of the champion's release, in user data."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from components.contracts import BenchmarkReport, Bundle
from components.datasets.dataset import dataset_splits, load_dataset
from components.errors import DatasetError
from components.package import is_bundle, write_bundle
from flows.tasks.gates import golden_split
from tests.conftest import foveal

pytestmark = pytest.mark.slow


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An image folder with the splits train and val."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("good", "bent"):
            (tmp_path / "parts" / split / name).mkdir(parents=True)
            picture = rng.integers(0, 255, (32, 32, 3), np.uint8)
            cv2.imwrite(str(tmp_path / "parts" / split / name / "0.png"), picture)
    return tmp_path / "parts"


def packed(
    report: BenchmarkReport, photos: tuple[Path, ...], folder: Path, **details: object
) -> Path:
    return write_bundle(report, folder, name="parts", golden=photos, details=details).folder


def test_it_is_found_by_its_name_and_by_its_images_under_another(report, photos, data, tmp_path):
    known = load_dataset(data, "val").sha256
    named = packed(report, photos, tmp_path / "a", datasets={"val": known}, golden_split="val")
    assert golden_split(named, data) == "val"
    retrained = packed(
        report, photos, tmp_path / "b", datasets={"golden": known}, golden_split="golden"
    )
    assert golden_split(retrained, data) == "val"
    changed = packed(
        report, photos, tmp_path / "c", datasets={"val": "other images"}, golden_split="val"
    )
    assert golden_split(changed, data) == "val", "the gate says then that the images differ"


def test_without_it_the_splits_that_there_are_are_named(report, photos, data, tmp_path):
    bundle = packed(
        report, photos, tmp_path / "a", datasets={"golden": "other images"}, golden_split="golden"
    )
    with pytest.raises(
        DatasetError, match=r"the split golden at its release.*train, val.*--golden-split"
    ):
        golden_split(bundle, data)


def test_splits_of_no_dataset_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no dataset")
    for place in (tmp_path / "none", tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(DatasetError, match=r"a YOLO data\.yaml"):
            dataset_splits(place)


def test_a_bundle_is_told_from_a_folder_of_data(detector_bundle: Bundle, data):
    assert is_bundle(detector_bundle.folder) and is_bundle(detector_bundle.archive)
    assert not is_bundle(data) and not is_bundle(data / "none")


def test_a_folder_of_data_is_no_model_and_both_that_were_looked_for_are_named(data, tmp_path):
    for model, words in (
        ("parts", "no model of that name, and no bundle at"),
        ("parts/", "SHA256SUMS: missing"),
    ):
        done = foveal(
            "predict",
            model,
            data,
            "--output",
            tmp_path / "out",
            root=tmp_path / "home",
            cwd=tmp_path,
        )
        assert done.returncode == 1 and words in done.stderr, done.stderr
