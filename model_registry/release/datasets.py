"""A dataset version in MLflow: a run that says what it holds, and an input of runs that used it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from components.contracts import DatasetVersion, dump
from components.datasets.dataset import load_dataset
from components.files import sha256_file, write_json
from model_registry.release import runs
from model_registry.store import Store

_KIND = "dataset"


def log_dataset(store: Store, name: str, dataset: DatasetVersion, run_id: str | None = None) -> str:
    """Log a dataset version once, by content, and as another run's input; return its own run's id.

    Its files are `data.yaml`, `dataset.json` (counts and sources) and `contents.json` (the hash of
    every image).
    """
    data = runs.DatasetName("training", f"{name}-training", dataset.sha256)
    experiment = runs.experiment_of(store, name)
    logged = f"tags.`foveal.kind` = '{_KIND}' and tags.dataset_sha256 = '{dataset.sha256}'"
    finished = f"{logged} and attributes.status = 'FINISHED'"
    found = store.client.search_runs([experiment], filter_string=finished)
    own = found[0].info.run_id if found else _log(store, experiment, dataset, data)
    if run_id is not None:
        runs.log_inputs(store.client, run_id, [data])
    return str(own)


def _log(store: Store, experiment: str, dataset: DatasetVersion, data: runs.DatasetName) -> str:
    client = store.client
    tags = {
        "foveal.kind": _KIND,
        "dataset_sha256": dataset.sha256,
        **{f"source.{source}": str(count) for source, count in dataset.sources.items()},
        **{f"dropped.{reason}": str(count) for reason, count in dataset.dropped.items()},
    }
    with runs.open_run(store, experiment, f"dataset · {dataset.sha256[:12]}", tags) as run_id:
        runs.log_inputs(client, run_id, [data])
        runs.log_metrics(client, run_id, _counts(dataset))
        with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
            write_json(Path(scratch) / "dataset.json", dump(dataset))
            write_json(Path(scratch) / "contents.json", _contents(dataset))
            client.log_artifacts(run_id, scratch)
        if dataset.data.is_file():
            client.log_artifact(run_id, str(dataset.data))
    return run_id


def _counts(dataset: DatasetVersion) -> dict[str, float]:
    groups: Mapping[str, Mapping[str, int]] = {
        "images": dataset.images,
        "source": dataset.sources,
        "dropped": dataset.dropped,
    }
    return {
        f"{group}.{name}": float(count)
        for group, counts in groups.items()
        for name, count in counts.items()
    }


def _contents(dataset: DatasetVersion) -> dict[str, object]:
    """Split → the hash of its images and labels, and of each image."""
    written = (split for split, images in dataset.images.items() if images)
    splits = {split: load_dataset(dataset.data, split, objects=False) for split in written}
    return {
        name: {
            "sha256": split.sha256,
            "images": {image.image_id: sha256_file(image.path) for image in split.images},
        }
        for name, split in splits.items()
    }
