"""A dataset version in MLflow: logged once, named by what it holds."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from components.contracts import DatasetVersion
from components.errors import DatasetError
from components.files import sha256_file
from model_registry.store import open_store

pytestmark = pytest.mark.slow


@pytest.fixture
def dataset(tmp_path):
    """Two training images and one for validation, one of them new."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 2), ("val", 1)):
        for number in range(count):
            image = tmp_path / "images" / split / f"{number}.png"
            label = tmp_path / "labels" / split / f"{number}.txt"
            image.parent.mkdir(parents=True, exist_ok=True)
            label.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(image), rng.integers(0, 255, (32, 32, 3), np.uint8))
            label.write_text("0 0.5 0.5 0.25 0.25\n")
    (tmp_path / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat]\n")
    return DatasetVersion(
        tmp_path / "data.yaml",
        "5" * 64,
        {"train": 2, "val": 1},
        {"original": 2, "new": 1},
        {"near_duplicate": 4},
    )


def test_a_dataset_is_one_run_with_its_counts_and_the_hash_of_every_image(
    registry, dataset, tmp_path
):
    client = open_store(registry.tracking_uri).client
    run = client.get_run(registry.log_dataset("fed", dataset))
    assert (run.info.status, run.data.tags["foveal.kind"]) == ("FINISHED", "dataset")
    assert run.data.tags["dataset_sha256"] == dataset.sha256
    assert run.data.metrics == {
        "images.train": 2, "images.val": 1, "source.original": 2, "source.new": 1,
        "dropped.near_duplicate": 4,
    }  # fmt: skip
    (used,) = run.inputs.dataset_inputs
    assert used.dataset.digest == dataset.sha256[:36]
    folder = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
    assert (folder / "data.yaml").read_bytes() == dataset.data.read_bytes()
    contents = json.loads((folder / "contents.json").read_text())
    first = dataset.data.parent / "images" / "train" / "0.png"
    assert contents["train"]["images"]["0.png"] == sha256_file(first)
    assert [len(contents[split]["images"]) for split in ("train", "val")] == [2, 1]


def test_the_same_dataset_again_is_the_same_run_and_becomes_an_input_of_who_used_it(
    registry, dataset
):
    client = open_store(registry.tracking_uri).client
    own = registry.log_dataset("fed.again", dataset)
    experiment = client.get_experiment_by_name("fed.again").experiment_id
    user = client.create_run(experiment).info.run_id
    for _ in range(2):
        assert registry.log_dataset("fed.again", dataset, user) == own
    assert len(client.search_runs([experiment], "tags.`foveal.kind` = 'dataset'")) == 1
    (used,) = client.get_run(user).inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("fed.again-training", dataset.sha256[:36])


def test_a_dataset_that_is_gone_is_not_logged_as_if_it_were_there(registry, dataset):
    dataset.data.unlink()
    with pytest.raises(DatasetError):
        registry.log_dataset("starved", dataset)
    client = open_store(registry.tracking_uri).client
    experiment = client.get_experiment_by_name("starved").experiment_id
    assert {run.info.status for run in client.search_runs([experiment])} == {"FAILED"}
