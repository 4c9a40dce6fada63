"""The monitoring store on disk and in memory: additions are there once, whole, in kept days."""

from __future__ import annotations

from datetime import date, timedelta, timezone

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import ConfigError, DatasetError
from components.inference.batch.tables import detections_schema
from components.monitoring import MonitoringStore
from components.monitoring.store.stored import stored_run
from tests.unit.monitoring.store.stored import DAY, HOUR, WHOLE_DAY, ids


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
