"""Batches that are killed at any moment, or whose files are emptied as by a power cut, and the runs after them."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.files import sha256_json
from components.images.sources import list_images
from components.inference.batch.run import run_batch
from components.inference.batch.settings import BatchSettings
from components.inference.batch.shards import work_root
from components.runs.finished import DETECTIONS, FILES, IMAGES
from flows.tasks.predict import Served

SHARD = 4  # images
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}
VOLATILE = ("decode_ms", "preprocess_ms", "inference_ms", "postprocess_ms", "predicted_at")


@dataclass(frozen=True)
class Batch:
    """One batch run over the same images with the released model, in a process of its own."""

    served: Served
    images: Path
    output: Path

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
            settings=BatchSettings(threads=1, decode_threads=1, batch=2, shard_images=SHARD),
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

    def digest(self) -> str:
        """Hash the finished tables but for times; empty where there is no finished run."""
        import pyarrow.parquet as pq

        if not all((self.output / name).exists() for name in FILES):
            return ""
        try:
            images, detections = (pq.read_table(self.output / name) for name in (IMAGES, DETECTIONS))
        except Exception:
            return "unreadable"
        return sha256_json([images.drop_columns(list(VOLATILE)).to_pylist(), detections.to_pylist()])

    def clear(self) -> None:
        """Forget all results."""
        shutil.rmtree(self.output, ignore_errors=True)
        shutil.rmtree(work_root(self.output), ignore_errors=True)


_CONTEXT: Any = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["benchmarks.chaos_batches", "onnxruntime", "pyarrow.parquet", "cv2"])


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


def kill_batches(batch: Batch, tally: Tally, rng: random.Random, times: int) -> tuple[str, int]:
    """Kill a batch `times` at random and at each change to the file system; the right digest, and how many changes."""
    count = _CONTEXT.Value("i", 0)
    started = time.perf_counter()
    if not batch.finish(0, count):
        raise RuntimeError("a batch failed by itself")
    seconds, right, changes = time.perf_counter() - started, batch.digest(), count.value
    for _ in range(times):
        batch.clear()
        process = batch.start()
        process.join(rng.uniform(0, seconds))
        process.kill()
        process.join()
        tally.note("random kill of a batch", _resumed(batch, right))
    for number in range(1, changes + 1):
        batch.clear()
        batch.finish(number)
        tally.note("kill at a rename, unlink or mkdir", _resumed(batch, right))
    return right, changes


def _resumed(batch: Batch, right: str) -> str:
    """Return the fault of what a killed batch left or the next one made of it; empty for none."""
    if batch.digest() not in ("", right):
        return "a killed batch looked finished"
    if not batch.finish():
        return "the next batch failed"
    return "" if batch.digest() == right else "the next batch gave another result"


def empty_batches(batch: Batch, right: str, changes: int, tally: Tally, rng: random.Random, times: int) -> None:
    """Empty each file of a finished batch, and files of finished shards, `times` in all."""
    for name in sorted(FILES):
        os.truncate(batch.output / name, 0)
        tally.note("emptied file", f"{name}: {problem}" if (problem := _made_again(batch, right)) else "")
    work, saved = work_root(batch.output), batch.output.with_name("saved")
    for number in range(changes, 0, -1):  # the last moment at which all shards were finished and the output was not
        batch.clear()
        batch.finish(number)
        if (
            len(list(work.glob("*/*/shard.json"))) == len(list_images(str(batch.images))) // SHARD
            and not batch.output.exists()
        ):
            break
    shutil.copytree(work, saved)
    files = sorted(path.relative_to(saved) for path in saved.glob("*/*/*") if path.parent.name != "merged")
    for file in rng.sample(files, times - len(FILES)):
        batch.clear()
        shutil.copytree(saved, work)
        os.truncate(work / file, 0)
        tally.note("emptied file", f"{file}: {problem}" if (problem := _made_again(batch, right)) else "")


def _made_again(batch: Batch, right: str) -> str:
    if not batch.finish():
        return "the next batch failed"
    return "" if batch.digest() == right else "the next batch gave another result"
