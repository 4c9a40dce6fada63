"""`foveal predict` over a host that hangs or is dead, with a real bundle."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest
from PIL import Image

from tests.conftest import COMMAND, clean_environment

pytestmark = pytest.mark.slow


@pytest.fixture
def hung() -> Iterator[tuple[str, threading.Event]]:
    """Yield the address of a host that takes calls but never answers, and an event of a call."""
    called, kept = threading.Event(), []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return
                called.set()

        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", called
    for call in kept:
        call.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", ["predict", "nightly"])
def test_a_command_that_waits_for_a_host_ends_when_it_is_told_to(
    detector_bundle, hung, tmp_path, number, command
):
    address, called = hung
    (tmp_path / "shots.txt").write_text(f"{address}/a.jpg\n{address}/b.jpg\n")
    arguments = {
        "predict": ("predict", detector_bundle.folder, "shots.txt"),
        "nightly": ("nightly", "digits", "--images", f"{address}/*.jpg"),
    }
    process = subprocess.Popen(
        [COMMAND, *arguments[command]],
        env=clean_environment(tmp_path / "home") | {"FOVEAL_READ_TIMEOUT_S": "600"},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert called.wait(100), process.communicate(timeout=60)
    process.send_signal(number)
    _, told = process.communicate(timeout=300)  # without the signal it would be ten minutes
    assert process.returncode == 128 + number, told
    assert told == "error: stopped; finished steps are kept, the same command resumes\n"


def test_with_leave_to_go_on_a_host_that_hangs_costs_its_images(detector_bundle, hung, tmp_path):
    address, _ = hung
    Image.new("RGB", (64, 64), (200, 30, 90)).save(tmp_path / "here.jpg")
    (tmp_path / "shots.txt").write_text(f"{address}/a.jpg?token=hush\nhere.jpg\n")
    done = subprocess.run(
        [COMMAND, "predict", detector_bundle.folder, "shots.txt", "--keep-going", "--json"],
        env=clean_environment(tmp_path / "home") | {"FOVEAL_READ_TIMEOUT_S": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["processed"], said["unreachable"]) == (1, [[address, 1]])
    told = [path for path in (tmp_path / "predictions").iterdir() if b"hush" in path.read_bytes()]
    assert "hush" not in done.stdout and told == []


@pytest.mark.parametrize("command", ["predict", "bundle run"])
@pytest.mark.parametrize("readable", [0, 1])
def test_a_command_ends_with_1_when_all_images_failed(detector_bundle, tmp_path, command, readable):
    shots = tmp_path / "shots"
    shots.mkdir()
    (shots / "broken.jpg").write_bytes(b"no image")
    if readable:
        Image.new("RGB", (64, 64), (200, 30, 90)).save(shots / "here.jpg")
    images = [shots] if command == "predict" else sorted(shots.iterdir())
    done = subprocess.run(
        [COMMAND, *command.split(), detector_bundle.folder, *images, "--json"],
        env=clean_environment(tmp_path / "home"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1 - readable, done.stderr
    assert json.loads(done.stdout)
