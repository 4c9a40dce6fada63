"""Rows of the monitoring store, each kept once, while two writers of the same runs are killed.

The writers are killed again and again.
"""

from __future__ import annotations

import math
import multiprocessing
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, conclude
from benchmarks.subject import scratch
from components.contracts import Fit, InferenceRun, VisionSpec
from components.images.object_store import ASIDE
from components.images.statistics import IMAGE_COLUMNS, STATISTICS_RECIPE
from components.inference.batch.tables import detections_schema, images_schema, write_table
from components.monitoring import MonitoringStore
from components.runs.finished import DETECTIONS, IMAGES
from components.vision import task_for

RUNS, SHARED = 1000, 0.2  # the share that both writers append
KILLS = 60  # the writers' deaths together, before both are left to finish
MODEL = "digits/3"
DIGITS = VisionSpec("detect", tuple("0123456789"), (320, 320), Fit.LETTERBOX, "yolo")
FIRST_DAY = datetime(2026, 1, 1, 23, 59, tzinfo=UTC)

Row = tuple[Any, ...]


def _write_run(folder: Path, number: int) -> InferenceRun:
    """A run of 5–20 images that spans midnight, with every column of a real one."""
    rng = random.Random(number)  # noqa: S311 - repeatable, not secret
    folder.mkdir(parents=True)
    start = FIRST_DAY + timedelta(days=number % 30)
    images, detections = [], []
    for k in range(rng.randint(5, 20)):
        image = f"{number:04d}/{k:02d}.jpg"
        found = rng.randint(0, 3)
        images.append(
            {
                "image_id": image, "uri": f"/shots/{image}", "status": "ok", "model": MODEL,
                "backend": "onnxruntime", "statistics_recipe": STATISTICS_RECIPE,
                "predicted_at": start + timedelta(seconds=10 * k),
                **{name: rng.random() for name in IMAGE_COLUMNS}, "prediction_count": float(found),
            }
        )  # fmt: skip
        detections += [
            {
                "image_id": image,
                "detection": n,
                "class_id": n,
                "class_name": str(n),
                "confidence": rng.random(),
            }
            for n in range(found)
        ]
    write_table(folder / IMAGES, images, images_schema(task_for(DIGITS)))
    write_table(folder / DETECTIONS, detections, detections_schema())
    return _run_in(folder, len(images))


def _run_in(folder: Path, images: int = 0) -> InferenceRun:
    return InferenceRun(folder, MODEL, images, (), 1.0, STATISTICS_RECIPE)


def _write(root: Path, folders: Sequence[Path], seed: int, done: Any) -> None:
    """Append all runs of a writer, in another order each time that it is started."""
    store = MonitoringStore(root)
    for folder in random.Random(seed).sample(folders, len(folders)):  # noqa: S311
        store.append(_run_in(folder))
        done.value += 1


@dataclass
class _Writer:
    """One of the two writers: a fresh process whenever it was killed."""

    root: Path
    folders: Sequence[Path]
    rng: random.Random
    finished: bool = False

    def start(self, *, kill: bool) -> None:
        """Start the process; to be killed within its next appends, or left to finish."""
        spawn = multiprocessing.get_context("spawn")
        self._done = spawn.RawValue("i", 0)  # without a lock, which a killed process would keep
        self._process = spawn.Process(
            target=_write, args=(self.root, self.folders, self.rng.random(), self._done)
        )
        self._process.start()
        most = max(2, len(self.folders) // 10)
        self._limit = self.rng.uniform(1, most) if kill else math.inf

    def watch(self) -> bool:
        """Kill the process if it is due, and tell whether it has ended, killed or finished."""
        if self._process.is_alive() and self._done.value >= self._limit:
            time.sleep(self.rng.uniform(0, 0.02))  # somewhere within an append
            self._process.kill()
            self._process.join()
        if self._process.is_alive():
            return False
        if self._process.exitcode not in (0, -signal.SIGKILL):
            raise RuntimeError(
                f"a writer failed by itself, with exit code {self._process.exitcode}"
            )
        self.finished = self._process.exitcode == 0
        return True


def _append_all(writers: Sequence[_Writer], kills: int) -> int:
    """Run both writers until each has come to its end; returns how often one was killed."""
    killed = 0
    for writer in writers:
        writer.start(kill=killed < kills)
    while unfinished := [writer for writer in writers if not writer.finished]:
        for writer in unfinished:
            if writer.watch() and not writer.finished:
                killed += 1
                writer.start(kill=killed < kills)
        time.sleep(0.001)
    return killed


def _rows(table: Any, *columns: str) -> Counter[Row]:
    return Counter(zip(*(table[name].to_pylist() for name in columns), strict=True))


def _unreadable(root: Path) -> int:
    """Parquet files that cannot be read to their last row, markers or not."""
    import pyarrow.parquet as pq

    count = 0
    for path in root.glob("*/*/*/day=*/*.parquet"):
        try:
            pq.read_table(path)
        except Exception:
            count += 1
    return count


def measure(runs: int = RUNS, kills: int = KILLS) -> Figure:
    """Write the runs, let the writers append them, and count every row against what was written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    started = time.perf_counter()
    with scratch() as folder:
        root, folders = (
            Path(folder) / "store",
            [Path(folder) / "runs" / str(number) for number in range(runs)],
        )
        for number, path in enumerate(folders):
            _write_run(path, number)
        share, rng = round(runs * (0.5 + SHARED / 2)), random.Random(0)  # noqa: S311
        killed = _append_all(
            [_Writer(root, folders[:share], rng), _Writer(root, folders[runs - share :], rng)],
            kills,
        )
        store, lost, twice, rows = MonitoringStore(root), 0, 0, 0
        for columns, found, file in (
            (("image_id", "brightness"), store.images("digits"), IMAGES),
            (("image_id", "detection", "confidence"), store.detections("digits"), DETECTIONS),
        ):
            written = _rows(
                pa.concat_tables([pq.read_table(path / file) for path in folders]), *columns
            )
            stored = _rows(found, *columns)
            lost, twice, rows = (
                lost + (written - stored).total(),
                twice + (stored - written).total(),
                rows + len(found),
            )
        struck = len(list((root / ASIDE).iterdir()))
        windows, unreadable = len(store.windows("digits")), _unreadable(root)
    text = (
        f"{windows} of {runs} appends, {killed} kills, {lost} rows lost, {twice} twice, "
        f"{unreadable} files unreadable"
    )
    ok = windows == runs and killed >= kills and not (lost or twice or unreadable)
    details = (
        f"{rows} rows; {2 * share - runs} runs appended by both writers; {struck} kills struck "
        "within an append",
        f"{time.perf_counter() - started:.0f} s",
    )
    return Figure(
        "store",
        text,
        f"{runs} appends, ≥ {kills} kills, 0 lost, 0 twice, 0 unreadable",
        ok,
        details,
    )


if __name__ == "__main__":
    conclude(measure)
