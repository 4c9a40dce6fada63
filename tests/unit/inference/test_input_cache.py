"""The cache of pre-processed inputs: equal results, bounded, whole entries only."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.contracts import Fit, ImageFrame, InferenceRun, Variant, VisionSpec
from components.errors import ConfigError
from components.images.sources import list_images
from components.inference import BatchSettings, run_batch
from components.inference.batch.input_cache import InputCache
from components.vision import task_for

VOLATILE = ["decode_ms", "preprocess_ms", "inference_ms", "postprocess_ms", "predicted_at"]
FRAME = ImageFrame(64, 48, 0.5, 0.5, 0.0, 4.0)
TASK = task_for(VisionSpec("detect", ("thing",), (32, 32), Fit.LETTERBOX, "yolo"))


def pixels(seed: int, side: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def run(photos: Path, artifact, output: Path, cache: Path | None) -> InferenceRun:
    settings = BatchSettings(threads=1, batch=3, cache_folder=cache, cache_mb=50 if cache else 0)
    model = Variant("colours/1", artifact, "onnxruntime")
    return run_batch(list_images(photos), model, output, settings=settings)


def assert_equal(one: InferenceRun, other: InferenceRun) -> None:
    a, b = (pq.read_table(done.images).drop_columns(VOLATILE) for done in (one, other))
    assert a.equals(b)
    assert pq.read_table(one.detections).equals(pq.read_table(other.detections))
    assert one.failures == other.failures


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def times(done: InferenceRun) -> list[float]:
    return pq.read_table(done.images)["preprocess_ms"].to_pylist()


def test_results_are_equal_with_and_without(photos, detector, tmp_path):
    (photos / "03.png").write_bytes(b"no image")
    plain = run(photos, detector, tmp_path / "plain", None)
    first = run(photos, detector, tmp_path / "first", tmp_path / "cache")
    assert len(entries(tmp_path / "cache")) == 9, "what cannot be read is not kept"
    again = run(photos, detector, tmp_path / "again", tmp_path / "cache")
    assert_equal(plain, first)
    assert_equal(plain, again)
    taken = [ms == 0.0 for ms in times(again) if ms is not None]
    assert taken == [True] * 9 and not any(ms == 0.0 for ms in times(first))


@pytest.mark.parametrize(
    "damage", [lambda _: b"", lambda whole: whole[:-9], lambda whole: whole[::-1]]
)
def test_a_damaged_entry_is_made_again(photos, detector, tmp_path, damage):
    plain = run(photos, detector, tmp_path / "plain", tmp_path / "cache")
    before = {path: path.read_bytes() for path in entries(tmp_path / "cache")}
    for path, whole in before.items():
        path.write_bytes(damage(whole))
    assert_equal(plain, run(photos, detector, tmp_path / "again", tmp_path / "cache"))
    assert {path: path.read_bytes() for path in entries(tmp_path / "cache")} == before


def test_another_content_or_fit_is_another_entry(tmp_path):
    other = task_for(VisionSpec("detect", ("thing",), (32, 32), Fit.STRETCH, "yolo"))
    cache, stretched = (InputCache(tmp_path, task, 10**7) for task in (TASK, other))
    cache.put("a", (pixels(1), FRAME), {"contrast": 0.1})
    assert cache.get("b") is None and stretched.get("a") is None
    found = InputCache(tmp_path, TASK, 10**7).get("a")
    assert found is not None
    np.testing.assert_array_equal(found[0][0], pixels(1))
    assert (found[0][1], found[1]) == (FRAME, {"contrast": 0.1})


def test_the_least_recently_used_go_and_the_bound_holds(tmp_path):
    limit = 200_000
    cache = InputCache(tmp_path, TASK, limit)
    for number in range(150):
        cache.put(f"{number}", (pixels(number), FRAME), {})
        found = cache.get("0")
        assert found is not None, "what is used stays"
        for place in entries(tmp_path):  # as if time had passed since
            stamp = place.stat().st_mtime - 10
            os.utime(place, (stamp, stamp))
        assert cache.get("0") is not None
        assert sum(path.stat().st_size for path in entries(tmp_path)) <= limit
    kept = [number for number in range(150) if cache.get(f"{number}") is not None]
    assert kept[0] == 0 and kept[1:] == list(range(kept[1], 150))
    assert 30 <= len(kept) <= 65


def test_an_entry_larger_than_a_twentieth_is_not_kept(tmp_path):
    cache = InputCache(tmp_path, TASK, 20_000)
    cache.put("a", (pixels(1), FRAME), {})
    assert entries(tmp_path) == []


def test_an_image_beyond_the_limit_of_pixels_is_not_taken(tmp_path, monkeypatch):
    cache = InputCache(tmp_path, TASK, 10**7)
    cache.put("a", (pixels(1), FRAME), {})
    monkeypatch.setenv("FOVEAL_MAX_MEGAPIXELS", "0.001")
    assert cache.get("a") is None


def test_what_a_killed_process_left_aside_is_removed_once_it_is_old(tmp_path):
    for name, age in ((".old", 7200), (".new", 0)):
        (tmp_path / "ab").mkdir(exist_ok=True)
        (tmp_path / "ab" / name).write_bytes(b"half")
        stamp = (tmp_path / "ab" / name).stat().st_mtime - age
        os.utime(tmp_path / "ab" / name, (stamp, stamp))
    InputCache(tmp_path, TASK, 10**7).put("a", (pixels(1), FRAME), {})
    assert [path.name for path in entries(tmp_path) if path.name.startswith(".")] == [".new"]


def test_a_folder_that_takes_nothing_costs_only_the_cache(photos, detector, tmp_path):
    (tmp_path / "cache").write_text("a file")
    plain = run(photos, detector, tmp_path / "plain", None)
    assert_equal(plain, run(photos, detector, tmp_path / "again", tmp_path / "cache"))


def test_threads_and_processes_share_a_folder(tmp_path):
    child = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from test_input_cache import fill; fill(Path(sys.argv[1]))"
    )
    arguments = [sys.executable, "-c", child, str(tmp_path), str(Path(__file__).parent)]
    processes = [subprocess.Popen(arguments) for _ in range(2)]
    threads = [threading.Thread(target=fill, args=(tmp_path,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait(300) for process in processes] == [0, 0]
    assert sum(path.stat().st_size for path in entries(tmp_path)) <= 200_000 * 1.2


def fill(folder: Path) -> None:
    """Write and read entries, each of which must be whole."""
    cache = InputCache(folder, TASK, 200_000)
    for number in range(120):
        cache.put(f"{number}", (pixels(number), FRAME), {})
        found = cache.get(f"{number // 2}")
        if found is not None:
            np.testing.assert_array_equal(found[0][0], pixels(number // 2))


def test_a_bound_below_nothing_is_refused():
    with pytest.raises(ConfigError, match="cache_mb from 0 to"):
        BatchSettings(cache_mb=-1)
