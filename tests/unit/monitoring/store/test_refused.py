"""Names, times, runs and roots that the store refuses."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contracts import InferenceRun
from components.errors import ConfigError, DatasetError, UnavailableError
from components.images.object_store import Folder
from components.monitoring import MonitoringStore
from tests.unit.monitoring.store.stored import DAY, HOUR


@pytest.mark.parametrize(
    "model", ["digits", "../digits/3", "digits/..", "digits/3/4", "/3", "digits/", ".aside/3"]
)
def test_model_that_is_no_name_and_version_is_refused(store, root, finished_run, model):
    with pytest.raises(ConfigError):
        store.append(finished_run(model=model))
    assert Folder(root).folders("") == []


@pytest.mark.parametrize("part", ["..", "a/b", "", ".hidden", "_x", "a\\b", "a\0b", "a" * 201])
def test_names_that_could_leave_the_store_are_refused(store, finished_run, part):
    store.append(finished_run())
    for call in (
        lambda: store.append(finished_run(), key=part),
        lambda: store.images(part),
        lambda: store.images("digits", part),
        lambda: store.retain(part, before=1),
        lambda: store.put_record("digits", 3, part, "key", {}, at=DAY),
        lambda: store.put_record("digits", 3, "drift", part, {}, at=DAY),
    ):
        with pytest.raises(ConfigError):
            call()


def test_naive_times_are_refused(store, finished_run):
    store.append(finished_run())
    naive = DAY.replace(tzinfo=None)
    for call in (
        lambda: store.images("digits", start=naive),
        lambda: store.detections("digits", end=naive),
        lambda: store.records("digits", "drift", start=naive),
        lambda: store.put_record("digits", 3, "drift", "key", {}, at=naive),
        lambda: store.retain("digits", before=naive),
    ):
        with pytest.raises(ConfigError, match="time zone"):
            call()


def test_range_that_ends_before_it_starts_is_refused(store, finished_run):
    store.append(finished_run())
    with pytest.raises(ConfigError, match="ends after it starts"):
        store.images("digits", start=DAY, end=DAY - HOUR)


def _rewritten(run: InferenceRun, table: pa.Table) -> InferenceRun:
    pq.write_table(table, run.images)
    return run


def test_run_that_cannot_be_placed_in_time_is_refused(store, finished_run):
    naive = pa.table({"image_id": ["a"], "predicted_at": pa.array([DAY.replace(tzinfo=None)])})
    missing = pa.table(
        {"image_id": ["a"], "predicted_at": pa.array([None], pa.timestamp("us", "UTC"))}
    )
    for table, complaint in (
        (naive, "time zone"),
        (missing, "in every row"),
        (naive.select([0]), "predicted_at"),
    ):
        with pytest.raises(DatasetError, match=complaint):
            store.append(_rewritten(finished_run(), table))
    assert store.windows("digits") == ()


def test_broken_runs_are_refused_and_leave_nothing(store, finished_run):
    gone, damaged, empty, stray = finished_run(), finished_run(), finished_run(0), finished_run()
    gone.detections.unlink()
    damaged.images.write_bytes(b"PAR1 no more")
    _rewritten(stray, pq.read_table(stray.images).slice(0, 1))
    for run, complaint in (
        (gone, "two tables"),
        (damaged, "images.parquet of a finished run"),
        (empty, "at least one image"),
        (stray, "every image of"),
    ):
        with pytest.raises(DatasetError, match=complaint):
            store.append(run)
    assert store.windows("digits") == ()


@pytest.mark.parametrize(
    ("url", "error"), [("nonsense://x", ConfigError), ("simplecache::memory://x", ConfigError)]
)
def test_root_that_is_no_store_is_refused(url, error):
    with pytest.raises(error):
        MonitoringStore(url)


def test_root_that_is_a_file_is_reported(tmp_path, finished_run):
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(UnavailableError, match="can be read and written"):
        MonitoringStore(tmp_path / "store").append(finished_run())
