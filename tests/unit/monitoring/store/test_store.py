"""The monitoring store on disk and in memory: additions are there once, whole, in kept days."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contracts import Fit, InferenceRun, VisionSpec
from components.errors import ConfigError, DatasetError, UnavailableError
from components.images.object_store import ASIDE, Folder
from components.inference.batch.tables import detections_schema, images_schema, write_table
from components.monitoring import MonitoringStore
from components.monitoring.store.stored import stored_run
from components.vision import task_for

DAY = datetime(2026, 3, 10, 12, tzinfo=UTC)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
HOUR, WHOLE_DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(params=["local", "memory"])
def root(request, tmp_path):
    if request.param == "local":
        yield str(tmp_path / "a [strange] folder" / "store")
    else:
        url = f"memory://{uuid.uuid4().hex}/store"
        yield url
        store, path = fsspec.core.url_to_fs(url)
        if store.exists(path):
            store.rm(path, recursive=True)


@pytest.fixture
def store(root) -> MonitoringStore:
    return MonitoringStore(root, clock=lambda: NOW)


@pytest.fixture
def finished_run(tmp_path) -> Callable[..., InferenceRun]:
    """Write a run as a real one: an image an hour from `first`, image k with k % 3 detections."""
    spec = VisionSpec("detect", ("zero", "one"), (320, 320), Fit.LETTERBOX, "yolo")
    numbers = iter(range(1000))

    def make(images: int = 3, *, first: datetime = DAY, model: str = "digits/3") -> InferenceRun:
        number = next(numbers)
        folder = tmp_path / f"run-{number}"
        folder.mkdir()
        rows = [
            {
                "image_id": f"{number}-{k}",
                "status": "ok",
                "model": model,
                "predicted_at": first + k * HOUR,
            }
            for k in range(images)
        ]
        found = [
            {"image_id": row["image_id"], "detection": n, "class_id": n, "confidence": 0.5}
            for k, row in enumerate(rows)
            for n in range(k % 3)
        ]
        write_table(folder / "images.parquet", rows, images_schema(task_for(spec)))
        write_table(folder / "detections.parquet", found, detections_schema())
        return InferenceRun(folder, model, images, (), 1.0, 1)

    return make


def ids(table: pa.Table) -> list[str]:
    return table["image_id"].to_pylist()


def parquet_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))


def test_an_image_that_was_looked_at_again_counts_once_as_it_was_last_seen(
    store, finished_run, tmp_path
):
    run = finished_run(5)
    rows = pq.read_table(run.images)
    place = rows.column_names.index("sha256")
    for first, content in (
        (DAY, ["a", "b", None, "d", "e"]),
        (DAY + WHOLE_DAY, ["a", "B", None, "d", "e"]),
    ):
        images = rows.set_column(place, "sha256", pa.array(content)).set_column(
            rows.column_names.index("predicted_at"),
            "predicted_at",
            pa.array([first + k * HOUR for k in range(5)], rows.schema.field("predicted_at").type),
        )
        pq.write_table(images, run.images)
        store.append(run)
    again = stored_run(store, "digits", 3, tmp_path / "range")
    images, detections = pq.read_table(again.images), pq.read_table(again.detections)
    seen = list(
        zip(
            ids(images),
            images["sha256"].to_pylist(),
            images["predicted_at"].to_pylist(),
            strict=True,
        )
    )
    kept = [
        (name[-1], content, "again" if at >= DAY + WHOLE_DAY else "first")
        for name, content, at in seen
    ]
    assert kept == [
        *(("1", "b", "first"), ("2", None, "first")),
        *(
            ("0", "a", "again"),
            ("1", "B", "again"),
            ("2", None, "again"),
            ("3", "d", "again"),
            ("4", "e", "again"),
        ),
    ]
    of_each = {(row["image_id"], row["window"]) for row in images.to_pylist()}
    boxes = list(zip(ids(detections), detections["window"].to_pylist(), strict=True))
    assert set(boxes) <= of_each and len(boxes) == 1 + 2 + 4, (
        "one of image 1 and two of 2 at first, then all four"
    )
    part = stored_run(
        store, "digits", 3, tmp_path / "part", start=DAY + HOUR, end=DAY + WHOLE_DAY + 2 * HOUR
    )
    assert [name[-1] for name in ids(pq.read_table(part.images))] == ["1", "2", "3", "4", "0", "1"]


def test_windows_with_other_columns_are_one_run_with_nulls(store, finished_run, tmp_path):
    store.append(finished_run(3))
    more = finished_run(2, first=DAY + WHOLE_DAY)
    rows = pq.read_table(more.images)
    pq.write_table(rows.append_column("weather", pa.array(["sun", "rain"])), more.images)
    store.append(more)
    found = pq.read_table(stored_run(store, "digits", 3, tmp_path / "range").images)
    assert found["weather"].to_pylist() == [None, None, None, "sun", "rain"]
    assert len(set(found["window"].to_pylist())) == 2


def test_appended_run_is_read_back_with_every_column(store, finished_run):
    run = finished_run(4)
    key = store.append(run)
    images, detections = store.images("digits", 3), store.detections("digits", 3)
    written = pq.read_table(run.images)
    assert images.drop_columns(["window"]).equals(written)
    assert set(images["window"].to_pylist()) == {key}
    assert detections.select(detections_schema().names).equals(pq.read_table(run.detections))
    times = dict(zip(ids(written), written["predicted_at"].to_pylist(), strict=True))
    assert detections["predicted_at"].to_pylist() == [times[image] for image in ids(detections)]
    assert set(detections["model"].to_pylist()) == {"digits/3"}


def test_appending_again_adds_nothing(store, root, finished_run):
    run = finished_run()
    key = store.append(run)
    assert store.append(run) == key
    assert MonitoringStore(root).append(run) == key
    assert len(store.images("digits")) == 3


def test_of_two_runs_with_one_key_the_first_counts(store, finished_run):
    store.append(finished_run(2), key="night-1")
    store.append(finished_run(5, first=DAY + WHOLE_DAY), key="night-1")
    assert ids(store.images("digits")) == ["0-0", "0-1"]
    assert [(window.key, window.images) for window in store.windows("digits")] == [("night-1", 2)]


def test_run_over_midnight_is_one_window_in_two_days(store, finished_run):
    store.append(finished_run(4, first=DAY.replace(hour=22)))
    (window,) = store.windows("digits", 3)
    assert [(day.day, day.images, day.detections) for day in window.days] == [
        (date(2026, 3, 10), 2, 1),
        (date(2026, 3, 11), 2, 2),
    ]
    assert (window.first, window.last) == (DAY.replace(hour=22), DAY.replace(hour=22) + 3 * HOUR)
    assert len(store.images("digits")) == 4


def test_range_is_half_open_and_exact_to_the_microsecond(store, finished_run):
    store.append(finished_run(24))
    tick = timedelta(microseconds=1)
    assert ids(store.images("digits", start=DAY + 2 * HOUR, end=DAY + 4 * HOUR)) == ["0-2", "0-3"]
    assert ids(store.images("digits", start=DAY + 22 * HOUR + tick)) == ["0-23"]
    assert ids(store.images("digits", end=DAY + tick)) == ["0-0"]
    assert ids(store.detections("digits", start=DAY + 2 * HOUR, end=DAY + 4 * HOUR)) == [
        "0-2",
        "0-2",
    ]


def test_range_takes_any_time_zone(store, finished_run):
    store.append(finished_run(3))
    there = timezone(timedelta(hours=9))
    assert ids(store.images("digits", start=(DAY + HOUR).astimezone(there))) == ["0-1", "0-2"]


def test_range_without_rows_gives_the_columns(store, finished_run):
    store.append(finished_run())
    found = store.images("digits", start=DAY + WHOLE_DAY)
    assert (len(found), "brightness" in found.column_names) == (0, True)


def test_days_out_of_range_are_not_opened(tmp_path, finished_run):
    store = MonitoringStore(tmp_path / "store")
    for number in range(3):
        store.append(finished_run(first=DAY + number * WHOLE_DAY))
    for path in (tmp_path / "store").glob("digits/3/*/day=2026-03-1[02]/*.parquet"):
        path.write_bytes(b"damaged")
    day = DAY + WHOLE_DAY
    assert ids(store.images("digits", start=day - HOUR, end=day + 12 * HOUR)) == [
        "1-0",
        "1-1",
        "1-2",
    ]
    with pytest.raises(DatasetError, match="a whole file"):
        store.images("digits")


def test_late_rows_find_their_place_in_time(store, finished_run):
    store.append(finished_run(1, first=DAY))
    store.append(finished_run(1, first=DAY - 5 * WHOLE_DAY))
    assert ids(store.images("digits")) == ["1-0", "0-0"]
    assert ids(store.images("digits", end=DAY)) == ["1-0"]


def test_only_the_columns_that_were_asked_for_in_their_order(store, finished_run):
    store.append(finished_run(2), key="one")
    found = store.images("digits", columns=["window", "image_id"], start=DAY)
    assert found.to_pylist() == [
        {"window": "one", "image_id": "0-0"},
        {"window": "one", "image_id": "0-1"},
    ]
    with pytest.raises(ConfigError, match="nonsense"):
        store.images("digits", columns=["image_id", "nonsense"])


def test_versions_are_kept_apart_and_read_together(store, finished_run):
    store.append(finished_run(1, model="digits/3"))
    later = finished_run(1, model="digits/4", first=DAY + HOUR)
    pq.write_table(pq.read_table(later.images).append_column("new", pa.array([7])), later.images)
    store.append(later)
    assert ids(store.images("digits", 4)) == ["1-0"]
    assert store.images("digits", columns=["image_id", "new"]).to_pylist() == [
        {"image_id": "0-0", "new": None},
        {"image_id": "1-0", "new": 7},
    ]
    assert [window.version for window in store.windows("digits")] == ["3", "4"]


def test_model_without_runs_is_named(store):
    assert store.windows("digits") == ()
    for read in (store.images, store.detections):
        with pytest.raises(DatasetError, match="digits/9"):
            read("digits", 9)


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


def test_what_a_killed_writer_left_is_not_part_of_a_later_attempt(tmp_path, finished_run):
    """The first attempt placed its days, not its marker; the second was inferred a day later."""
    store = MonitoringStore(tmp_path / "store")
    store.append(finished_run(2), key="night-1")
    (tmp_path / "store/digits/3/windows/night-1.json").unlink()
    assert store.windows("digits") == ()
    store.append(finished_run(2, first=DAY + WHOLE_DAY), key="night-1")
    assert ids(store.images("digits")) == ["1-0", "1-1"]


def test_lost_file_is_reported(tmp_path, finished_run):
    store = MonitoringStore(tmp_path / "store")
    store.append(finished_run())
    next((tmp_path / "store/digits/3/images").rglob("*.parquet")).unlink()
    with pytest.raises(DatasetError, match="every file of the runs"):
        store.images("digits")


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


def test_records_come_back_in_order_of_time(store):
    for key, hours in (("b", 2), ("a", 1), ("c", 3)):
        assert store.put_record(
            "digits", 3, "drift", key, {"state": key, "p": [0.5, None]}, at=DAY + hours * HOUR
        )
    store.put_record("digits", 4, "drift", "d", {}, at=DAY)
    store.put_record("digits", 3, "alert", "e", {}, at=DAY)
    found = store.records("digits", "drift", 3)
    assert [(record.key, record.version, record.at) for record in found] == [
        ("a", "3", DAY + HOUR),
        ("b", "3", DAY + 2 * HOUR),
        ("c", "3", DAY + 3 * HOUR),
    ]
    assert found[0].content == {"state": "a", "p": [0.5, None]}
    assert [record.key for record in store.records("digits", "drift")] == ["d", "a", "b", "c"]
    within = store.records("digits", "drift", 3, start=DAY + HOUR, end=DAY + 3 * HOUR)
    assert [record.key for record in within] == ["a", "b"]
    assert store.records("digits", "calibration") == ()


def test_record_keeps_what_it_was_first_given(store):
    assert store.put_record("digits", 3, "drift", "key", {"state": "warn"}, at=DAY)
    assert not store.put_record("digits", 3, "drift", "key", {"state": "ok"}, at=DAY + HOUR)
    (record,) = store.records("digits", "drift")
    assert (record.content, record.at) == ({"state": "warn"}, DAY)


def test_record_that_is_no_json_is_refused(store):
    with pytest.raises(ConfigError, match="plain JSON"):
        store.put_record("digits", 3, "drift", "key", {"when": DAY}, at=DAY)
    assert store.records("digits", "drift") == ()


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
