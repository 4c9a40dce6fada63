"""Sources of images that others make: names of any bytes, hosts that hang or are dead, plans that cannot be met."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from tests.conftest import COMMAND, clean_environment

SECRET = "hUsH-hUsH-4712"  # noqa: S105


@contextmanager
def host(folder: Path, *, hangs: bool = False) -> Iterator[tuple[str, threading.Event]]:
    """A server of a folder's files, and what tells that it was asked; one that hangs never answers."""
    asked, done = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()
            if hangs:
                done.wait(300)
                return
            file = folder / self.path.partition("?")[0].strip("/")
            self.send_response(200 if file.exists() else 500)
            self.end_headers()
            self.wfile.write(file.read_bytes() if file.exists() else b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        done.set()
        server.shutdown()


def shots(released) -> list[Path]:
    return sorted((released.data / "images" / "day").iterdir())


def night(released, images, *words, **environment):
    done = subprocess.run(
        [COMMAND, "nightly", "digits", "--images", images, "--json", *words],
        env=clean_environment(released.root) | environment,
        cwd=released.root.parent,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", ["nightly", "predict", "monitor"])
def test_a_command_that_waits_for_a_host_ends_when_it_is_told_to(released, tmp_path, command, number):
    manifest = tmp_path / "shots.txt"
    with host(tmp_path, hangs=True) as (address, asked):
        manifest.write_text(f"{address}/a.jpg\n{address}/b.jpg\n")
        words = ["predict", "digits", manifest] if command == "predict" else [command, "digits", "--images", manifest]
        process = subprocess.Popen(
            [COMMAND, *words],
            env=clean_environment(released.root) | {"FOVEAL_READ_TIMEOUT_S": "600"},
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert asked.wait(200), process.communicate(timeout=60)
        process.send_signal(number)
        _, told = process.communicate(timeout=60)  # without the signal it would be ten minutes
    assert process.returncode == 128 + number, told
    assert [line for line in told.splitlines() if "stopped; finished steps are kept" in line], told
    assert "Traceback" not in told


def test_a_night_over_hostile_names_and_special_files_gives_each_its_row(released, tmp_path):
    place, first = tmp_path / "shots", shots(released)[0]
    place.mkdir()
    names = [b"a.jpg", b" a.jpg", "\u00a0a.jpg".encode(), "a\u2028.jpg".encode(), b"\xff.jpg", b"\x1b[31m\n.jpg"]
    for name in names:
        shutil.copy(first, os.fsdecode(bytes(place) + b"/" + name))
    os.mkfifo(place / "pipe.jpg")
    (place / "endless.jpg").symlink_to("/dev/zero")
    done = night(released, place)
    rows = {row["image_id"]: row for row in pq.read_table(done["window"]["predictions"]).to_pylist()}
    assert {name for name, row in rows.items() if row["status"] == "ok"} == {
        "a.jpg", " a.jpg", "\u00a0a.jpg", r"a\u2028.jpg", r"\xff.jpg", r"\x1b[31m\x0a.jpg"
    }  # fmt: skip
    assert "a FIFO" in rows["pipe.jpg"]["error"] and "a device" in rows["endless.jpg"]["error"]
    assert night(released, place)["window"] is None


def test_a_dead_host_costs_its_images_is_told_once_and_no_secret_is_kept(released, tmp_path):
    manifest = tmp_path / "shots.txt"
    with host(released.data / "images" / "day") as (alive, _), host(tmp_path) as (dead, _):
        names = [path.name for path in shots(released)[:6]]
        manifest.write_text("".join(f"{alive}/{name}?token={SECRET}\n{dead}/{name}\n" for name in names))
        done = night(released, manifest)
        assert (done["window"]["images"], done["window"]["failed"]) == (12, 6)
        (alert,) = [line for line in done["alerts"] if "unreachable_places" in line]
        assert alert.startswith("firing: ") and f"{dead} (6 images)" in alert
    kept = [path for path in released.root.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert kept == []


def test_a_plan_whose_images_are_gone_is_given_up_with_a_word(released, tmp_path):
    place = tmp_path / "shots"
    place.mkdir()
    for path in shots(released)[:2]:
        shutil.copy(path, place / path.name)
    subprocess.run(
        [
            Path(COMMAND).with_name("python"), "-c",
            "import sys\n"
            "from datetime import UTC, datetime\n"
            "from components.images.sources import list_images\n"
            "from components.monitoring import Watermark\n"
            "Watermark(sys.argv[1], 'digits', sys.argv[2]).next_window(list_images(sys.argv[2]), at=datetime.now(UTC))",
            released.root / "store", place,
        ],
        check=True,
    )  # fmt: skip
    for path in list(place.iterdir()):
        path.unlink()
    shutil.copy(shots(released)[3], place / "new.jpg")
    done = night(released, place)
    assert "gave up the window of" in done["given_up"][0] and "none of its 2 images" in done["given_up"][0]
    assert done["window"]["images"] == 1


def test_a_process_whose_end_hangs_is_ended_with_what_it_started(tmp_path):
    script = (
        "import subprocess, sys, time\n"
        "from flows.ending import end_in_order\n"
        "end_in_order()\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "print(child.pid, flush=True)\n"
        "while True:\n"
        "    try:\n"
        "        time.sleep(600)\n"
        "    finally:\n"
        "        time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [Path(COMMAND).with_name("python"), "-c", script],
        env=clean_environment(tmp_path / "home"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    child = int(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 143
    assert told == "error: stopped; finished steps are kept, the same command resumes\n"
    assert not psutil.pid_exists(child)
