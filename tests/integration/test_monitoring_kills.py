"""Real processes, really killed: at each step of a night, and while two write the same runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.contracts import InferenceRun
from components.images.sources import ImageSource
from components.monitoring import MonitoringStore, Watermark

SOURCE = "memory://shots"
IMAGES = [ImageSource(f"{k}.jpg", f"memory://shots/{k}.jpg") for k in range(4)]
NIGHT = datetime(2026, 3, 10, 23, 59, tzinfo=UTC)

# One forked child for each step: it dies just before its n-th change to the file system, until one
# lives to the end.
KILLED_CYCLES = """
import os, signal, sys
from pathlib import Path
# once, and not in each child
import fsspec.implementations.local, pandas, pyarrow.compute, pyarrow.parquet
from test_monitoring_kills import nightly_cycle

folder, step = Path(sys.argv[1]), 0
while True:
    step += 1
    child = os.fork()
    if child == 0:
        changes = 0

        def die_at_step(event, arguments):
            global changes
            if event in ("os.rename", "os.link", "os.remove"):
                changes += 1
                if changes == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(die_at_step)
        nightly_cycle(folder / f"store-{step}", folder / f"killed-{step}")
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status):
        assert status == 0, "the cycle failed by itself"
        break
"""
WRITER = """
import random, sys
from pathlib import Path
from test_monitoring_kills import run_in
from components.monitoring import MonitoringStore

store, folders = MonitoringStore(sys.argv[1]), sorted(Path(sys.argv[2]).iterdir())
print("started", flush=True)
for folder in random.sample(folders, len(folders)):
    store.append(run_in(folder))
"""


def run_in(folder: Path) -> InferenceRun:
    return InferenceRun(folder, "digits/3", 0, (), 1.0, 1)


def write_run(folder: Path, names: list[str], first: datetime = NIGHT) -> InferenceRun:
    """One image a minute, one detection each."""
    folder.mkdir(parents=True)
    times = pa.array(
        [first + k * timedelta(minutes=1) for k in range(len(names))], pa.timestamp("us", "UTC")
    )
    pq.write_table(pa.table({"image_id": names, "predicted_at": times}), folder / "images.parquet")
    pq.write_table(
        pa.table({"image_id": names, "class_id": [0] * len(names)}), folder / "detections.parquet"
    )
    return run_in(folder)


def nightly_cycle(store: Path, run: Path, first: datetime = NIGHT) -> None:
    """What the flow does: plan, infer, append, commit."""
    watermark = Watermark(store, "digits", SOURCE)
    window = watermark.next_window(IMAGES, at=first)
    if window is not None:
        MonitoringStore(store).append(
            write_run(run, [image.image_id for image in window.images], first), key=window.key
        )
        watermark.commit(window)


def python(script: str, *arguments: Path) -> subprocess.Popen[str]:
    path = os.pathsep.join((str(Path(__file__).parent), str(Path(__file__).parents[2])))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_cycle_killed_at_any_step_still_takes_each_image_once(tmp_path):
    """The next night infers anew, a day later, so that rows of both attempts would show."""
    with python(KILLED_CYCLES, tmp_path) as cycles:
        assert cycles.wait() == 0
    stores = sorted(tmp_path.glob("store-*"))
    assert len(stores) > 10
    for store in stores:
        nightly_cycle(store, tmp_path / f"again-{store.name}", NIGHT + timedelta(days=1))
        names = [image.image_id for image in IMAGES]
        for table in (
            MonitoringStore(store).images("digits"),
            MonitoringStore(store).detections("digits"),
        ):
            assert sorted(table["image_id"].to_pylist()) == names, store.name
        assert Watermark(store, "digits", SOURCE).next_window(IMAGES, at=NIGHT) is None


def test_two_writers_of_the_same_runs_one_killed_and_started_again(tmp_path):
    """Meanwhile a reader sees whole runs only."""
    root, runs, count = tmp_path / "store", tmp_path / "runs", 30
    for number in range(count):
        write_run(
            runs / f"{number:02d}",
            [f"{number}-{k}" for k in range(3)],
            NIGHT + number * timedelta(hours=1),
        )
    store = MonitoringStore(root)
    with python(WRITER, root, runs) as doomed, python(WRITER, root, runs) as other:
        assert doomed.stdout.readline() == "started\n"
        while len(store.windows("digits")) < 3:
            assert doomed.poll() is None
        doomed.kill()
        with python(WRITER, root, runs) as again:
            while again.poll() is None or other.poll() is None:
                seen = Counter(store.images("digits", columns=["window"])["window"].to_pylist())
                assert set(seen.values()) == {3}
            assert (again.returncode, other.returncode) == (0, 0)
    expected = sorted(f"{number}-{k}" for number in range(count) for k in range(3))
    assert sorted(store.images("digits")["image_id"].to_pylist()) == expected
    assert sorted(store.detections("digits")["image_id"].to_pylist()) == expected
    assert all(pq.read_table(path).num_rows for path in root.glob("digits/3/*/*/*.parquet"))
