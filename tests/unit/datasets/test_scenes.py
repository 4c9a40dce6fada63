"""The demo's data: reproducible, without leaks between its splits, and as its labels say."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from components.contracts import Detections
from components.datasets.dataset import load_dataset
from components.datasets.scenes import (
    CLASS_NAMES,
    SceneCounts,
    compose_scene,
    digits_of,
    write_classification_dataset,
    write_detection_dataset,
)
from components.errors import DatasetError
from components.files import sha256_tree
from components.images.reading import read_image

SPLITS = ("train", "val", "calibration", "golden", "day", "night", "next_night")
COUNTS = SceneCounts(train=3, calibration=2, validation=3, golden=1, day=6, night=6, next_night=2)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_detection_dataset(
        tmp_path_factory.mktemp("digits") / "scenes", counts=COUNTS, seed=5
    )


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classification_dataset(
        tmp_path_factory.mktemp("digits") / "crops", size=32, seed=5
    )


def brightness(data: Path, split: str) -> float:
    return float(
        np.mean([read_image(image.path).mean() for image in load_dataset(data, split).images])
    )


@pytest.mark.parametrize("seed", [0, 1, 17])
def test_splits_share_no_digit(seed: int) -> None:
    pools = [
        set(digits_of(name, seed).tolist())
        for name in ("train", "calibration", "validation", "golden")
    ]
    pools.append(set(digits_of("production", seed).tolist()))
    assert all(pools)
    assert all(one.isdisjoint(other) for one, other in combinations(pools, 2))


def test_no_digit_of_one_night_comes_back_in_the_next() -> None:
    tonight, next_night = (set(digits_of(name, 0).tolist()) for name in ("tonight", "next_night"))
    assert tonight.isdisjoint(next_night)
    assert tonight | next_night == set(digits_of("production", 0).tolist())


def test_a_split_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(KeyError):
        digits_of("test", 0)


@pytest.mark.slow
def test_the_seed_decides_every_byte(scenes: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from components.datasets.scenes import *; "
        f"write_detection_dataset(Path(sys.argv[1]), counts={COUNTS!r}, seed=5)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "again")], check=True, timeout=300)
    assert sha256_tree(tmp_path / "again") == sha256_tree(scenes.parent)
    other = write_detection_dataset(tmp_path / "other", counts=COUNTS, seed=6)
    assert load_dataset(other, "val").sha256 != load_dataset(scenes, "val").sha256


def test_a_dataset_that_is_there_is_left_untouched(tmp_path: Path) -> None:
    counts = SceneCounts(1, 1, 1, 1, 1, 1, 1)
    data = write_detection_dataset(tmp_path / "scenes", counts=counts)
    mark = tmp_path / "scenes" / "images" / "train" / "train_00000.jpg"
    before = mark.stat()
    assert write_detection_dataset(tmp_path / "scenes", counts=counts) == data
    assert (mark.stat().st_mtime_ns, mark.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    write_detection_dataset(tmp_path / "scenes", counts=counts, seed=1)
    assert mark.stat().st_ino != before.st_ino


def test_a_folder_with_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work")
    for write in (write_detection_dataset, write_classification_dataset):
        with pytest.raises(DatasetError, match="holds something else"):
            write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("split", SPLITS)
def test_labels_lie_inside_their_scenes(scenes: Path, split: str) -> None:
    dataset = load_dataset(scenes, split)
    assert dataset.class_names == CLASS_NAMES
    for image in dataset.images:
        height, width = read_image(image.path).shape[:2]
        assert isinstance(image.truth, Detections)
        assert len(image.truth) >= 1
        left, top, right, bottom = image.truth.xyxy.T
        assert (
            (left >= 0).all()
            and (top >= 0).all()
            and (right <= width).all()
            and (bottom <= height).all()
        )
        assert (right - left >= 4).all() and (bottom - top >= 4).all()


def test_boxes_hold_something_written() -> None:
    for seed in range(5):
        image, classes, boxes = compose_scene(digits_of("train", 0), np.random.default_rng(seed))
        assert len(classes) == len(boxes)
        assert all(
            image[top:bottom, left:right].std() > 10
            for left, top, right, bottom in boxes.astype(int)
        )


@pytest.mark.slow
def test_night_is_darker_than_day(scenes: Path, crops: Path) -> None:
    assert brightness(scenes, "night") < 0.5 * brightness(scenes, "day")
    assert brightness(crops, "night") < 0.5 * brightness(crops, "day")


def test_every_crop_is_in_the_folder_of_its_class(crops: Path) -> None:
    counts = {split: len(load_dataset(crops, split).images) for split in SPLITS}
    assert counts["train"] == len(digits_of("train", 5))
    assert (
        counts["day"] == counts["night"] + counts["next_night"] == len(digits_of("production", 5))
    )
    assert load_dataset(crops, "golden").class_names == CLASS_NAMES
