"""Nothing phones home: each command runs where only loopback exists, and whatever it asks for beyond is recorded."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from components.files import sha256_file
from tests.conftest import COMMAND, MODEL, SERVE, Released, clean_environment
from tests.network import Watched, namespaces_permitted, recorded

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
train_detector(Path(sys.argv[1]), Path(sys.argv[2]), training=training, start_from=Path(sys.argv[3]), trust=True)
"""


def test_the_recorder_sees_what_native_code_and_children_ask_for(tmp_path):
    if not namespaces_permitted():
        pytest.skip("no namespaces here: only Python's own sockets are seen")
    lines = (
        "import ctypes; ctypes.CDLL(None).gethostbyname(b'native.example.org')",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
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


@pytest.mark.parametrize("fixture", ["released", "released_classifier"])
def test_a_release_asks_nobody_and_leaves_the_home_folder_alone(request, fixture):
    one: Released = request.getfixturevalue(fixture)
    require_silence([one.watched], one.root.parent / "user")


def test_commands_ask_nobody_and_leave_the_home_folder_alone(released, tmp_path):
    root, images = copy_of(released, tmp_path / "home"), released.data / "images" / "night"
    bundle = measured_on_openvino(Path(released.said["folder"]) / "bundle", tmp_path / "bundle")
    picture, exported = next(images.iterdir()), tmp_path / "exported"
    lines: list[Sequence[str | Path]] = [
        ("bundle", "verify", bundle),
        ("bundle", "run", bundle, picture),
        ("predict", bundle, picture, "--output", tmp_path / "one"),
        ("predict", "digits", images, "--output", tmp_path / "many"),
        ("nightly", "digits", "--images", images),
        ("monitor", "digits", "--images", images),
        ("labels", "export", "digits", "--output", exported, "--format", "yolo", "--size", "5"),
        ("labels", "import", "digits", exported, "--confirmed"),
        ("labels", "status", "digits"),
        ("drift", "calibrate", "digits", "--windows", "20", "--size", "20"),
        ("history", "digits"),
        ("doctor",),
        ("deploy",),
    ]
    commands = [[COMMAND, *line] for line in lines]
    commands.insert(0, [sys.executable, bundle / "run.py", "--verify"])
    data = released.data / "data.yaml"
    commands.append([sys.executable, "-c", TRAIN, data, tmp_path / "trained", MODEL])
    require_silence(watch(released, root, commands, tmp_path), tmp_path / "user", allowed=("doctor",))


def test_retraining_and_comparing_ask_nobody(released_classifier, tmp_path):
    one = released_classifier
    root, settings = copy_of(one, tmp_path / "home"), tmp_path / "short.yaml"
    settings.write_text("training: {epochs: 1}\ngates: {rounds: 6}\n")
    night = ("--labels", one.data, "--labels-split", "night")
    lines: list[Sequence[str | Path]] = [
        ("retrain", "crops", *night, "--config", settings),
        ("compare", "crops", "1", "2"),
        ("gates", "crops", "2", "--data", one.data),
        ("ab", "crops", "1", "2", "--images", one.data / "night"),
        ("promote", "crops", "2"),
        ("rollback", "crops"),
    ]
    watched = watch(one, root, [[COMMAND, *line] for line in lines], tmp_path)
    # Whether so short a training makes a version that passes is not the question here.
    require_silence(watched, tmp_path / "user", allowed=("compare", "gates", "ab", "promote", "rollback"))


def test_servers_ask_nobody(released, tmp_path):
    root = copy_of(released, tmp_path / "home")
    env = clean_environment(released.root) | {"HOME": str(tmp_path / "user")}
    (tmp_path / "user").mkdir()
    command = [sys.executable, "-c", UP, COMMAND]
    watched = recorded([command], env=env, cwd=tmp_path, mounts={released.root: root})
    require_silence(watched, tmp_path / "user")


def copy_of(one: Released, place: Path) -> Path:
    """The storage root of a release as it is now, without the Prefect server that tests share."""
    if not namespaces_permitted():
        pytest.skip("no namespaces here: a copy cannot be shown in the place of the original")
    left = shutil.ignore_patterns("prefect.db*", "server.json", "users", "up.json")
    shutil.copytree(one.root, place, ignore=left)
    live, copied = one.root / "prefect" / "prefect.db", place / "prefect" / "prefect.db"
    with closing(sqlite3.connect(live)) as source, closing(sqlite3.connect(copied)) as target:
        source.backup(target)
    return place


def watch(one: Released, root: Path, commands: Sequence[Sequence[str | Path]], scratch: Path) -> list[Watched]:
    """Run commands over a copy of a root, shown in its place, and over one Prefect server."""
    home = scratch / "user"
    home.mkdir()
    env = clean_environment(one.root) | {"HOME": str(home)}
    background = [sys.executable, "-c", SERVE]
    return recorded(commands, env=env, cwd=scratch, background=background, mounts={one.root: root})


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
    (copy / "SHA256SUMS").write_text("".join(f"{sha256_file(p)}  {p.relative_to(copy)}\n" for p in files))
    return copy


def require_silence(watched: Iterable[Watched], home: Path, *, allowed: Sequence[str] = ()) -> None:
    """Fail on any name or address, and on any file in the home folder; also where a command failed.

    Arguments:
        watched: what was run.
        home: its home folder.
        allowed: subcommands that may exit with 1.
    """
    for one in watched:
        assert one.returncode == 0 or one.command[1] in allowed, (one.command, one.stderr)
        assert one.asked == (), one.command
    assert [str(path) for path in home.rglob("*") if path.is_file()] == []
