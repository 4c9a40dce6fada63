"""Runs to judge: tables of numbers, and the statistics of real scenes by day and by night."""

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contracts import FailedImage, InferenceRun
from components.datasets.scenes import compose_scene, digits_of
from components.images.statistics import IMAGE_COLUMNS, STATISTICS_RECIPE, image_statistics


@pytest.fixture
def write_run(tmp_path) -> Callable[..., InferenceRun]:
    """Write a finished run with these columns; failed images follow, with nulls."""
    numbers = iter(range(1000))

    def write(
        columns: Mapping[str, Any],
        *,
        model: str = "digits/3",
        recipe: int = STATISTICS_RECIPE,
        failed: int = 0,
    ) -> InferenceRun:
        folder = tmp_path / f"run-{next(numbers)}"
        folder.mkdir()
        arrays = {name: pa.array(values) for name, values in columns.items()}
        processed = len(next(iter(arrays.values())))
        table = {
            name: pa.concat_arrays([array, pa.nulls(failed, array.type)])
            for name, array in arrays.items()
        }
        table["status"] = pa.array(["ok"] * processed + ["error"] * failed)
        pq.write_table(pa.table(table), folder / "images.parquet")
        failures = tuple(
            FailedImage(f"<broken>/{k}.jpg", "expected an image & found a text")
            for k in range(failed)
        )
        return InferenceRun(folder, model, processed, failures, 1.0, recipe)

    return write


@pytest.fixture(scope="session")
def ordinary() -> Callable[..., dict[str, Any]]:
    """Columns of a run in which nothing is remarkable, but for those given."""

    def columns(count: int = 100, seed: int = 0, **other: Any) -> dict[str, Any]:
        rng = np.random.default_rng(seed)
        made: dict[str, Any] = {name: rng.normal(100, 15, count) for name in IMAGE_COLUMNS}
        made["prediction_count"] = rng.integers(1, 8, count).astype(float)
        made["prediction_confidence_mean"] = rng.beta(12, 2, count)
        made["prediction_top_class"] = rng.integers(0, 4, count)
        return made | other

    return columns


def _scene_columns(split: str, mood: Any, seed: int, count: int = 60) -> dict[str, Any]:
    rng, pool = np.random.default_rng(seed), digits_of(split, 0)
    rows = []
    for _ in range(count):
        image, classes, _ = compose_scene(pool, rng, mood)
        decoded = cv2.imdecode(cv2.imencode(".jpg", image)[1], cv2.IMREAD_COLOR)
        rows.append(
            {
                **image_statistics(np.asarray(decoded, np.uint8)),
                "prediction_count": float(len(classes)),
            }
        )
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.fixture(scope="session")
def accepted_scenes() -> dict[str, Any]:
    return _scene_columns("validation", "day", 1)


@pytest.fixture(scope="session")
def day_scenes() -> dict[str, Any]:
    return _scene_columns("production", "day", 2)


@pytest.fixture(scope="session")
def night_scenes() -> dict[str, Any]:
    return _scene_columns("production", "night", 3)
