"""Nights by command line: what is new is judged once, drift takes two nights, failures resume."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.images.sources import list_images
from components.monitoring import MonitoringStore, Watermark
from components.monitoring.store.stored import evaluated_windows
from components.runs.by_day import TIME
from components.runs.finished import load_run, write_run
from model_registry import sqlite_uri
from tests.conftest import COMMAND, LIMIT_S, clean_environment


@pytest.fixture(scope="module")
def camera(released, tmp_path_factory):
    """A folder that images arrive in: ``camera("monday", "day", 50)``."""
    place = tmp_path_factory.mktemp("camera")

    def arrive(name: str, split: str, count: int) -> Path:
        for image in sorted((released.data / "images" / split).iterdir())[:count]:
            shutil.copy(image, place / f"{name}-{image.name}")
        return place

    return arrive


def night(released, images: Path, *options: str | Path) -> dict:
    done = released.foveal("nightly", "digits", "--images", images, *options, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def events(released, event: str) -> int:
    """Count the events that Prefect has kept, which it writes some seconds after taking them."""
    deadline = time.monotonic() + 600
    while True:
        with closing(sqlite3.connect(released.root / "prefect" / "prefect.db")) as database:
            (found,) = database.execute(
                "select count(*) from events where event = ?", [event]
            ).fetchone()
        if found or time.monotonic() > deadline:
            return int(found)
        time.sleep(0.5)


def test_nights_are_judged_once_and_two_of_them_make_a_drift(released, camera):
    """One story, since each night has a memory of those before it."""
    place = camera("monday", "night", 55)
    first = night(released, place)
    assert (first["window"]["images"], first["window"]["state"], first["fires"]) == (
        55,
        "warn",
        False,
    )
    assert Path(first["window"]["report"]).is_file()
    assert night(released, place)["window"] is None
    with closing(sqlite3.connect(released.root / "prefect" / "prefect.db")) as database:
        ((told,),) = database.execute(
            "select data from artifact where key = 'nothing-new'"
        ).fetchall()
    assert str(place) in told

    bright = night(released, camera("tuesday", "day", 60))
    assert (bright["window"]["images"], bright["window"]["state"]) == (60, "ok")
    dark = night(released, camera("wednesday", "night", 55))
    assert (dark["window"]["state"], dark["fires"]) == ("drift", True)
    assert any(alert.startswith("firing: drift") for alert in dark["alerts"])

    assert events(released, "foveal.drift.detected") == 1
    stored = (
        MonitoringStore(released.root / "store")
        .images("digits", columns=["image_id"])["image_id"]
        .to_pylist()
    )
    assert len(stored) == len(set(stored)) == 60 + 2 * 55

    judged = released.foveal("monitor", "digits", "--since", "2020-01-01", "--no-tell", "--json")
    assert judged.returncode == 0, judged.stderr
    said = json.loads(judged.stdout)
    assert (said["window"]["images"], said["alerts"]) == (len(stored), [])
    assert load_run(Path(said["folder"]) / "predictions").processed == len(stored)
    assert events(released, "foveal.drift.detected") == 1, "a look without telling tells nobody"


def test_a_look_by_hand_does_what_a_night_does_and_leaves_the_nights_alone(released):
    store, night_images = (
        MonitoringStore(released.root / "store"),
        released.data / "images" / "night",
    )
    remembered, snapshots = len(evaluated_windows(store, "digits", 1)), snapshots_of(released)
    look = ("monitor", "digits", "--images", night_images, "--labels", released.data / "data.yaml")
    said = []
    for _ in range(2):
        done = released.foveal(*look, "--labels-split", "night", "--json")
        assert done.returncode == 0, done.stderr
        said.append(json.loads(done.stdout))
    first, again = said
    assert (first["window"]["state"], first["window"]["images"], first["fires"]) == (
        "drift",
        80,
        True,
    )
    assert first["alerts"] == again["alerts"] and any(
        line.startswith("firing: drift") for line in first["alerts"]
    )
    assert {check["name"]: check["verdict"] for check in first["checks"]}["accuracy_drop"] == "fail"
    assert first["folder"] == again["folder"], "the same look again is the same window"
    assert "brightness ≤" in Path(first["window"]["report"]).read_text(), (
        "accuracy is shown by slice"
    )

    rows = store.images("digits", 1, columns=["image_id"])["image_id"].to_pylist()
    assert sum(name.startswith("night_") for name in rows) == 80, "its rows are kept, once"
    assert snapshots_of(released) == snapshots + 1, "Evidently's workspace shows it"
    assert len(evaluated_windows(store, "digits", 1)) == remembered, "no night remembers it"


def snapshots_of(released) -> int:
    """How many runs Evidently's workspace holds."""
    return len(list((released.root / "evidently").rglob("snapshots/*.json")))


def test_a_night_that_is_killed_is_picked_up_without_loss_or_repetition(
    released, camera, tmp_path, start
):
    place = tmp_path / "camera"
    place.mkdir()
    for image in sorted((released.data / "images" / "day").iterdir())[:60]:
        shutil.copy(image, place / image.name)
    process = start("nightly", "digits", "--images", place, root=released.root)
    plans = released.root / "store" / "digits" / "_watermarks"
    deadline = time.monotonic() + 600
    before = set(plans.rglob("plans/*"))
    while not set(plans.rglob("plans/*")) - before and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (place / "late.jpg").write_bytes(next(place.iterdir()).read_bytes())
    resumed = night(
        released, place, "--labels", released.data / "data.yaml", "--labels-split", "day"
    )
    assert resumed["window"]["images"] == 60, "the window is the one that was planned"
    checks = {check["name"]: check for check in resumed["checks"]}
    assert checks["accuracy_drop"]["verdict"] in {"pass", "undecided"}, checks["accuracy_drop"]
    assert checks["latency_p95_increase"]["verdict"] == "not_evaluated"
    stored = (
        MonitoringStore(released.root / "store")
        .images("digits", columns=["image_id"])["image_id"]
        .to_pylist()
    )
    planned = [name for name in stored if name.startswith("day_")]
    assert len(planned) == len(set(planned)) == 60


NIGHT = """
import json, sys
from flows.config.monitor import NightlyConfig
from flows.nightly import nightly
from flows.runtime.server import prefect_api
from flows.runtime.settings import Settings

with prefect_api(Settings.from_environment()):
    print(json.dumps(nightly(NightlyConfig(**json.loads(sys.argv[1]))).to_json()))
"""


def flow_night(released, **config) -> dict:
    """A night with parameters that the command has no option for."""
    done = subprocess.run(
        [sys.executable, "-c", NIGHT, json.dumps({"name": "digits", **config})],
        env=clean_environment(released.root),
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_dead_camera_is_told_once_and_its_first_images_end_that(released, tmp_path):
    place = tmp_path / "camera"
    place.mkdir()
    assert night(released, place) == {"name": "digits", "version": 1, "window": None, "alerts": []}
    quiet = {"images": str(place), "quiet_hours": 1e-6}
    first, second = flow_night(released, **quiet), flow_night(released, **quiet)
    assert [line.partition(": the")[0] for line in first["alerts"]] == ["firing: no_new_images"]
    assert second["alerts"] == [], "it is told once"
    assert events(released, "foveal.alert.firing") >= 1
    for image in sorted((released.data / "images" / "day").iterdir())[:55]:
        shutil.copy(image, place / image.name)
    found = flow_night(released, **quiet)
    assert found["window"]["images"] == 55
    assert any(line.startswith("resolved: no_new_images") for line in found["alerts"])


@pytest.fixture
def second_version(released):
    """The released version once more, for as long as the test lasts."""
    from mlflow import MlflowClient

    client = MlflowClient(sqlite_uri(released.root / "mlflow" / "mlflow.db"))
    first = client.get_model_version("digits", "1")
    made = client.create_model_version("digits", first.source, first.run_id, tags=first.tags)
    yield made.version
    client.delete_model_version("digits", made.version)


def test_a_window_that_was_planned_before_a_promotion_stays_with_its_version(
    released, second_version, tmp_path
):
    place = tmp_path / "camera"
    place.mkdir()
    for image in sorted((released.data / "images" / "day").iterdir())[:52]:
        shutil.copy(image, place / f"pinned-{image.name}")
    watermark = Watermark(released.root / "store", "digits", place)
    watermark.next_window(list_images(place), at=datetime.now(UTC), version="1")
    done = released.foveal("nightly", f"digits/{second_version}", "--images", place, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["version"], said["window"]["images"]) == (1, 52)
    windows = MonitoringStore(released.root / "store").windows("digits")
    assert {window.version for window in windows} == {"1"}, (
        "no row is stored under the other version"
    )


def test_calibration_measures_the_policy_and_the_reference_that_nights_have(released, tmp_path):
    """After the nights above: what they accepted is pooled, each judged against the others."""
    settings = tmp_path / "foveal.yaml"
    eager = "{minimum_samples: 20, false_discovery_rate: 0.9, distance: 0.001}"
    settings.write_text(f"models:\n  - {{name: digits, images: incoming, drift: {eager}}}\n")
    store = MonitoringStore(released.root / "store")
    accepted = [window for window in evaluated_windows(store, "digits", 1) if window.accepted]
    asked = ("drift", "calibrate", "digits", "--windows", "20", "--size", "60", "--json")
    said = []
    for more in ((), ("--config", settings)):
        done = released.foveal(*asked, *more)
        assert done.returncode == 0, done.stderr
        said.append(json.loads(done.stdout))
    usual = said[0]
    assert usual["accepted_windows"] == len(accepted) == usual["nights"]["windows"] >= 2
    assert usual["reference_images"] > 80 and usual["nights"]["drifted"] == 0
    assert [(rate["images"], rate["contiguous"]) for rate in usual["false_alarms"]] == [
        (60, False),
        (60, True),
    ]
    warned, more = (
        one["false_alarms"][0]["warned"] + one["false_alarms"][0]["drifted"] for one in said
    )
    assert warned <= 0.1 and more > 0.5
    unknown = released.foveal("drift", "calibrate", "crops", "--config", settings)
    assert unknown.returncode != 0 and "crops among the models of" in unknown.stderr


def test_old_rows_are_removed_on_a_quiet_night_too(released, tmp_path):
    run = load_run(next((released.root / "releases" / "digits" / "1").glob("predictions")))
    old = shutil.copytree(run.folder, tmp_path / "old")
    key = json.loads((old / "run.json").read_text())["key"]
    table = pq.read_table(run.images)
    moved = pc.subtract(table[TIME], pa.scalar(timedelta(days=60), pa.duration("us")))
    place = table.column_names.index(TIME)
    pq.write_table(
        table.set_column(place, TIME, moved.cast(table[TIME].type)), old / "images.parquet"
    )
    write_run(old, run, key, {})
    store = MonitoringStore(released.root / "store")
    store.append(load_run(old), key="two-months-old")
    (tmp_path / "nothing").mkdir()
    assert night(released, tmp_path / "nothing", "--keep-days", "30")["window"] is None
    assert "two-months-old" not in {window.key for window in store.windows("digits")}


def test_names_that_no_terminal_can_show_are_images_like_others(released, tmp_path):
    """Not UTF-8, a control sequence, or different by one space: one row each, printed plainly."""
    place, output = os.fsencode(tmp_path / "camera"), tmp_path / "hostile"
    os.mkdir(place)
    images = sorted((released.data / "images" / "day").iterdir())
    names = (
        b"\xff.jpg",
        b" a.jpg",
        b"a.jpg",
        b"\x1b[31mred.jpg",
        b"two\nlines.jpg",
        "\u2028.jpg".encode(),
        "\u00a0a.jpg".encode(),
    )
    for name, image in zip(names, images, strict=False):
        shutil.copy(image, os.path.join(place, name))
    done = released.foveal("nightly", "digits", "--images", tmp_path / "camera")
    assert done.returncode == 0, done.stderr
    assert "\x1b[31mred" not in done.stdout + done.stderr
    again = night(released, tmp_path / "camera")
    assert again["window"] is None, "each of them was done once"
    predicted = released.foveal(
        "predict", "digits", tmp_path / "camera", "--output", output, "--json"
    )
    assert json.loads(predicted.stdout)["processed"] == len(names), predicted.stderr


def test_a_host_that_stays_dead_holds_up_the_nights_for_a_week_and_no_longer(
    released, tmp_path, free_port
):
    listing = tmp_path / "images.txt"
    listing.write_text(
        "".join(f"http://127.0.0.1:{free_port}/{number}.jpg\n" for number in range(3))
    )
    waits = released.foveal("nightly", "digits", "--images", listing)
    assert waits.returncode == 1 and f"127.0.0.1:{free_port}" in waits.stderr
    listing.write_text(listing.read_text().replace("/0.jpg", "/9.jpg"))
    watermark = Watermark(released.root / "store", "digits", str(listing))
    watermark.commit(watermark.next_window([], at=datetime.now(UTC)))
    watermark.next_window(
        list_images(listing), at=datetime.now(UTC) - timedelta(days=8), version="1"
    )
    said = night(released, listing)
    assert said["window"] is None
    (line,) = said["given_up"]
    assert "after 7 days" in line and f"127.0.0.1:{free_port}" in line
    assert night(released, listing).get("given_up") is None


def test_a_window_that_was_planned_for_a_deleted_version_is_done_by_the_current_one(
    released, tmp_path
):
    place = tmp_path / "deleted"
    place.mkdir()
    for image in sorted((released.data / "images" / "day").iterdir())[:4]:
        shutil.copy(image, place / f"deleted-{image.name}")
    watermark = Watermark(released.root / "store", "digits", str(place))
    watermark.next_window(
        list_images(place), at=datetime.now(UTC) - timedelta(days=1), version="99"
    )
    done = released.foveal("nightly", "digits", "--images", place, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["window"]["images"] == 4
    (line,) = [line for line in done.stderr.splitlines() if "deleted;" in line]
    assert "was planned for version 99 of digits, which was deleted; goes on with version 1" in line
    assert night(released, place)["window"] is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_night_that_waits_for_a_host_ends_when_it_is_told_to(released, tmp_path, number):
    listing, called = tmp_path / "images.txt", threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        listing.write_text(f"http://127.0.0.1:{server.getsockname()[1]}/a.jpg\n")

        def take() -> None:
            with server.accept()[0]:
                called.set()
                time.sleep(600)

        threading.Thread(target=take, daemon=True).start()
        process = subprocess.Popen(
            [COMMAND, "nightly", "digits", "--images", listing],
            env=clean_environment(released.root) | {"FOVEAL_READ_TIMEOUT_S": "600"},
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert called.wait(LIMIT_S), process.communicate()
        process.send_signal(number)
        _, told = process.communicate(timeout=300)  # without the signal it would be ten minutes
    assert process.returncode == 128 + number, told
    assert (
        told.splitlines()[-1] == "error: stopped; finished steps are kept, the same command resumes"
    )
