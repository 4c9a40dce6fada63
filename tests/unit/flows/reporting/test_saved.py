"""What is found again of releases and judged windows: the newest, or a line with what to do."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contracts import DriftDecision, DriftState, InferenceRun, dump
from components.errors import ConfigError
from components.runs.finished import write_run
from flows.reporting.saved import latest_alarm, latest_release, saved_windows


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path))
    return tmp_path


def keep(root, name, state, at):
    """A judged window as `nightly` keeps it."""
    folder = root / "monitoring" / "parts" / name
    (folder / "drift").mkdir(parents=True)
    (folder / "predictions").mkdir()
    run = InferenceRun(folder / "moved since", "parts/1", 60, (), 1.0, 2)
    for table in ("images.parquet", "detections.parquet"):
        pq.write_table(pa.table({"image_id": ["a.jpg"]}), folder / "predictions" / table)
    write_run(folder / "predictions", run, "key", {})
    decision = DriftDecision(state, ("because",), (), 100, 60)
    report = {"decision": dump(decision), "trend_point": {"at": at}}
    (folder / "drift" / "report.json").write_text(json.dumps(report))
    return folder


def test_the_newest_release_is_that_of_the_highest_number(root):
    for version in ("2", "10", "9", "not-a-version"):
        (root / "releases" / "parts" / version).mkdir(parents=True)
    assert latest_release("parts").name == "10"


def test_without_a_release_it_says_how_to_make_one(root):
    with pytest.raises(ConfigError, match=r"a release of parts.*foveal release"):
        latest_release("parts")


def test_windows_are_in_the_order_of_time_and_open_where_they_are_now(root):
    later = keep(root, "1-aaaa", DriftState.OK, "2026-11-24T02:00:00+00:00")
    earlier = keep(root, "1-bbbb", DriftState.WARN, "2026-11-23T02:00:00+00:00")
    found = saved_windows("parts")
    assert [window.folder for window in found] == [earlier, later]
    assert found[0].run.images == earlier / "predictions" / "images.parquet"
    assert found[1].report == later / "drift" / "report.html"


def test_the_latest_alarm_is_the_last_drift_and_none_is_made_up(root):
    keep(root, "1-aaaa", DriftState.DRIFT, "2026-11-22T02:00:00+00:00")
    drift = keep(root, "1-bbbb", DriftState.DRIFT, "2026-11-23T02:00:00+00:00")
    keep(root, "1-cccc", DriftState.WARN, "2026-11-24T02:00:00+00:00")
    assert latest_alarm("parts").folder == drift
    with pytest.raises(ConfigError, match="found 0 judged windows without one"):
        latest_alarm("others")
