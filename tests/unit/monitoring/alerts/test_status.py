"""What a dashboard is told of a model: its last night, its latency, and which alerts are open."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from components.contracts import Check, ColumnDrift, DriftDecision, DriftState, Verdict
from components.monitoring import Alert, AlertStatus, AlertStore, MonitoringStore, read_status
from components.monitoring.alerts.book import (
    KIND,
    NO_IMAGES,
    book_record,
    check_arrivals,
    latest_book,
)
from components.monitoring.store.stored import EvaluatedWindow, TrendPoint, remember

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DRIFT = DriftDecision(
    DriftState.DRIFT, ("brightness",), (ColumnDrift("brightness", 0.8, 0.2, None, True),), 500, 4
)


@pytest.fixture
def store(tmp_path) -> MonitoringStore:
    return MonitoringStore(tmp_path / "store")


@pytest.fixture
def night(store, write_run):
    """A night as it is kept: ``night(NOON, DriftState.OK, version=2)``."""

    def keep(at, state, version=1):
        times = pa.array([at + timedelta(seconds=k) for k in range(4)], pa.timestamp("us", "UTC"))
        run = write_run(
            {"inference_ms": np.array([1.0, 2, 3, 100]), "predicted_at": times},
            model=f"digits/{version}",
        )
        images = run.images
        table = pa.parquet.read_table(images).append_column(
            "image_id", pa.array([f"{at:%d}-{k}" for k in range(4)])
        )
        pa.parquet.write_table(table, images)
        pa.parquet.write_table(table.select(["image_id"]).slice(0, 0), run.detections)
        key = store.append(run)
        point = TrendPoint(at, state, 4, 0.0, 0.9, 4.0)
        remember(
            store,
            "digits",
            version,
            EvaluatedWindow(key, at, replace(DRIFT, state=state), {}, point),
        )

    return keep


def alert(store, key, at, *, firing=(), sent=(), subject="digits"):
    def book(rules):
        return AlertStore(
            tuple(Alert(subject, rule, AlertStatus.FIRING, "", at) for rule in rules)
        ).to_records()

    store.put_record("digits", 1, KIND, key, {"firing": book(firing), "sent": book(sent)}, at=at)


def test_the_newest_night_of_any_version_is_the_last(store, night):
    night(NOON, DriftState.OK)
    night(NOON + DAY, DriftState.DRIFT, version=2)
    status = read_status(store, "digits")
    assert (status.windows, status.images) == (2, 8)
    assert (status.last.version, status.last.at) == ("2", NOON + DAY)
    assert status.last.decision.state is DriftState.DRIFT
    assert status.last.latency_ms == {0.5: pytest.approx(2.5), 0.95: pytest.approx(85.45)}


def test_a_night_whose_rows_are_gone_has_a_verdict_but_no_latency(store, night):
    night(NOON, DriftState.OK)
    night(NOON + DAY, DriftState.DRIFT)
    store.retain("digits", before=NOON + 2 * DAY)
    status = read_status(store, "digits")
    assert (status.windows, status.last.latency_ms) == (0, {})
    assert status.last.decision.state is DriftState.DRIFT


def test_an_alert_is_open_until_the_book_closes_it_and_looks_by_hand_are_left_out(store):
    alert(store, "one", NOON, firing=["drift", "errors"], sent=["drift", "errors"])
    alert(store, "two", NOON + DAY, firing=["errors"], sent=["drift"])
    alert(store, "look", NOON + 2 * DAY, firing=["errors"], sent=[])
    alert(store, "hand", NOON + DAY / 2, firing=["drift"], sent=["drift"], subject="digits: night/")
    assert read_status(store, "digits").alerts == {"drift": False, "errors": True}


def test_a_model_without_nights_has_no_last_window(store):
    assert read_status(store, "nobody").last is None
    assert store.models() == ()


def test_models_are_the_stores_folders(store, night):
    night(NOON, DriftState.OK)
    assert store.models() == ("digits",)


def tell(store, key, at, check, subject="digits"):
    """Enter one check into the subject's book; returns what is told."""
    book, sent = latest_book(store.records("digits", KIND), subject).update(
        subject, [check], now=at
    )
    store.put_record("digits", 1, KIND, key, book_record(subject, book, sent), at=at)
    return [alert.status.value for alert in sent]


def test_a_look_by_hand_during_a_night_hides_nothing_of_what_the_night_tells(store):
    bad, well = (
        Check("error_rate", 0.1, 0.02, verdict, "") for verdict in (Verdict.FAIL, Verdict.PASS)
    )
    assert tell(store, "look", NOON + timedelta(minutes=10), well, "digits: folder") == []
    assert tell(store, "night-1", NOON, bad) == ["firing"]
    assert read_status(store, "digits").alerts == {"error_rate": True}
    assert tell(store, "night-2", NOON + DAY, bad) == [], "it has been told"
    assert tell(store, "night-3", NOON + 2 * DAY, well) == ["resolved"]
    assert read_status(store, "digits").alerts == {"error_rate": False}


def test_a_source_without_new_images_is_an_alert_of_its_model(store):
    def ask(key, hours, source, last=0):
        now, since = (NOON + timedelta(hours=count) for count in (hours, last))
        check = check_arrivals(since, now=now, limit_hours=48, source=source)
        return tell(store, f"{source}-{key}", now, check, f"digits: {source}")

    assert (ask("one", 47, "east"), ask("one", 47, "west")) == ([], [])
    assert (ask("two", 49, "east"), ask("three", 73, "east"), ask("two", 1, "west")) == (
        ["firing"],
        [],
        [],
    )
    assert read_status(store, "digits").alerts == {NO_IMAGES: True}, (
        "one camera is dead, whatever the other does"
    )
    assert ask("four", 80, "east", last=79) == ["resolved"]
    assert read_status(store, "digits").alerts == {NO_IMAGES: False}
