"""Does anything that is killed, or that loses power, leave a result that is wrong or looks finished?"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, conclude
from benchmarks.subject import scratch
from components.files import sha256_json
from components.images.digits import SceneCounts, write_detection_dataset
from components.images.sources import list_images
from components.inference.batch import run_batch
from components.inference.shards import work_root
from components.monitoring import MonitoringStore
from components.runs import DETECTIONS, FILES, IMAGES
from flows.demo import MODEL
from flows.predicting import Served, read_bundle

RANDOM_KILLS, NIGHTS, EMPTIED = 30, 14, 50
SHARD, NIGHT = 4, 12  # images
COUNTS = SceneCounts(train=1, calibration=24, validation=40, golden=3, day=48, night=NIGHT * (NIGHTS + 1), next_night=1)
NAME = "digits"
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}
VOLATILE = ("decode_ms", "preprocess_ms", "inference_ms", "postprocess_ms", "predicted_at")
CONFIG = """name: digits
model: {{path: {model}, trust_pickle: true}}
data:
  labelled: {data}
  images: {data}/images/day
  calibration_split: calibration
  calibration_images: 16
  golden_split: golden
  golden_images: 3
target: {target}
benchmark: {{rounds: 6, calls: 22}}
"""
TARGET = """description = "one variant: nothing of this is about speed"
backends = ["onnxruntime"]
device = "cpu"
threads = 1
precisions = ["fp32"]
"""
SERVE = """
import sys
from flows.server import prefect_api
from flows.settings import Settings

with prefect_api(Settings.from_environment()):
    print("serving", flush=True)
    sys.stdin.read()
"""


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
            artifact=served.artifact,
            backend=served.backend,
            model=served.label,
            output=self.output,
            threads=1,
            decode_threads=1,
            batch=2,
            shard_images=SHARD,
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
        """What the finished tables say, but for times; nothing where there is no finished run."""
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
_CONTEXT.set_forkserver_preload(["benchmarks.chaos", "onnxruntime", "pyarrow.parquet", "cv2"])


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


def kill_batches(batch: Batch, tally: Tally, rng: random.Random) -> tuple[str, int]:
    """Kill a batch at random and at each change to the file system; what is right, and how many changes there are."""
    count = _CONTEXT.Value("i", 0)
    started = time.perf_counter()
    if not batch.finish(0, count):
        raise RuntimeError("a batch failed by itself")
    seconds, right, changes = time.perf_counter() - started, batch.digest(), count.value
    for _ in range(RANDOM_KILLS):
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
    """What is wrong with what a killed batch left, or with what the next one made of it."""
    if batch.digest() not in ("", right):
        return "a killed batch looked finished"
    if not batch.finish():
        return "the next batch failed"
    return "" if batch.digest() == right else "the next batch gave another result"


def empty_batches(batch: Batch, right: str, changes: int, tally: Tally, rng: random.Random) -> None:
    """Empty each file of a finished batch, and half of those of finished shards."""
    for name in sorted(FILES):
        os.truncate(batch.output / name, 0)
        tally.note("emptied file", f"{name}: {problem}" if (problem := _made_again(batch, right)) else "")
    work, saved = work_root(batch.output), batch.output.with_name("saved")
    for number in range(changes, 0, -1):  # the last moment at which all shards were finished and the output was not
        batch.clear()
        batch.finish(number)
        if len(list(work.glob("*/*/shard.json"))) == COUNTS.day // SHARD and not batch.output.exists():
            break
    shutil.copytree(work, saved)
    files = sorted(path.relative_to(saved) for path in saved.glob("*/*/*") if path.parent.name != "merged")
    for file in rng.sample(files, EMPTIED // 2 - len(FILES)):
        batch.clear()
        shutil.copytree(saved, work)
        os.truncate(work / file, 0)
        tally.note("emptied file", f"{file}: {problem}" if (problem := _made_again(batch, right)) else "")


def _made_again(batch: Batch, right: str) -> str:
    if not batch.finish():
        return "the next batch failed"
    return "" if batch.digest() == right else "the next batch gave another result"


class Root:
    """A storage root with a released model, whose commands run as a user types them."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.home, self.data, self.arrived = folder / "home", data, folder / "camera"
        self.arrived.mkdir()
        ours = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "FOVEAL_"))}
        self.environment = ours | {"FOVEAL_HOME": str(self.home)}
        self.command = str(Path(sys.executable).with_name("foveal"))
        (folder / "target.toml").write_text(TARGET)
        (folder / "digits.yaml").write_text(CONFIG.format(model=MODEL, data=data, target=folder / "target.toml"))
        self.released = json.loads(self.run("release", str(folder / "digits.yaml")))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command that is under way."""
        return subprocess.Popen(  # noqa: S603 - our own command
            [self.command, *arguments, "--json"],
            env=self.environment,
            cwd=self.home.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> str:
        """What a command printed.

        Raises:
            RuntimeError: it failed.
        """
        process = self.start(*arguments)
        out, err = process.communicate()
        if process.returncode:
            raise RuntimeError(f"foveal {arguments[0]}: {err.strip().splitlines()[-1:]}")
        return out

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Keep one Prefect server up for all commands."""
        command = [sys.executable, "-c", SERVE]
        with subprocess.Popen(  # noqa: S603 - our own interpreter
            command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server:
            if server.stdout is None or server.stdout.readline() != "serving\n":
                raise RuntimeError("Prefect's server did not start")
            yield
            server.communicate()

    def stored(self) -> Counter[str]:
        """How often each image is in the monitoring store."""
        return Counter(MonitoringStore(self.home / "store").images(NAME, columns=["image_id"])["image_id"].to_pylist())


def kill_nights(root: Root, tally: Tally, rng: random.Random) -> None:
    """Kill one night after the other; the run after it has to end with every image once."""
    waiting = sorted((root.data / "images" / "night").iterdir())
    seconds = 0.0
    for number in range(NIGHTS + 1):
        for image in waiting[number * NIGHT : (number + 1) * NIGHT]:
            shutil.copy(image, root.arrived)
        started = time.perf_counter()
        if number:
            process = root.start("nightly", NAME, "--images", str(root.arrived))
            try:
                process.communicate(timeout=rng.uniform(0.3, 1) * seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        try:
            root.run("nightly", NAME, "--images", str(root.arrived))
            problem = "" if root.stored() == _once(root.arrived) else "an image is missing, or there twice"
        except RuntimeError as error:
            problem = str(error)
        if number:
            tally.note("kill of a night", problem)
        else:
            seconds = time.perf_counter() - started


def _once(folder: Path) -> Counter[str]:
    return Counter(path.name for path in folder.iterdir())


def empty_steps(root: Root, tally: Tally, rng: random.Random) -> None:
    """Empty one file of a finished step after the other; the same command has to say the same again."""
    look = ("monitor", NAME, "--images", str(root.data / "images" / "day"), "--no-tell")
    started = time.time()
    right = _said(root.run(*look))
    places = [root.home / "steps", root.home / "prefect" / "results"]
    files = [path for place in places for path in place.rglob("*") if path.is_file() and path.stat().st_size]
    fresh = sorted(path for path in files if path.stat().st_mtime > started)
    for number in range(EMPTIED - EMPTIED // 2):
        path = rng.choice(fresh) if number >= len(fresh) else fresh[number]
        os.truncate(path, 0)
        try:
            problem = "" if _said(root.run(*look)) == right else "the same command said something else"
        except RuntimeError as error:
            problem = str(error)
        tally.note("emptied file", f"{path.relative_to(root.home)}: {problem}" if problem else "")


def _said(document: str) -> Sequence[Any]:
    window = json.loads(document)["window"]
    return [window["images"], window["state"]]


def measure() -> Figure:
    """Release a model, then kill and empty what works with it."""
    tally, rng = Tally(), random.Random(0)  # noqa: S311 - repeatable, not secret
    with scratch() as name:
        folder = Path(name)
        data = write_detection_dataset(folder / "digits", counts=COUNTS).parent
        root = Root(folder, data)
        served = read_bundle(Path(root.released["bundle"]["folder"]), f"{NAME}/1")
        batch = Batch(served, data / "images" / "day", folder / "out")
        right, changes = kill_batches(batch, tally, rng)
        empty_batches(batch, right, changes, tally, rng)
        with root.serving():
            kill_nights(root, tally, rng)
            empty_steps(root, tally, rng)
    tried = ", ".join(f"{count} × {kind}" for kind, count in tally.tried.items())
    text = f"{tried}: {len(tally.wrong)} wrong"
    return Figure(
        "chaos", text, "each result equal or made again, none falsely done", not tally.wrong, tuple(tally.wrong)
    )


if __name__ == "__main__":
    conclude(measure)
