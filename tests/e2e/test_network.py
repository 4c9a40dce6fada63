"""Nothing phones home: commands run with loopback only, and all they ask beyond is recorded."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from benchmarks.browser import chromium
from components.files import sha256_file
from flows.cli.main import app
from tests.conftest import COMMAND, MODEL, clean_environment
from tests.network import namespaces_permitted, recorded
from tests.silence import classifier_lines, copy_of, detector_lines, noise, watch

UP = """
import json, signal, subprocess, sys, time, urllib.error, urllib.request
with subprocess.Popen([sys.argv[1], "up", "--json"], stdout=subprocess.PIPE, text=True) as up:
    said = ""
    while not said.endswith("\\n}\\n"):
        line = up.stdout.readline()
        assert line, said
        said += line
    for service in json.loads(said)["services"]:
        if service["address"]:
            try:
                urllib.request.urlopen(service["address"])
            except urllib.error.HTTPError:
                pass  # one that asks for a password has answered, too
    time.sleep(3)
    up.send_signal(signal.SIGINT)
    sys.exit(up.wait(90))
"""
TRAIN = """
import sys
from pathlib import Path
from components.training import DetectorTraining, train_detector
training = DetectorTraining(epochs=1, image_size=64)
dataset, output, start = map(Path, sys.argv[1:4])
train_detector(dataset, output, training=training, start_from=start, trust=True)
"""


PAGES = """
import sys
from pathlib import Path
from benchmarks.browser import browsing
from benchmarks.ui import up
with up(Path(sys.argv[1])) as servers, browsing() as page:
    pages = [page for page in servers.pages.values() if page]  # one service has none
    for address in pages:
        page.goto(address)
        page.wait_for_timeout(5000)  # it goes on asking the server, and is never idle
"""
BLANK = """
from benchmarks.browser import browsing
with browsing() as page:
    page.goto("about:blank")
    page.wait_for_timeout(20_000)  # as long as the pages are looked at
"""
ELSEWHERE = {  # commands that no list below has
    "release": "the releases that all tests share are recorded",
    "up": "a test of its own starts it",
    "metrics": "`up` runs it as a service",
    "demo": "it is release, nightly and retrain over scenes that are made here: no line of its own "
    "asks",
}
ROOT = Path(__file__).parents[2]


def commands_of(group: Any, *before: str) -> Iterator[tuple[str, ...]]:
    """The names of all commands below a group, as they are typed."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, *before, name)
        else:
            yield (*before, name)


def test_every_command_is_recorded():
    here = Path("here")
    lines = [*detector_lines(here, here, here, here), *classifier_lines(here, here)]
    every = set(commands_of(get_command(app)))
    run = {name for name in every for line in lines if tuple(line[: len(name)]) == name}
    assert run | {(name,) for name in ELSEWHERE} == every
    assert not run & {(name,) for name in ELSEWHERE}


def test_the_recorder_sees_what_native_code_and_children_ask_for(tmp_path):
    if not namespaces_permitted():
        pytest.skip("no namespaces here: only Python's own sockets are seen")
    lines = (
        "import ctypes; ctypes.CDLL(None).gethostbyname(b'native.example.org')",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', "
        "('192.0.2.1', 53))",
        "import subprocess; subprocess.run(['getent', 'hosts', 'example.org'])",
        "import socket; socket.getfqdn(); socket.create_server(('127.0.0.1', 0))",
    )
    env = clean_environment(tmp_path) | {"HOME": str(tmp_path)}
    watched = recorded([[sys.executable, "-c", line] for line in lines], env=env, cwd=tmp_path)
    native, packet, child, loopback = (one.asked for one in watched)
    assert native == ("dns native.example.org",)
    assert packet == ("udp 192.0.2.1:53",)
    assert child == ("dns example.org",)
    assert loopback == ()


def test_a_release_asks_nobody_and_leaves_the_home_folder_alone(released):
    assert noise([released.watched], released.root.parent / "user") == []


def test_commands_ask_nobody_and_leave_the_home_folder_alone(released, tmp_path):
    root, images = copy_of(released, tmp_path / "home"), released.data / "images" / "night"
    bundle = measured_on_openvino(Path(released.said["folder"]) / "bundle", tmp_path / "bundle")
    lines = detector_lines(bundle, images, next(images.iterdir()), tmp_path)
    commands = [[COMMAND, *line] for line in lines]
    commands.insert(0, [sys.executable, bundle / "run.py", "--verify"])
    data = released.data / "data.yaml"
    commands.append([sys.executable, "-c", TRAIN, data, tmp_path / "trained", MODEL])
    watched = watch(released, root, commands, tmp_path)
    assert noise(watched, tmp_path / "user", allowed=("doctor",)) == []


def test_servers_ask_nobody(released, tmp_path):
    root = copy_of(released, tmp_path / "home")
    env = clean_environment(released.root) | {"HOME": str(tmp_path / "user")}
    (tmp_path / "user").mkdir()
    command = [sys.executable, "-c", UP, COMMAND]
    watched = recorded([command], env=env, cwd=tmp_path, mounts={released.root: root})
    assert noise(watched, tmp_path / "user") == []


@pytest.mark.skipif(chromium() is None, reason="needs Chromium: apt-get install chromium")
def test_pages_in_a_browser_ask_nobody(tmp_path):
    """DNS look-ups and packets of the browser count, beyond those for an empty page."""
    if not namespaces_permitted():
        pytest.skip("no namespaces here: what the browser asks for is not seen")
    (tmp_path / "user").mkdir()
    env = clean_environment(tmp_path / "home") | {"HOME": str(tmp_path / "user")}
    pages = [sys.executable, "-c", PAGES, tmp_path / "home"]
    blank, opened = recorded([[sys.executable, "-c", BLANK], pages], env=env, cwd=ROOT)
    assert (blank.returncode, opened.returncode) == (0, 0), (blank.stderr, opened.stderr)
    assert set(opened.asked) - set(blank.asked) == set()


def measured_on_openvino(bundle: Path, copy: Path) -> Path:
    """A copy of a bundle that says that OpenVINO runs it, whichever won here."""
    shutil.copytree(bundle, copy)
    for name in ("config.json", "manifest.json"):
        described = json.loads((copy / name).read_text()) | {"backend": "openvino"}
        for file in described.get("files", ()):
            path = copy / file["path"]
            file |= {"sha256": sha256_file(path), "size": path.stat().st_size}
        (copy / name).write_text(json.dumps(described))
    files = sorted(path for path in copy.rglob("*") if path.is_file() and path.name != "SHA256SUMS")
    (copy / "SHA256SUMS").write_text(
        "".join(f"{sha256_file(p)}  {p.relative_to(copy)}\n" for p in files)
    )
    return copy
