"""Results in parts: the same rows as in single files, whenever the run was killed."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contracts import InferenceRun, Variant
from components.errors import ConfigError, DatasetError
from components.images.sources import list_images
from components.inference import BatchSettings, run_batch
from components.inference.batch.settings import (
    PART_IMAGES,
    SHARD_IMAGES,
    SINGLE_FILE_IMAGES,
    RunOptions,
)
from components.inference.batch.shards import work_root
from components.runs.finished import load_run

VOLATILE = ["decode_ms", "preprocess_ms", "inference_ms", "postprocess_ms", "predicted_at"]
PARTS = [f"part-00000{number}.parquet" for number in range(3)]


def run(photos, artifact, output, parts=True, **listeners) -> InferenceRun:
    settings = BatchSettings(threads=1, batch=3, shard_images=4, parts=parts)
    model = Variant("colours/1", artifact, "onnxruntime")
    return run_batch(list_images(photos), model, output, settings=settings, **listeners)


def steady(done: InferenceRun) -> tuple[pa.Table, pa.Table]:
    images, detections = pq.read_table(done.images), pq.read_table(done.detections)
    return images.drop_columns(VOLATILE), detections


def test_parts_hold_the_rows_of_the_single_files_in_their_order(photos, detector, tmp_path):
    single, parts = (
        run(photos, detector, tmp_path / str(kind), parts=kind) for kind in (False, True)
    )
    assert (single.parts, parts.parts) == (0, 3)
    assert [path.name for path in sorted(parts.images.iterdir())] == PARTS
    assert [path.name for path in sorted(parts.detections.iterdir())] == PARTS
    for a, b in zip(steady(single), steady(parts), strict=True):
        assert a.equals(b)
    assert load_run(parts.folder) == parts
    assert not list(tmp_path.glob(".*"))


def test_the_size_of_a_run_decides_and_a_setting_goes_before_it():
    settings = BatchSettings()
    assert not settings.in_parts(SINGLE_FILE_IMAGES) and settings.in_parts(SINGLE_FILE_IMAGES + 1)
    assert settings.shard_size(10) == SHARD_IMAGES
    assert settings.shard_size(SINGLE_FILE_IMAGES + 1) == PART_IMAGES
    assert BatchSettings(parts=True).in_parts(1) and not BatchSettings(parts=True).in_parts(0)
    assert not BatchSettings(parts=False).in_parts(10**7)
    assert BatchSettings(parts=False).shard_size(10**7) == SHARD_IMAGES


def test_the_other_layout_is_made_when_it_is_asked_for_and_a_finished_run_is_taken_else(
    photos, detector, tmp_path
):
    parts = run(photos, detector, tmp_path / "out")
    assert run(photos, detector, tmp_path / "out", parts=None) == parts
    assert run(photos, detector, tmp_path / "out", parts=False).parts == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "detections.parquet",
        "images.parquet",
        "run.json",
    ]
    assert run(photos, detector, tmp_path / "out").parts == 3


def test_an_output_with_a_folder_of_pictures_is_not_replaced(photos, detector, tmp_path):
    (tmp_path / "out" / "images").mkdir(parents=True)
    (tmp_path / "out" / "images" / "mine.jpg").write_bytes(b"a picture")
    with pytest.raises(ConfigError, match="with images"):
        run(photos, detector, tmp_path / "out")
    assert (tmp_path / "out" / "images" / "mine.jpg").exists()


@pytest.mark.parametrize("table", ["images", "detections"])
@pytest.mark.parametrize("left", [None, 0, 30])
def test_a_finished_run_with_a_damaged_part_is_made_again(photos, detector, tmp_path, table, left):
    first = run(photos, detector, tmp_path / "out")
    part = tmp_path / "out" / table / PARTS[1]
    part.unlink() if left is None else os.truncate(part, left)
    with pytest.raises(DatasetError, match=f"{table}/{PARTS[1]}"):
        load_run(tmp_path / "out")
    again = run(photos, detector, tmp_path / "out")
    assert (again.processed, again.parts) == (first.processed, 3)
    assert len(pq.read_table(again.images)) == 10


class Stop(Exception):
    pass


def test_a_shard_with_the_rows_of_another_is_named_and_made_again(photos, detector, tmp_path):
    def stop(done, _):
        if done >= 7:
            raise Stop

    with pytest.raises(Stop):
        run(photos, detector, tmp_path / "out", progress=stop)
    (finished,) = work_root(tmp_path / "out").glob("*/*/images.parquet")
    pq.write_table(pq.read_table(finished).slice(1), finished)
    with pytest.raises(DatasetError, match=r"3 rows in place of 4.*run it again"):
        run(photos, detector, tmp_path / "out")
    assert len(pq.read_table(run(photos, detector, tmp_path / "out").images)) == 10


KILLED = """
import os, signal, sys
from pathlib import Path
from components.backends import describe_onnx
from components.images.sources import list_images
from components.contracts import Variant
from components.inference import BatchSettings, run_batch

photos, model, output, event, number = sys.argv[1:]
seen = 0
def watch(name, _):
    global seen
    seen += name == event
    if name == event and seen == int(number):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
run_batch(
    list_images(photos), Variant("colours/1", describe_onnx(Path(model)), "onnxruntime"),
    Path(output), settings=BatchSettings(threads=1, batch=3, shard_images=4, parts=True),
)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("event", "number"), [("os.link", 1), ("os.link", 5), ("os.rename", 2), ("os.rename", 7)]
)
def test_a_run_killed_while_it_is_published_keeps_its_shards(
    photos, detector, tmp_path, event, number
):
    arguments = [str(photos), str(detector.path), str(tmp_path / "out"), event, str(number)]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], check=False, capture_output=True, timeout=600
    )
    assert killed.returncode == -9, killed.stderr
    assert not (tmp_path / "out").exists()
    held = {path.parent.name for path in work_root(tmp_path / "out").glob("*/*/shard.json")}
    seen: list[int] = []
    done = run(photos, detector, tmp_path / "out", progress=lambda at, _: seen.append(at))
    assert bool(seen) == (len(held) < 3), "a finished shard is not done a second time"
    for a, b in zip(steady(done), steady(run(photos, detector, tmp_path / "whole")), strict=True):
        assert a.equals(b)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("threads", -1, "threads from 0 to 1024, found -1"),
        ("threads", 5000, "found 5000"),
        ("batch", 0, "batch from 1 to 4096, found 0"),
        ("decode_threads", 0, "decode_threads from 1 to 256, found 0"),
    ],
)
def test_a_number_out_of_range_is_one_line(name, value, found):
    with pytest.raises(ConfigError, match=found) as raised:
        RunOptions(**{name: value})
    assert "\n" not in str(raised.value)


def test_options_that_are_not_given_leave_the_settings_as_they_are():
    settings = BatchSettings(device="gpu", threads=3, keep_going=True)
    assert RunOptions().over(settings) == settings
    assert RunOptions(threads=0, batch=2).over(settings) == BatchSettings(
        device="gpu", threads=0, batch=2, keep_going=True
    )


def test_every_reader_takes_parts(photos, detector, tmp_path):
    from components.monitoring.drift.tables import read_window
    from components.monitoring.report.findings import class_names
    from components.monitoring.report.quality import read_quality
    from components.monitoring.store.store import MonitoringStore

    (photos / "03.png").write_bytes(b"no image")
    single, parts = (
        run(photos, detector, tmp_path / str(kind), parts=kind) for kind in (False, True)
    )
    one, other = (read_window(done) for done in (single, parts))
    assert one.failed == other.failed == 1
    for name, values in one.columns.items():
        np.testing.assert_array_equal(values, other.columns[name])
    assert class_names(single) == class_names(parts)
    qualities = [read_quality(done) for done in (single, parts)]
    assert [(quality.rows, quality.failed) for quality in qualities] == [(10, 1), (10, 1)]
    for done in (single, parts):
        store = MonitoringStore(tmp_path / f"store-{done.parts}")
        store.append(done)
        assert len(store.images("colours")) == 10
        assert len(store.detections("colours")) == len(pq.read_table(single.detections))


def test_a_served_model_is_run_as_the_options_say(photos, detector, tmp_path, monkeypatch):
    from components.contracts import Budget, Precision, Target
    from flows.config.batch_inference import BatchConfig
    from flows.config.release import Thresholds
    from flows.tasks.predict import Served

    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path / "root"))
    monkeypatch.delenv("FOVEAL_DASK", raising=False)
    form = BatchConfig(
        model="colours",
        images="photos",
        threads=1,
        decode_threads=1,
        batch=2,
        parts=True,
        cache_mb=9,
    )
    assert form.options() == RunOptions(None, 1, 2, 1, parts=True, cache_mb=9)
    target = Target("test", "", ("onnxruntime",), "cpu", 2, (Precision.FP32,), Budget())
    served = Served(
        detector, "onnxruntime", target, "colours/1", Thresholds(), options=form.options()
    )
    done = served.run(list_images(photos), tmp_path / "out")
    assert (done.processed, done.parts) == (10, 1)
    kept = [path for path in (tmp_path / "root/cache/inputs").rglob("*") if path.is_file()]
    assert len(kept) == 10


@pytest.mark.parametrize(
    "given",
    [{"threads": -1}, {"batch": 0}, {"decode_threads": 999}, {"cache_mb": -1}, {"device": ""}],
)
def test_a_form_with_a_number_out_of_range_is_one_line(given):
    from flows.config.base import validate_config
    from flows.config.batch_inference import BatchConfig

    with pytest.raises(ConfigError, match=next(iter(given))) as raised:
        validate_config({"model": "m", "images": "i", **given}, BatchConfig, source="the form")
    assert "\n" not in str(raised.value)
