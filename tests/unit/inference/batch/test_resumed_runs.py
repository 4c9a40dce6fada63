"""Runs that were killed, stopped or finished are picked up and end the same."""

import shutil
import subprocess
import sys

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.errors import ConfigError
from components.images.sources import list_images
from components.inference.lock import exclusive
from tests.unit.inference.batch.batches import assert_same, leftovers, run, steady, tables

KILLED = """
import os, signal, sys
from pathlib import Path
from components.backends import describe_onnx
from components.images.sources import list_images
from components.contracts import Variant
from components.inference import BatchSettings, run_batch

photos, model, output, last = sys.argv[1:]
def progress(done, total):
    if done >= int(last):
        os.kill(os.getpid(), signal.SIGKILL)
run_batch(
    list_images(photos), Variant("colours/1", describe_onnx(Path(model)), "onnxruntime"),
    Path(output), settings=BatchSettings(threads=1, batch=3, shard_images=4), progress=progress,
)
"""


def test_a_killed_run_is_picked_up_and_equals_an_uninterrupted_one(photos, detector, tmp_path):
    (photos / "01.png").write_bytes(b"not an image")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(photos), str(detector.path), str(tmp_path / "out"), "7"],
        timeout=600,
        check=False,
        capture_output=True,
    )
    assert killed.returncode == -9, killed.stderr
    assert not (tmp_path / "out").exists()
    (finished,) = (tmp_path / ".out.work").glob("*/*/images.parquet")
    before = pq.read_table(finished).to_pandas()

    seen, told = [], []
    listeners = {
        "progress": lambda done, total: seen.append((done, total)),
        "resumed": lambda done, total: told.append((done, total)),
    }
    resumed = run(photos, detector, tmp_path / "out", **listeners)
    assert told == [(4, 10)]
    assert_same(
        resumed, run(photos, detector, tmp_path / "uninterrupted", resumed=listeners["resumed"])
    )
    assert told == [(4, 10)], "nothing was picked up"
    assert seen == [(7, 10), (8, 10), (10, 10)]
    # times included: not done a second time
    pd.testing.assert_frame_equal(tables(resumed)[0].head(4), before)
    assert leftovers(tmp_path / "out") == []


class Stop(Exception):
    pass


@pytest.mark.slow
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    count=st.integers(1, 10),
    shard=st.integers(1, 11),
    batch=st.integers(1, 4),
    stops=st.lists(st.integers(1, 10), max_size=3),
)
def test_a_run_stopped_anywhere_and_often_ends_the_same(
    photos, detector, tmp_path, count, shard, batch, stops
):
    output, whole = tmp_path / "out", tmp_path / "whole"
    for folder in (output, whole):
        shutil.rmtree(folder, ignore_errors=True)
    sources = list_images(photos)[:count]
    for stop in stops:

        def progress(done, _, stop=stop):
            if done >= stop:
                raise Stop

        try:
            run(sources, detector, output, shard_images=shard, batch=batch, progress=progress)
        except Stop:
            assert not output.exists()
    resumed = run(sources, detector, output, shard_images=shard, batch=batch)
    assert_same(resumed, run(sources, detector, whole, shard_images=shard, batch=batch))
    assert leftovers(output) == []


def test_a_shard_that_lost_a_file_is_done_again(photos, detector, tmp_path):
    def progress(done, _):
        if done >= 7:
            raise Stop

    with pytest.raises(Stop):
        run(photos, detector, tmp_path / "out", progress=progress)
    (finished,) = (tmp_path / ".out.work").glob("*/*/images.parquet")
    finished.unlink()
    assert_same(run(photos, detector, tmp_path / "out"), run(photos, detector, tmp_path / "whole"))


def test_the_same_call_again_returns_the_finished_run(photos, detector, tmp_path):
    first = run(photos, detector, tmp_path / "out")
    stamp = (tmp_path / "out" / "run.json").stat().st_mtime_ns
    again = run(photos, detector, tmp_path / "out", batch=1, decode_threads=1, shard_images=3)
    assert again == first
    assert (tmp_path / "out" / "run.json").stat().st_mtime_ns == stamp


def test_work_that_a_kill_left_beside_a_finished_run_is_removed(photos, detector, tmp_path):
    first = run(photos, detector, tmp_path / "out")
    (tmp_path / ".out.work" / "key" / "000000000-000000004").mkdir(parents=True)
    assert run(photos, detector, tmp_path / "out") == first
    assert leftovers(tmp_path / "out") == []


def test_a_finished_run_that_lost_a_table_is_made_again(photos, detector, tmp_path):
    first = run(photos, detector, tmp_path / "out")
    expected = steady(first)
    first.detections.unlink()
    again = run(photos, detector, tmp_path / "out")
    for a, b in zip(steady(again), expected, strict=True):
        pd.testing.assert_frame_equal(a, b)


@pytest.mark.parametrize(
    "change", [{"confidence": 0.9}, {"iou": 0.1}, {"name": "colours/2"}, {"backend": "openvino"}]
)
def test_another_setting_makes_the_run_anew(photos, detector, tmp_path, change):
    run(photos, detector, tmp_path / "out")
    stamp = (tmp_path / "out" / "run.json").stat().st_mtime_ns
    again = run(photos, detector, tmp_path / "out", **change)
    assert (tmp_path / "out" / "run.json").stat().st_mtime_ns > stamp
    assert_same(again, run(photos, detector, tmp_path / "fresh", **change))


def test_another_model_makes_the_run_anew(photos, detector, make_detector, tmp_path):
    run(photos, detector, tmp_path / "out")
    other = make_detector(crash_above=251)
    images, _ = tables(run(photos, other, tmp_path / "out"))
    assert set(images["artifact_sha256"]) == {other.sha256}


def test_a_changed_image_under_the_same_name_is_noticed(photos, detector, tmp_path):
    first = tables(run(photos, detector, tmp_path / "out"))[0]
    shutil.copyfile(photos / "04.png", photos / "07.png")
    again = tables(run(photos, detector, tmp_path / "out"))[0]
    assert again["sha256"][7] == first["sha256"][4] != first["sha256"][7]


def test_unfinished_work_of_other_settings_is_not_mixed_in(photos, detector, tmp_path):
    def progress(done, _):
        if done >= 7:
            raise Stop

    with pytest.raises(Stop):
        run(photos, detector, tmp_path / "out", confidence=0.9, progress=progress)
    assert leftovers(tmp_path / "out") == [".out.work"]
    assert_same(run(photos, detector, tmp_path / "out"), run(photos, detector, tmp_path / "fresh"))
    assert leftovers(tmp_path / "out") == []


def test_two_runs_on_one_output_are_refused(photos, detector, tmp_path):
    with exclusive(tmp_path / "out"), pytest.raises(ConfigError, match="another run"):
        run(photos, detector, tmp_path / "out")
    assert run(photos, detector, tmp_path / "out").processed == 10
