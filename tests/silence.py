"""Commands over a copy of a release, off the network, and that they asked nobody."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import SERVE, Released, clean_environment
from tests.network import Watched, namespaces_permitted, recorded

Line = Sequence[str | Path]


def detector_lines(bundle: Path, images: Path, picture: Path, scratch: Path) -> list[Line]:
    """Commands over a released detector."""
    exported = scratch / "exported"
    return [
        ("bundle", "verify", bundle),
        ("bundle", "run", bundle, picture),
        ("predict", bundle, picture, "--output", scratch / "one"),
        ("predict", "digits", images, "--output", scratch / "many"),
        ("nightly", "digits", "--images", images),
        ("monitor", "digits", "--images", images),
        ("labels", "export", "digits", "--output", exported, "--format", "yolo", "--size", "5"),
        ("labels", "import", "digits", exported, "--confirmed"),
        ("labels", "status", "digits"),
        ("drift", "calibrate", "digits", "--windows", "20", "--size", "20"),
        ("history", "digits"),
        ("models",),
        ("doctor",),
        ("deploy",),
    ]


def classifier_lines(data: Path, settings: Path) -> list[Line]:
    """Commands over a released classifier and the version that a retraining makes."""
    night = ("--labels", data, "--labels-split", "night")
    return [
        ("retrain", "crops", *night, "--config", settings),
        ("compare", "crops", "1", "2"),
        ("gates", "crops", "2", "--data", data),
        ("ab", "crops", "1", "2", "--images", data / "night"),
        ("promote", "crops", "2"),
        ("rollback", "crops"),
    ]


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


def watch(
    one: Released, root: Path, commands: Sequence[Sequence[str | Path]], scratch: Path
) -> list[Watched]:
    """Run commands over a copy of a root, shown in its place, and over one Prefect server."""
    home = scratch / "user"
    home.mkdir()
    env = clean_environment(one.root) | {"HOME": str(home)}
    background = [sys.executable, "-c", SERVE]
    return recorded(commands, env=env, cwd=scratch, background=background, mounts={one.root: root})


def noise(watched: Iterable[Watched], home: Path, *, allowed: Sequence[str] = ()) -> list[str]:
    """List names and addresses that were asked for, files in the home folder, failed commands.

    Arguments:
        watched: what was run.
        home: its home folder.
        allowed: subcommands that may fail.
    """
    watched = list(watched)
    failed = [
        f"{one.command}: {one.stderr}"
        for one in watched
        if one.returncode and one.command[1] not in allowed
    ]
    asked = [f"{one.command}: {beyond}" for one in watched for beyond in one.asked]
    return failed + asked + [str(path) for path in home.rglob("*") if path.is_file()]
