"""Time and memory that decision and report of a window take, over 10,000 and a million images."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.figure import Figure, conclude
from benchmarks.subject import scratch
from components.contracts import Fit, InferenceRun, VisionSpec
from components.datasets.scenes import CLASS_NAMES, Lighting, compose_scene, digits_of
from components.images.statistics import IMAGE_COLUMNS, STATISTICS_RECIPE, image_statistics
from components.inference.batch.tables import detections_schema, images_schema
from components.monitoring import assess, build_reference, write_report
from components.monitoring.drift.tables import MAX_ROWS
from components.monitoring.report.evidently_report import MAX_ROWS as EVIDENTLY_ROWS
from components.runs.finished import DETECTIONS, IMAGES
from components.vision import task_for

MODEL = "digits/3"
DIGITS = VisionSpec("detect", CLASS_NAMES, (320, 320), Fit.LETTERBOX, "yolo")
REFERENCE, WINDOWS = 5_000, (10_000, 1_000_000)  # images
SECONDS, PEAK_MB = (15.0, 90.0), 1500.0  # the bars: of each window, and of the larger one
# real scenes that rows are drawn from, and the share of dark ones in a window
SCENES, NIGHT = 300, 0.5
EMBEDDING, PIECE = 192, 50_000
NOISE = 0.03  # of a statistic, relative; two images of one place are never equal
START = datetime(2026, 3, 1, tzinfo=UTC)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Scenes:
    """Real scenes: their files, their statistics (n, k) and how many objects each shows (n,)."""

    files: list[str]
    statistics: Floats
    objects: npt.NDArray[np.int64]


def _compose(folder: Path, mood: Lighting, count: int) -> _Scenes:
    rng, pool = (
        np.random.default_rng(0),
        digits_of("production" if mood == "night" else "validation", 0),
    )
    files, rows, objects = [], [], []
    for number in range(count):
        image, classes, _ = compose_scene(pool, rng, mood)
        file = folder / f"{mood}-{number:03d}.jpg"
        cv2.imwrite(str(file), image)
        found = image_statistics(np.asarray(cv2.imread(str(file)), np.uint8))
        files.append(str(file))
        rows.append([found[name] for name in IMAGE_COLUMNS])
        objects.append(len(classes))
    return _Scenes(files, np.array(rows), np.array(objects))


def _pieces(scenes: tuple[_Scenes, _Scenes], night: float, rows: int) -> Iterator[tuple[Any, Any]]:
    """Yield both tables in pieces of some thousand images.

    The rows are those of real scenes, drawn again and again with noise.
    """
    import pyarrow as pa

    schema = images_schema(task_for(DIGITS))
    rng = np.random.default_rng(rows)
    axes = np.random.default_rng(0).normal(size=(len(IMAGE_COLUMNS), EMBEDDING))
    middle, spread = scenes[0].statistics.mean(axis=0), scenes[0].statistics.std(axis=0) + 1e-9
    files = np.array([*scenes[0].files, *scenes[1].files])
    statistics = np.concatenate([part.statistics for part in scenes])
    objects = np.concatenate([part.objects for part in scenes])
    for first in range(0, rows, PIECE):
        count = min(PIECE, rows - first)
        drawn = rng.integers(0, len(scenes[0].files), count)
        drawn = np.where(
            rng.random(count) < night, len(scenes[0].files) + drawn % len(scenes[1].files), drawn
        )
        values = statistics[drawn] * (1 + NOISE * rng.normal(size=(count, statistics.shape[1])))
        values[:, :4] = statistics[drawn, :4]  # sizes have no noise
        vectors = ((statistics[drawn] - middle) / spread) @ axes + rng.normal(
            size=(count, EMBEDDING)
        )
        made: dict[str, Any] = dict(zip(IMAGE_COLUMNS, values.T, strict=True))
        made |= _predicted(rng, objects[drawn])
        made |= {
            "image_id": [f"{first + k:07d}.jpg" for k in range(count)],
            "uri": files[drawn],
            "status": np.full(count, "ok"),
            "sha256": [
                f"{value:016x}".ljust(64, "0") for value in rng.integers(0, 2**62, count).tolist()
            ],
            "predicted_at": pa.array([START + timedelta(seconds=first + k) for k in range(count)]),
            "embedding": pa.ListArray.from_arrays(
                np.arange(0, (count + 1) * EMBEDDING, EMBEDDING, dtype=np.int32),
                vectors.astype(np.float32).ravel(),
            ),
        }
        columns = [made.get(field.name, pa.nulls(count)) for field in schema]
        arrays = [
            pa.array(values).cast(field.type) for values, field in zip(columns, schema, strict=True)
        ]
        yield (
            pa.Table.from_arrays(arrays, schema=schema),
            _detections(made["image_id"], objects[drawn], rng),
        )


def _predicted(rng: np.random.Generator, objects: npt.NDArray[np.int64]) -> dict[str, Any]:
    found = objects > 0
    confidence = np.where(found, rng.beta(12, 2, len(objects)), np.nan)
    return {
        "prediction_count": objects.astype(np.float64),
        "prediction_confidence_mean": confidence,
        "prediction_confidence_min": confidence * rng.uniform(0.6, 1, len(objects)),
        "prediction_confidence_max": confidence
        + (1 - confidence) * rng.uniform(0, 1, len(objects)),
        "prediction_box_x": np.where(found, rng.normal(0.5, 0.15, len(objects)), np.nan),
        "prediction_box_y": np.where(found, rng.normal(0.5, 0.15, len(objects)), np.nan),
        "prediction_box_side_px": np.where(found, rng.normal(40, 8, len(objects)), np.nan),
        "prediction_class_entropy": np.where(found, rng.uniform(0, 1.6, len(objects)), np.nan),
        "prediction_top_class": np.where(
            found, rng.integers(0, len(CLASS_NAMES), len(objects)), -1
        ),
    }


def _detections(names: list[str], objects: npt.NDArray[np.int64], rng: np.random.Generator) -> Any:
    import pyarrow as pa

    classes = rng.integers(0, len(CLASS_NAMES), int(objects.sum()))
    made: dict[str, Any] = {
        "image_id": np.repeat(names, objects),
        "class_id": classes,
        "class_name": np.array(CLASS_NAMES)[classes],
        "confidence": rng.beta(12, 2, len(classes)),
    }
    schema = detections_schema()
    columns = [
        pa.array(made.get(field.name, pa.nulls(len(classes)))).cast(field.type) for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _write_run(
    folder: Path, scenes: tuple[_Scenes, _Scenes], night: float, rows: int
) -> InferenceRun:
    import pyarrow.parquet as pq

    folder.mkdir()
    images = detections = None
    for part, found in _pieces(scenes, night, rows):
        images = images or pq.ParquetWriter(folder / IMAGES, part.schema, compression="zstd")
        detections = detections or pq.ParquetWriter(
            folder / DETECTIONS, found.schema, compression="zstd"
        )
        images.write_table(part)
        detections.write_table(found)
    for writer in (images, detections):
        if writer is not None:
            writer.close()
    return InferenceRun(folder, MODEL, rows, (), 1.0, STATISTICS_RECIPE)


def _report(folder: Path, rows: int) -> None:
    """Decide on a window and write its report, to be measured in a process of its own."""
    run = InferenceRun(folder / str(rows), MODEL, rows, (), 1.0, STATISTICS_RECIPE)
    reference = folder / "reference.parquet"
    decision = assess(run, reference)
    write_report(
        run, reference, decision, folder / f"report-{rows}", workspace=folder / "workspace"
    )


def measure(windows: tuple[int, ...] = WINDOWS) -> Figure:
    """Make the tables, then time one process for each window, the smallest first."""
    seconds, peaks = [], []
    with scratch() as temporary:
        folder = Path(temporary)
        scenes = (_compose(folder, "day", SCENES), _compose(folder, "night", SCENES // 3))
        accepted = _write_run(folder / "accepted", scenes, 0.0, REFERENCE)
        build_reference(accepted, folder / "reference.parquet")
        for rows in windows:
            _write_run(folder / str(rows), scenes, NIGHT, rows)
            started = time.perf_counter()
            subprocess.run(  # noqa: S603 - ourselves
                [sys.executable, "-m", "benchmarks.report", str(folder), str(rows)], check=True
            )
            seconds.append(time.perf_counter() - started)
            # of the largest so far
            peaks.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3)
    text = " and ".join(
        f"{rows:,} images in {taken:.0f} s with {peak:.0f} MB"
        for rows, taken, peak in zip(windows, seconds, peaks, strict=True)
    )
    ok = (
        all(taken < bar for taken, bar in zip(seconds, SECONDS, strict=False))
        and peaks[-1] < PEAK_MB
    )
    bars = " and ".join(f"< {bar:.0f} s" for bar in SECONDS[: len(windows)])
    details = (
        "assess and write_report with Evidently's page and workspace, imports included; reference "
        f"of {REFERENCE:,} "
        f"images, embeddings of {EMBEDDING}, {NIGHT:.0%} of the window dark scenes",
        f"every row is read for counts, gaps and sizes; the decision rests on at most {MAX_ROWS:,} "
        "of them, evenly "
        f"spread, and Evidently's page on {EVIDENTLY_ROWS:,}",
    )
    return Figure("report", text, f"{bars}, < {PEAK_MB:.0f} MB", ok, details)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        _report(Path(sys.argv[1]), int(sys.argv[2]))
    elif len(sys.argv) == 2:
        conclude(lambda: measure((int(sys.argv[1]),)))
    else:
        conclude(measure)
