"""Batches killed at any moment, or with files emptied as by a power cut, and the next runs."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.files import sha256_json
from components.images.sources import list_images
from components.inference.batch.run import run_batch
from components.inference.batch.settings import BatchSettings
from components.inference.batch.shards import plan_shards, work_root
from components.runs.finished import FILES, RUN, load_run
from flows.tasks.predict import Served

# images; the three shards of 48 images make the changes to the file system that are killed at
SHARD = 16
RANDOM_KILL, CHANGE_KILL, EMPTIED_FILE = (
    "random kill of a batch",
    "kill at a rename, unlink or mkdir",
    "emptied file",
)
DRAWS = 10  # moments drawn for each kill that is wanted: a run may end before its moment comes
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link"}
VOLATILE = ("decode_ms", "preprocess_ms", "inference_ms", "postprocess_ms", "predicted_at")


@dataclass(frozen=True)
class Batch:
    """One batch run over the same images with the released model, in a process of its own."""

    served: Served
    images: Path
    output: Path
    parts: bool = False  # results as folders of parts

    def run(self, die_at: int = 0, count: Any = None) -> None:
        """Do it; the process dies just before its change number `die_at` to the file system."""
        changes = 0

        def watch(event: str, _: Any) -> None:
            nonlocal changes
            if event in CHANGES:
                changes += 1
                if changes == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        served = self.served
        run_batch(
            list_images(str(self.images)),
            served.variant,
            self.output,
            settings=BatchSettings(
                threads=1, decode_threads=1, batch=2, shard_images=SHARD, parts=self.parts
            ),
        )
        if count is not None:
            count.value = changes

    def start(self, *arguments: Any) -> Any:
        """The running process; a fork of one that has imported everything and done nothing."""
        process = _CONTEXT.Process(target=self.run, args=arguments)
        process.start()
        return process

    def finish(self, *arguments: Any) -> bool:
        """Run to the end; whether it ended well."""
        process = self.start(*arguments)
        process.join()
        return bool(process.exitcode == 0)

    def kill_after(self, seconds: float) -> bool:
        """Kill a run in the middle; False where it had ended before."""
        process = self.start()
        process.join(seconds)
        process.kill()
        process.join()
        return bool(process.exitcode == -signal.SIGKILL)

    def kill_at(self, change: int) -> bool:
        """Kill a run just before a change to the file system; False if it did not come so far."""
        process = self.start(change)
        process.join()
        return bool(process.exitcode == -signal.SIGKILL)

    def digest(self) -> str:
        """Hash the finished tables but for times; empty where there is no finished run."""
        import pyarrow.parquet as pq

        if not (self.output / RUN).exists():
            return ""
        try:
            run = load_run(self.output)
            return digest_rows(pq.read_table(run.images), pq.read_table(run.detections))
        except Exception:
            return "unreadable"

    def clear(self) -> None:
        """Forget all results."""
        shutil.rmtree(self.output, ignore_errors=True)
        shutil.rmtree(work_root(self.output), ignore_errors=True)


def digest_rows(images: Any, detections: Any) -> str:
    """Hash the rows of two tables but for the times in them.

    Arguments:
        images: a pyarrow.Table with a row for each image.
        detections: a pyarrow.Table with a row for each detection.
    """
    return sha256_json([images.drop_columns(list(VOLATILE)).to_pylist(), detections.to_pylist()])


_CONTEXT: Any = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["benchmarks.chaos_batches", "onnxruntime", "pyarrow.parquet", "cv2"]
)


class Tally:
    """Counts what was tried, and what went wrong."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.wrong: list[str] = []

    def note(self, kind: str, problem: str) -> None:
        """Count one trial; an empty problem is none."""
        self.tried[kind] += 1
        if problem:
            self.wrong.append(f"{kind} {self.tried[kind]}: {problem}")

    def require(self, kind: str, times: int) -> None:
        """Count it as wrong when a kind of trial was made less often than it must be."""
        if self.tried[kind] < times:
            self.wrong.append(f"{kind}: {self.tried[kind]} trials of {times}")

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Note the error that ends a part of the bench; the other parts and the verdict follow."""
        try:
            yield
        except Exception as error:
            self.note(name, f"ended by {type(error).__name__}: {' '.join(str(error).split())}")


def kill_batches(batch: Batch, tally: Tally, rng: random.Random, times: int) -> tuple[str, int]:
    """Kill a batch `times` at random and at each change to the file system.

    Returns the right digest and the number of changes.

    Only a run that was under way when it was killed counts; another moment is drawn for one that
    had ended.
    """
    count = _CONTEXT.Value("i", 0)
    batch.finish()  # starts the server that runs are forked from, which is no part of a run's time
    batch.clear()
    started = time.perf_counter()
    if not batch.finish(0, count):
        raise RuntimeError("a batch failed by itself")
    seconds, right, changes = time.perf_counter() - started, batch.digest(), count.value
    draws = 0
    while tally.tried[RANDOM_KILL] < times and (draws := draws + 1) <= DRAWS * times:
        batch.clear()
        if batch.kill_after(rng.uniform(0, seconds)):
            tally.note(RANDOM_KILL, _resumed(batch, right))
    tally.require(RANDOM_KILL, times)
    for number in range(1, changes + 1):
        batch.clear()
        if batch.kill_at(number):
            tally.note(CHANGE_KILL, _resumed(batch, right))
    tally.require(CHANGE_KILL, changes)
    return right, changes


def _resumed(batch: Batch, right: str) -> str:
    """Return the fault of what a killed batch left or the next one made of it; empty for none."""
    if batch.digest() not in ("", right):
        return "a killed batch looked finished"
    if not batch.finish():
        return "the next batch failed"
    return "" if batch.digest() == right else "the next batch gave another result"


def empty_batches(
    batch: Batch, right: str, changes: int, tally: Tally, rng: random.Random, times: int
) -> None:
    """Empty files of a finished batch and of shards `times`: each alone, then several at once."""
    for name in sorted(FILES):
        os.truncate(batch.output / name, 0)
        tally.note(
            EMPTIED_FILE, f"{name}: {problem}" if (problem := _made_again(batch, right)) else ""
        )
    work, saved = work_root(batch.output), batch.output.with_name("saved")
    _leave_finished_shards(batch, changes)
    shutil.copytree(work, saved)
    files = sorted(
        path.relative_to(saved) for path in saved.glob("*/*/*") if path.parent.name != "merged"
    )
    for number in range(times - len(FILES)):
        together = (
            [files[number]]
            if number < len(files)
            else rng.sample(files, rng.randint(2, len(files)))
        )
        batch.clear()
        shutil.copytree(saved, work)
        for file in together:
            os.truncate(work / file, 0)
        problem = _made_again(batch, right)
        tally.note(EMPTIED_FILE, f"{', '.join(map(str, together))}: {problem}" if problem else "")


def _leave_finished_shards(batch: Batch, changes: int) -> None:
    """Kill a batch at the last moment at which all its shards are finished and its output is not.

    Raises:
        RuntimeError: there is no such moment.
    """
    shards = plan_shards(len(list_images(str(batch.images))), SHARD)
    for number in range(changes, 0, -1):
        batch.clear()
        batch.kill_at(number)
        if (
            len(list(work_root(batch.output).glob("*/*/shard.json"))) == len(shards)
            and not batch.output.exists()
        ):
            return
    raise RuntimeError("no change to the file system comes between the shards and the output")


def _made_again(batch: Batch, right: str) -> str:
    if not batch.finish():
        return "the next batch failed"
    return "" if batch.digest() == right else "the next batch gave another result"
