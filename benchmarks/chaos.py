"""Results after kills and losses of power: none may be wrong, or look finished when it is not."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.chaos_batches import (
    EMPTIED_FILE,
    Batch,
    Tally,
    digest_rows,
    empty_batches,
    kill_batches,
)
from benchmarks.figure import Figure, conclude
from benchmarks.hostile import HostileFile, write_hostile_folder
from benchmarks.subject import scratch
from components.datasets.scenes import SceneCounts, write_detection_dataset
from components.images.sources import list_images
from components.inference.batch.tables import detections_schema
from components.monitoring import MonitoringStore
from components.runs.finished import DETECTIONS, IMAGES
from flows.config.demo import MODEL
from flows.tasks.predict import Served, read_bundle

MAX_GB = 1.5  # of memory, over a hostile folder
NIGHT = 12  # images
NIGHT_KILL = "kill of a night"
SPARE = 3  # nights for each kill that is wanted: one may end before its moment comes
COMMAND_S = 900  # after which a command hangs
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
PEAK = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, used = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), used.ru_maxrss)
"""
SERVE = """
import sys
from flows.runtime.server import prefect_api
from flows.runtime.settings import Settings

with prefect_api(Settings.from_environment()):
    print("serving", flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Trials:
    """Number of trials of each kind.

    Arguments:
        random_kills: of a batch.
        nights: that are killed.
        emptied: files, half of them of batches and half of a command's steps.
        huge: formats of the images of 199 megapixels in the hostile folder.
    """

    random_kills: int = 30
    nights: int = 14
    emptied: int = 50
    huge: tuple[str, ...] = (*["png"] * 7, "jpeg")

    @property
    def scenes(self) -> SceneCounts:
        """Images that the trials need."""
        night = NIGHT * (2 + SPARE * self.nights)
        return SceneCounts(
            train=1, calibration=24, validation=40, golden=3, day=48, night=night, next_night=1
        )


class Root:
    """A storage root with a released model, whose commands run as a user types them."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.home, self.data, self.arrived = folder / "home", data, folder / "camera"
        self.arrived.mkdir()
        ours = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("PREFECT_", "MLFLOW_", "FOVEAL_"))
        }
        self.environment = ours | {"FOVEAL_HOME": str(self.home)}
        self.command = str(Path(sys.executable).with_name("foveal"))
        (folder / "target.toml").write_text(TARGET)
        (folder / "digits.yaml").write_text(
            CONFIG.format(model=MODEL, data=data, target=folder / "target.toml")
        )
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
            RuntimeError: it failed, or hangs.
        """
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=COMMAND_S)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.communicate()
            raise RuntimeError(f"foveal {arguments[0]}: hangs") from error
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

    def stored(self) -> tuple[Any, Any]:
        """Read the rows of images and detections in the monitoring store, by image id."""
        store = MonitoringStore(self.home / "store")
        images = store.images(NAME).sort_by("image_id").drop_columns(["window", "uri"])
        found = store.detections(NAME, columns=detections_schema().names)
        return images, found.sort_by([("image_id", "ascending"), ("detection", "ascending")])


class Nights:
    """Nights of images that arrive in turn, and the rows that runs nobody kills have of them."""

    def __init__(self, root: Root, served: Served, folder: Path) -> None:
        self._root, self._served, self._folder = root, served, folder
        self._waiting = sorted((root.data / "images" / "night").iterdir())
        self._images: list[Any] = []
        self._detections: list[Any] = []

    def arrive(self) -> None:
        """Let the next night's images arrive, and learn what belongs in the store of them."""
        import pyarrow.parquet as pq

        place = self._folder / f"night-{len(self._images)}"
        (place / "images").mkdir(parents=True)
        for image in [self._waiting.pop(0) for _ in range(NIGHT)]:
            shutil.copy(image, place / "images")
            shutil.copy(image, self._root.arrived)
        self._served.run(list_images(str(place / "images")), place / "run")
        self._images.append(pq.read_table(place / "run" / IMAGES))
        self._detections.append(pq.read_table(place / "run" / DETECTIONS))

    def problem(self) -> str:
        """Return what is wrong with the rows in the store; empty for nothing."""
        import pyarrow as pa

        images, detections = self._root.stored()
        right = pa.concat_tables(self._images).drop_columns(["uri"])
        if images["image_id"].to_pylist() != sorted(right["image_id"].to_pylist()):
            return "an image is missing, or there twice"
        same = digest_rows(images, detections) == digest_rows(
            right, pa.concat_tables(self._detections)
        )
        return "" if same else "a row differs from that of a run that nobody killed"


def kill_nights(root: Root, nights: Nights, tally: Tally, rng: random.Random, times: int) -> None:
    """Kill nights; the run after each has to end with every image once and the right rows.

    Only a night that was under way when it was killed counts; the next one is tried where it had
    ended.
    """
    command = ("nightly", NAME, "--images", str(root.arrived))
    seconds = 0.0
    for _ in range(2):  # the first one in a root does more than those after it
        nights.arrive()
        started = time.perf_counter()
        root.run(*command)
        seconds = time.perf_counter() - started
    if problem := nights.problem():
        raise RuntimeError(f"a night that nobody killed: {problem}")
    draws = 0
    while tally.tried[NIGHT_KILL] < times and (draws := draws + 1) <= SPARE * times:
        nights.arrive()
        if not _killed(root.start(*command), rng.uniform(0.3, 1) * seconds):
            continue
        try:
            root.run(*command)
            tally.note(NIGHT_KILL, nights.problem())
        except RuntimeError as error:
            tally.note(NIGHT_KILL, str(error))
    tally.require(NIGHT_KILL, times)


def _killed(process: subprocess.Popen[str], after_s: float) -> bool:
    """Kill a command in the middle; False where it had ended before."""
    with suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=after_s)
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def empty_steps(root: Root, tally: Tally, rng: random.Random, times: int) -> None:
    """Empty one file of a finished step after the other; the same command must answer as before."""
    # a run that is not kept yet
    look = ("monitor", NAME, "--images", str(root.data / "images" / "night"), "--no-tell")
    started = time.time()
    right = _said(root.run(*look))
    places = [root.home / "steps", root.home / "prefect" / "results"]
    files = [
        path
        for place in places
        for path in place.rglob("*")
        if path.is_file() and path.stat().st_size
    ]
    fresh = sorted(path for path in files if path.stat().st_mtime > started)
    for number in range(times):
        path = fresh[number] if number < len(fresh) else rng.choice(fresh)
        if path.exists():  # a run after an emptied file need not give each file its name again
            os.truncate(path, 0)
        try:
            problem = (
                "" if _said(root.run(*look)) == right else "the same command said something else"
            )
        except RuntimeError as error:
            problem = str(error)
        tally.note(EMPTIED_FILE, f"{path.relative_to(root.home)}: {problem}" if problem else "")


def _said(document: str) -> Sequence[Any]:
    """Return what a window's summary says, and the digest of the rows that it was made from."""
    import pyarrow.parquet as pq

    summary = json.loads(document)
    tables = (
        pq.read_table(Path(summary["folder"]) / "predictions" / name)
        for name in (IMAGES, DETECTIONS)
    )
    window = [summary["window"][name] for name in ("images", "failed", "state", "reasons")]
    return [*window, digest_rows(*tables)]


def read_hostile_files(root: Root, folder: Path, tally: Tally, huge: Sequence[str]) -> float:
    """Predict a hostile folder, in which each file must get the row that it should.

    Returns the peak of memory in GB.
    """
    import pyarrow.parquet as pq

    known = write_hostile_folder(folder / "shots", huge=huge)
    command = [
        root.command,
        "predict",
        NAME,
        str(folder / "shots"),
        "--output",
        str(folder / "hostile"),
    ]
    # An interpreter of its own starts the command: Linux counts to a process what its parent held
    # when it started it.
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-IS", "-c", PEAK, *command],
        env=root.environment,
        cwd=root.home.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    ended, peak_kb = map(int, done.stdout.split())
    problem = (
        f"the command ended with {ended}: {done.stderr.strip().splitlines()[-1:]}" if ended else ""
    )
    tally.note("hostile folder", problem)
    table = folder / "hostile" / IMAGES
    compare_rows(known, pq.read_table(table).to_pylist() if table.exists() else [], tally)
    return peak_kb * 1024 / 1e9


def compare_rows(
    known: Sequence[HostileFile], rows: Sequence[dict[str, Any]], tally: Tally
) -> None:
    """Note each file of a hostile folder without its one right row, and rows of no file."""
    found = {row["image_id"]: row for row in rows}
    for file in known:
        row = found.pop(file.image_id, {"status": "", "error": "no row"})
        right = (row["status"] == "ok") is file.ok and file.words in (row["error"] or "")
        tally.note(
            "hostile file", "" if right else f"{file.image_id}: {row['status']} {row['error']}"
        )
    again = Counter(row["image_id"] for row in rows) - Counter({row["image_id"] for row in rows})
    for name in [*found, *again.elements()]:
        tally.note("row of a hostile folder", f"{name}: one too many")


def measure(trials: Trials = Trials()) -> Figure:
    """Release a model, then kill and empty what works with it."""
    tally, rng = Tally(), random.Random(0)  # noqa: S311 - repeatable, not secret
    peak = math.nan
    with scratch() as name, tally.part("release"):
        folder = Path(name)
        root = Root(folder, write_detection_dataset(folder / "digits", counts=trials.scenes).parent)
        served = read_bundle(Path(root.released["folder"]) / "bundle", f"{NAME}/1")
        with tally.part("batches"):
            batch = Batch(served, root.data / "images" / "day", folder / "out")
            right, changes = kill_batches(batch, tally, rng, trials.random_kills)
            empty_batches(batch, right, changes, tally, rng, trials.emptied // 2)
            in_parts = replace(batch, output=folder / "parts", parts=True)
            kill_batches(in_parts, tally, rng, 0)
        with tally.part("nights"), root.serving():
            kill_nights(root, Nights(root, served, folder / "nights"), tally, rng, trials.nights)
            empty_steps(root, tally, rng, trials.emptied - trials.emptied // 2)
        with tally.part("hostile folder"):
            peak = read_hostile_files(root, folder, tally, trials.huge)
    tried = ", ".join(f"{count} × {kind}" for kind, count in tally.tried.items())
    text = f"{tried}: {len(tally.wrong)} wrong; peak memory {peak:.2f} GB"
    bar = f"each result equal or made again, none falsely done; < {MAX_GB} GB"
    return Figure("chaos", text, bar, not tally.wrong and peak < MAX_GB, tuple(tally.wrong))


if __name__ == "__main__":
    conclude(measure)
