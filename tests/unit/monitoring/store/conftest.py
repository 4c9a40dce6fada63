"""Stores on disk and in memory, and finished runs to append."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime

import fsspec
import pytest

from components.contracts import Fit, InferenceRun, VisionSpec
from components.inference.batch.tables import detections_schema, images_schema, write_table
from components.monitoring import MonitoringStore
from components.vision import task_for
from tests.unit.monitoring.store.stored import DAY, HOUR, NOW


@pytest.fixture(params=["local", "memory"])
def root(request, tmp_path):
    if request.param == "local":
        yield str(tmp_path / "a [strange] folder" / "store")
    else:
        url = f"memory://{uuid.uuid4().hex}/store"
        yield url
        store, path = fsspec.core.url_to_fs(url)
        if store.exists(path):
            store.rm(path, recursive=True)


@pytest.fixture
def store(root) -> MonitoringStore:
    return MonitoringStore(root, clock=lambda: NOW)


@pytest.fixture
def finished_run(tmp_path) -> Callable[..., InferenceRun]:
    """Write a run as a real one: an image an hour from `first`, image k with k % 3 detections."""
    spec = VisionSpec("detect", ("zero", "one"), (320, 320), Fit.LETTERBOX, "yolo")
    numbers = iter(range(1000))

    def make(images: int = 3, *, first: datetime = DAY, model: str = "digits/3") -> InferenceRun:
        number = next(numbers)
        folder = tmp_path / f"run-{number}"
        folder.mkdir()
        rows = [
            {
                "image_id": f"{number}-{k}",
                "status": "ok",
                "model": model,
                "predicted_at": first + k * HOUR,
            }
            for k in range(images)
        ]
        found = [
            {"image_id": row["image_id"], "detection": n, "class_id": n, "confidence": 0.5}
            for k, row in enumerate(rows)
            for n in range(k % 3)
        ]
        write_table(folder / "images.parquet", rows, images_schema(task_for(spec)))
        write_table(folder / "detections.parquet", found, detections_schema())
        return InferenceRun(folder, model, images, (), 1.0, 1)

    return make
