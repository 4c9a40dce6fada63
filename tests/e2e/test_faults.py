"""Real faults beneath a release: one clear line, then the same command resumes without repeats."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from model_registry.store import open_store, sqlite_uri
from tests.conftest import COMMAND, clean_environment, complaints, foveal

pytestmark = [
    pytest.mark.timeout(1800, func_only=True),
]

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.readline()
"""


class Mlflow:
    """A real MLflow server that can be killed and started again on its port."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.database = folder, folder / "mlflow.db"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
            "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.database}",
            "--artifacts-destination", str(self.folder / "artifacts"),
        ]  # fmt: skip
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=os.environ | quiet,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.2)
        raise AssertionError((self.folder / "log").read_text())

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def kill_amid_a_release(self) -> None:
        """Kill it as soon as a release has opened its run."""
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline:
            with (
                suppress(sqlite3.Error),
                closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as rows,
            ):
                if rows.execute("SELECT count(*) FROM runs").fetchone()[0]:
                    return self.kill()
            time.sleep(0.02)
        raise AssertionError("no release began")


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory):
    server = Mlflow(tmp_path_factory.mktemp("faults") / "mlflow")
    server.start()
    server.wait()
    yield server
    server.kill()


def begin(released, *words, **environment):
    return subprocess.Popen(
        [COMMAND, *map(str, words)],
        env=clean_environment(released.root) | environment,
        cwd=released.root.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished_steps(released) -> dict[str, int]:
    return {
        path.name: path.stat().st_mtime_ns
        for path in (released.root / "steps").iterdir()
        if path.is_dir()
    }


def assert_one_line(code: int, told: str, *words: str) -> None:
    assert code == 1, told
    assert len(complaints(told)) == 1, told
    for word in words:
        assert word in told


def test_a_server_gone_for_good_is_named_one_that_comes_back_is_awaited_and_nothing_is_done_twice(
    released, mlflow
):
    steps = finished_steps(released)
    impatient = {"MLFLOW_TRACKING_URI": mlflow.address, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    doomed = begin(released, "release", released.config, "--json", **impatient)
    mlflow.kill_amid_a_release()
    _, told = doomed.communicate(timeout=900)
    assert_one_line(doomed.returncode, told, "MLflow", mlflow.address, "run the same command again")

    os.rename(mlflow.database, mlflow.folder / "first.db")
    mlflow.start()
    mlflow.wait()
    survivor = begin(
        released, "release", released.config, "--json", MLFLOW_TRACKING_URI=mlflow.address
    )
    mlflow.kill_amid_a_release()
    threading.Timer(10, mlflow.start).start()
    said, told = survivor.communicate(timeout=900)
    assert survivor.returncode == 0, told
    assert json.loads(said)["version"] == 1
    again = begin(
        released, "release", released.config, "--json", MLFLOW_TRACKING_URI=mlflow.address
    )
    said, told = again.communicate(timeout=900)
    assert json.loads(said)["version"] == 1, told
    assert len(open_store(mlflow.address).client.search_model_versions("name = 'digits'")) == 1
    assert finished_steps(released) == steps


def test_a_server_that_is_down_is_named_before_anything_is_done(released, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    elsewhere = {"MLFLOW_TRACKING_URI": nobody, "FOVEAL_HOME": str(tmp_path / "home")}
    down = begin(released, "release", released.config, **elsewhere)
    _, told = down.communicate(timeout=900)
    assert_one_line(down.returncode, told, f"an MLflow server at {nobody}", "start it")
    assert not (tmp_path / "home" / "steps").exists()


def test_a_database_that_another_program_holds_for_a_while_is_waited_for(released):
    database = released.root / "mlflow" / "mlflow.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, database],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        release = begin(released, "release", released.config, "--json")
        threading.Timer(20, holder.kill).start()
        said, told = release.communicate(timeout=900)
    assert release.returncode == 0, told
    assert json.loads(said)["version"] == 1
    versions = open_store(sqlite_uri(database)).client.search_model_versions("name = 'digits'")
    assert len(versions) == len({row.tags["release_key"] for row in versions})


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own: ``small_disk(kilobytes)`` mounts or resizes it."""
    place = tmp_path / "disk"
    place.mkdir()

    def size(kilobytes: int) -> Path:
        how = "remount,size" if os.path.ismount(place) else "size"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"{how}={kilobytes}k", "tmpfs", str(place)],
            capture_output=True,
            text=True,
        )
        if mounted.returncode:
            pytest.skip(f"no disk of its own can be mounted here: {mounted.stderr.strip()}")
        return place

    yield size
    subprocess.run(["umount", str(place)], capture_output=True)


def test_a_full_disk_is_named_nothing_looks_finished_and_with_space_the_same_command_succeeds(
    released, small_disk
):
    images = released.data / "images" / "day"
    disk = small_disk(60)
    full = released.foveal("predict", "digits", images, "--output", disk / "out")
    assert_one_line(full.returncode, full.stderr, "space", "run the same command again")
    assert not (disk / "out").exists()
    small_disk(4000)
    assert released.foveal("predict", "digits", images, "--output", disk / "out").returncode == 0
    assert (disk / "out" / "run.json").is_file()


def test_a_storage_root_on_a_full_disk_is_named_before_any_work(released, small_disk):
    disk = small_disk(400)
    full = foveal("release", released.config, root=disk / "home", cwd=released.root.parent)
    assert_one_line(full.returncode, full.stderr, "space")
