"""Roots, databases and stores with real faults in them."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing

import pytest

from flows.doctor import storage
from flows.doctor.finding import State
from flows.runtime.settings import Settings


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty storage root that the environment names."""
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path / "home"))
    for name in ("MLFLOW_TRACKING_URI", "FOVEAL_STORE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


def states():
    return {found.name: found for found in storage.examine(Settings.from_environment())}


def database(root):
    path = root / "prefect" / "prefect.db"
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE runs (name TEXT)")
        connection.executemany(
            "INSERT INTO runs VALUES (?)", [(f"run {number}" * 50,) for number in range(200)]
        )
        connection.commit()
    return path


def test_a_root_that_is_not_there_yet_is_fine_and_is_not_made(root):
    assert {name: found.state for name, found in states().items()} == dict.fromkeys(
        ("root", "disk", "clock"), State.OK
    )
    assert not root.exists()


def test_a_file_in_the_place_of_the_root_fails(root):
    root.write_text("")
    assert (states()["root"].state, "FOVEAL_HOME" in states()["root"].hint) == (State.FAIL, True)


def test_a_whole_database_is_ok_and_one_with_overwritten_pages_fails(root):
    path = database(root)
    assert states()["prefect.db"].state is State.OK
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(8192))
    found = states()["prefect.db"]
    assert found.state is State.FAIL and str(path) in found.found and "backup" in found.hint


def test_a_file_that_is_no_database_fails(root):
    database(root).write_text("this was a database once" * 100)
    assert "not a database" in states()["prefect.db"].found


def test_a_root_from_the_future_says_that_the_clock_went_back(root):
    path = database(root)
    os.utime(path, (time.time() + 3600, time.time() + 3600))
    found = states()["clock"]
    assert found.state is State.WARN and "later" in found.found and "NTP" in found.hint


def test_a_store_is_written_read_and_left_as_it_was(root, tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEAL_STORE", str(tmp_path / "store"))
    (found,) = storage.examine_store(Settings.from_environment())
    assert found.state is State.OK
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("place", ["file", "nosuchscheme://bucket/x"])
def test_a_store_that_cannot_be_written_fails_with_a_way_out(root, tmp_path, monkeypatch, place):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FOVEAL_STORE", place if "://" in place else str(tmp_path / place))
    (found,) = storage.examine_store(Settings.from_environment())
    assert found.state is State.FAIL and found.hint
