"""Retention removes whole days for good, also after a kill."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime

import pytest

from components.errors import ConfigError, DatasetError
from components.images.object_store import ASIDE, Folder
from components.monitoring import MonitoringStore
from tests.unit.monitoring.store.stored import DAY, HOUR, NOW, WHOLE_DAY, ids, parquet_files


def test_retention_removes_whole_days_for_good(store, finished_run):
    for number in range(4):
        store.append(finished_run(2, first=(DAY + number * WHOLE_DAY).replace(hour=23)))
    assert store.retain("digits", before=DAY + 2 * WHOLE_DAY) == 2
    assert ids(store.images("digits")) == ["1-1", "2-0", "2-1", "3-0", "3-1"]
    assert ids(store.detections("digits")) == ["1-1", "2-1", "3-1"]
    assert [(window.images, window.first.day) for window in store.windows("digits")] == [
        (1, 12),
        (2, 12),
        (2, 13),
    ]
    assert store.retain("digits", before=DAY + 2 * WHOLE_DAY) == 0
    assert store.retain("digits", before=DAY) == 0
    assert len(store.images("digits")) == 5


def test_retention_counts_days_back_from_now(store, finished_run):
    for age in (10, 40):
        store.append(finished_run(1, first=NOW - age * WHOLE_DAY))
    assert store.retain("digits", before=30) == 1
    assert ids(store.images("digits")) == ["0-0"]


def test_rows_older_than_the_retention_stay_out(store, finished_run):
    run = finished_run(1)
    store.append(run)
    store.append(finished_run(1, first=DAY + WHOLE_DAY))
    store.retain("digits", before=DAY + WHOLE_DAY)
    store.append(run)
    assert ids(store.images("digits")) == ["1-0"]
    assert len(store.windows("digits")) == 1


def test_retention_of_the_future_or_of_nothing_is_refused(store, finished_run):
    with pytest.raises(DatasetError, match="runs of digits"):
        store.retain("digits", before=1)
    store.append(finished_run())
    for before in (NOW + HOUR, -1):
        with pytest.raises(ConfigError, match="future"):
            store.retain("digits", before=before)


def test_retention_finishes_what_a_killed_one_began(tmp_path, finished_run):
    """It had said which days go, and removed one table of them."""
    store = MonitoringStore(tmp_path / "store", clock=lambda: NOW)
    store.append(finished_run())
    store.append(finished_run(first=DAY + WHOLE_DAY))
    Folder(tmp_path / "store").create("digits/_retained/2026-03-11", b"")
    Folder(tmp_path / "store").remove_folder("digits/3/images/day=2026-03-10")
    assert ids(store.images("digits")) == ["1-0", "1-1", "1-2"]
    assert ids(store.detections("digits")) == ["1-1", "1-2", "1-2"]
    assert store.retain("digits", before=DAY) == 1
    assert all("day=2026-03-11" in str(path) for path in parquet_files(tmp_path / "store"))
    assert len(list((tmp_path / "store/digits/3/windows").iterdir())) == 1


def test_retention_sweeps_what_killed_writers_left(tmp_path, finished_run):
    root = tmp_path / "store"
    store = MonitoringStore(root)
    store.append(finished_run(first=datetime.now(UTC)))
    old, fresh = root / ASIDE / "old", root / ASIDE / "fresh"
    for left in (old, fresh):
        left.mkdir(parents=True)
        (left / "images-2026-03-10.parquet").write_bytes(b"half a fi")
    two_days_ago = (datetime.now(UTC) - 2 * WHOLE_DAY).timestamp()
    os.utime(old, (two_days_ago, two_days_ago))
    assert len(store.images("digits")) == 3
    store.retain("digits", before=30)
    assert list((root / ASIDE).iterdir()) == [fresh]


def test_readers_go_on_while_days_are_removed(tmp_path, finished_run):
    """Whatever the moment, a reader sees whole days and no gap among them."""
    store, days = MonitoringStore(tmp_path / "store", clock=lambda: NOW), 16
    for number in range(days):
        store.append(finished_run(2, first=DAY + number * WHOLE_DAY))

    def remove() -> None:
        for number in range(1, days):
            store.retain("digits", before=DAY + number * WHOLE_DAY)

    thread = threading.Thread(target=remove)
    thread.start()
    seen = []
    while thread.is_alive() or not seen:
        seen.append(ids(store.images("digits", columns=["image_id"])))
    thread.join()
    everything = [f"{number}-{k}" for number in range(days) for k in range(2)]
    assert all(len(found) % 2 == 0 and found == everything[-len(found) :] for found in seen)
    assert ids(store.images("digits")) == everything[-2:]
