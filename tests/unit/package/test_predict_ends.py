"""`foveal predict` over a host that hangs or is dead, with a real bundle."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import psutil
import pytest
from PIL import Image

from components.contracts import Bundle
from components.files import sha256_file
from tests.conftest import COMMAND, clean_environment
from tests.loops import endless_where_bright

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


@pytest.fixture
def endless_bundle(detector_bundle: Bundle, tmp_path: Path, reseal: Callable[[Path], None]) -> Path:
    """Forge a bundle for OpenVINO whose model goes on for ever where an image is not black."""
    folder = Path(shutil.copytree(detector_bundle.folder, tmp_path / "endless"))
    model = onnx.load(folder / "model.onnx")
    last = next(node for node in model.graph.node if model.graph.output[0].name in node.output)
    last.output[0] = "decoded"
    name = model.graph.output[0].name
    model.graph.node.extend(endless_where_bright(model.graph.input[0].name, "decoded", name))
    onnx.save(model, folder / "model.onnx")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["model"]["sha256"] = sha256_file(folder / "model.onnx")
    (folder / "manifest.json").write_text(json.dumps(manifest | {"backend": "openvino"}))
    reseal(folder)
    return folder


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("predict", signal.SIGTERM),
        ("predict", signal.SIGINT),
        ("bundle run", signal.SIGINT),
        ("bundle verify", signal.SIGTERM),
    ],
)
def test_a_command_inside_of_a_loop_for_ever_in_openvino_ends_when_it_is_told_to(
    endless_bundle, tmp_path, number, command
):
    Image.new("RGB", (64, 64), (200, 30, 90)).save(tmp_path / "bright.png")
    images = [] if command == "bundle verify" else ["bright.png"]
    process = subprocess.Popen(
        [COMMAND, *command.split(), endless_bundle, *images],
        env=clean_environment(tmp_path / "home"),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_for_loop(process)
    process.send_signal(number)
    _, told = process.communicate(timeout=100)  # the model's own limit is two minutes an image
    assert process.returncode == 128 + number, told
    assert told == "error: stopped; finished steps are kept, the same command resumes\n"


def _wait_for_loop(process: subprocess.Popen[str]) -> None:
    """Wait until OpenVINO's library is there and computes for some seconds."""
    known = psutil.Process(process.pid)
    while not any("openvino" in mapped.path for mapped in known.memory_maps()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    loaded_s = known.cpu_times().user
    while known.cpu_times().user < loaded_s + 3:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


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
