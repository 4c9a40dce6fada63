"""Results after kills and losses of power: none may be wrong, or look finished when it is not."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.chaos_batches import Batch, Tally, empty_batches, kill_batches
from benchmarks.figure import Figure, conclude
from benchmarks.hostile import write_hostile_folder
from benchmarks.subject import scratch
from components.datasets.scenes import SceneCounts, write_detection_dataset
from components.monitoring import MonitoringStore
from components.runs.finished import IMAGES
from flows.config.demo import MODEL
from flows.tasks.predict import read_bundle

RANDOM_KILLS, NIGHTS, EMPTIED = 30, 14, 50
MAX_GB = 1.5  # of memory, over a hostile folder
NIGHT = 12  # images
COUNTS = SceneCounts(train=1, calibration=24, validation=40, golden=3, day=48, night=NIGHT * (NIGHTS + 1), next_night=1)
NAME = "digits"
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
from flows.runtime.server import prefect_api
from flows.runtime.settings import Settings

with prefect_api(Settings.from_environment()):
    print("serving", flush=True)
    sys.stdin.read()
"""


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
        """Run a command and return what it printed.

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
        """Count how often each image is in the monitoring store."""
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
    look = ("monitor", NAME, "--images", str(root.data / "images" / "night"), "--no-tell")  # a run that is not kept yet
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


def read_hostile_files(root: Root, folder: Path, tally: Tally) -> float:
    """Predict a hostile folder; each file has to have the row that it should. Gives the peak of memory in GB."""
    import pyarrow.parquet as pq

    known = write_hostile_folder(folder / "shots", huge=(*["png"] * 7, "jpeg"))
    command = [root.command, "predict", NAME, str(folder / "shots"), "--output", str(folder / "hostile")]
    with (folder / "hostile.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, env=root.environment, cwd=root.home.parent, stdout=log, stderr=log
        )
        _, status, used = os.wait4(process.pid, 0)
    ended = os.waitstatus_to_exitcode(status)
    tally.note("hostile folder", "" if ended == 0 else f"the command ended with {ended}")
    table = folder / "hostile" / IMAGES
    rows = {row["image_id"]: row for row in pq.read_table(table).to_pylist()} if table.exists() else {}
    for file in known:
        row = rows.get(file.image_id, {"status": "", "error": "no row"})
        right = (row["status"] == "ok") is file.ok and file.words in (row["error"] or "")
        tally.note("hostile file", "" if right else f"{file.image_id}: {row['status']} {row['error']}")
    return used.ru_maxrss / 2**20


def measure() -> Figure:
    """Release a model, then kill and empty what works with it."""
    tally, rng = Tally(), random.Random(0)  # noqa: S311 - repeatable, not secret
    with scratch() as name:
        folder = Path(name)
        data = write_detection_dataset(folder / "digits", counts=COUNTS).parent
        root = Root(folder, data)
        served = read_bundle(Path(root.released["folder"]) / "bundle", f"{NAME}/1")
        batch = Batch(served, data / "images" / "day", folder / "out")
        right, changes = kill_batches(batch, tally, rng, RANDOM_KILLS)
        empty_batches(batch, right, changes, tally, rng, EMPTIED // 2)
        with root.serving():
            kill_nights(root, tally, rng)
            empty_steps(root, tally, rng)
        peak = read_hostile_files(root, folder, tally)
    tried = ", ".join(f"{count} × {kind}" for kind, count in tally.tried.items())
    text = f"{tried}: {len(tally.wrong)} wrong; peak memory {peak:.2f} GB"
    bar = f"each result equal or made again, none falsely done; < {MAX_GB} GB"
    return Figure("chaos", text, bar, not tally.wrong and peak < MAX_GB, tuple(tally.wrong))


if __name__ == "__main__":
    conclude(measure)
