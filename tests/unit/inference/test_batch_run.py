import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.backends import get_backend
from components.contracts import InferenceRun, Variant
from components.errors import ConfigError, DatasetError, ModelError, UnavailableError
from components.files import sha256_file, sha256_json
from components.images.lists.image_table import list_with_columns
from components.images.reading import read_image
from components.images.sources import ImageSource, fingerprint, list_images
from components.images.statistics import IMAGE_COLUMNS, STATISTICS_RECIPE, image_statistics
from components.inference import BatchSettings, run_batch
from components.inference.batch.planning import run_key
from components.inference.lock import exclusive
from components.runs.finished import load_run
from components.vision import task_for

VOLATILE = ["decode_ms", "preprocess_ms", "inference_ms", "postprocess_ms", "predicted_at"]


def run(source, artifact, output, **changes) -> InferenceRun:
    options = {
        "backend": "onnxruntime",
        "name": "colours/1",
        "threads": 1,
        "batch": 3,
        "shard_images": 4,
        **changes,
    }
    model, listeners = (
        {name: options.pop(name) for name in names if name in options}
        for names in (("name", "backend", "confidence", "iou"), ("progress", "resumed"))
    )
    sources = list_images(source) if isinstance(source, Path | str) else source
    settings = BatchSettings(**options)
    return run_batch(
        sources, Variant(artifact=artifact, **model), output, settings=settings, **listeners
    )


def tables(run: InferenceRun) -> tuple[pd.DataFrame, pd.DataFrame]:
    return pq.read_table(run.images).to_pandas(), pq.read_table(run.detections).to_pandas()


def steady(run: InferenceRun) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables without what differs from run to run."""
    images, detections = tables(run)
    return images.drop(columns=VOLATILE), detections


def assert_same(one: InferenceRun, other: InferenceRun) -> None:
    for a, b in zip(steady(one), steady(other), strict=True):
        pd.testing.assert_frame_equal(a, b, check_exact=True)
    assert (one.processed, one.failures) == (other.processed, other.failures)


def leftovers(output: Path) -> list[str]:
    return [path.name for path in output.parent.glob(f".*{output.name}*")]


def white(path: Path) -> Path:
    cv2.imwrite(str(path), np.full((40, 40, 3), 255, np.uint8))
    return path


def test_every_image_is_a_row_in_the_order_of_the_sources(photos, detector, tmp_path):
    sources = list_images(photos)[::-1]
    result = run(sources, detector, tmp_path / "out", decode_threads=4)
    images, _ = tables(result)
    assert images["image_id"].tolist() == [f"{number:02d}.png" for number in reversed(range(10))]
    assert images["uri"].tolist() == [source.uri for source in sources]
    assert (images["status"] == "ok").all() and images["error"].isna().all()
    assert (result.processed, result.failures, result.model) == (10, (), "colours/1")
    assert result.statistics_recipe == STATISTICS_RECIPE
    assert result.seconds > 0
    assert leftovers(tmp_path / "out") == []


def test_a_row_tells_the_file_the_statistics_the_provenance_and_the_times(
    photos, detector, tmp_path
):
    images, _ = tables(run(photos, detector, tmp_path / "out"))
    row, path = images.iloc[4], photos / "04.png"
    assert row["sha256"] == sha256_file(path)
    assert row["file_bytes"] == path.stat().st_size
    expected = image_statistics(read_image(path))
    assert [row[name] for name in IMAGE_COLUMNS] == list(expected.values())
    assert (row["width"], row["height"]) == (40, 40)
    assert (row["artifact_sha256"], row["backend"], row["model"]) == (
        detector.sha256,
        "onnxruntime",
        "colours/1",
    )
    assert row["statistics_recipe"] == STATISTICS_RECIPE
    assert (images[["decode_ms", "preprocess_ms", "inference_ms", "postprocess_ms"]] > 0).all(
        axis=None
    )
    assert str(images["predicted_at"].dt.tz) == "UTC"


def test_rows_hold_what_the_model_says_of_each_image_alone(photos, detector, tmp_path):
    images, detections = tables(run(photos, detector, tmp_path / "out", confidence=0.55))
    task = task_for(detector.spec, confidence=0.55)
    with get_backend("onnxruntime").open(detector) as session:
        for path in sorted(photos.iterdir()):
            fitted, frame = task.preprocess(read_image(path))
            (alone,) = task.postprocess(session.run(fitted[None]), [frame])
            rows = detections[detections["image_id"] == path.name]
            assert rows["detection"].tolist() == list(range(len(alone)))
            np.testing.assert_array_equal(rows[["x1", "y1", "x2", "y2"]].to_numpy(), alone.xyxy)
            np.testing.assert_array_equal(rows["confidence"].to_numpy(), alone.scores)
            assert rows["class_id"].tolist() == alone.class_ids.tolist()
            assert rows["class_name"].tolist() == [
                detector.spec.class_names[k] for k in alone.class_ids
            ]
            row = images[images["image_id"] == path.name].iloc[0]
            for name, value in task.drift_columns([alone], [frame]).items():
                np.testing.assert_equal(row[name], value[0])
    assert 0 < len(detections) < 40


def test_a_classifier_gives_its_best_classes_without_boxes(photos, make_classifier, tmp_path):
    artifact = make_classifier(class_names=("blue", "green", "red"))
    images, detections = tables(run(photos, artifact, tmp_path / "out"))
    assert len(detections) == 3 * len(images)
    first = detections[detections["detection"] == 0]
    assert first["class_id"].tolist() == images["prediction_class"].tolist()
    assert detections.groupby("image_id")["confidence"].sum().tolist() == pytest.approx(
        [1] * len(images)
    )
    assert detections[["x1", "y1", "x2", "y2"]].isna().all(axis=None)


def test_each_row_holds_the_embedding_of_its_image(photos, make_classifier, tmp_path):
    artifact = make_classifier(embedding=True)
    (photos / "02.png").write_bytes(b"no image")
    cv2.imwrite(str(photos / "05.png"), np.zeros((40, 40, 3), np.uint8))
    images, _ = tables(run(photos, artifact, tmp_path / "out"))
    assert images.loc[images["embedding"].isna(), "image_id"].tolist() == ["02.png", "05.png"]
    assert images.loc[5, "status"] == "ok", "an embedding that is no number costs nothing else"
    task = task_for(artifact.spec)
    with get_backend("onnxruntime").open(artifact) as session:
        for _, row in images.dropna(subset="embedding").iterrows():
            fitted, _ = task.preprocess(read_image(row["uri"]))
            np.testing.assert_allclose(row["embedding"], session.run(fitted[None])[1][0], rtol=1e-5)


def test_a_model_without_embedding_has_an_empty_column(photos, detector, tmp_path):
    images = pq.read_table(run(photos, detector, tmp_path / "out").images)
    assert (
        str(images.schema.field("embedding").type).startswith("list<")
        and images["embedding"].null_count == 10
    )


def test_an_unreadable_image_is_a_row_and_a_failure_and_costs_nothing_else(
    photos, detector, tmp_path
):
    whole = run(photos, detector, tmp_path / "whole")
    (photos / "02.png").write_bytes((photos / "02.png").read_bytes()[:60])
    (photos / "05.png").unlink()
    sources = [
        ImageSource(f"{number:02d}.png", str(photos / f"{number:02d}.png")) for number in range(10)
    ]
    result = run(sources, detector, tmp_path / "broken")
    images, detections = steady(result)
    bad = images["image_id"].isin(["02.png", "05.png"])
    assert [failure.image_id for failure in result.failures] == ["02.png", "05.png"]
    assert result.processed == 8
    assert (images.loc[bad, "status"] == "error").all()
    assert images.loc[bad, "error"].tolist() == [failure.error for failure in result.failures]
    assert (
        images.loc[bad, ["brightness", "prediction_count", "prediction_top_class"]]
        .isna()
        .all(axis=None)
    )
    assert images.loc[2, "file_bytes"] == 60
    assert images.loc[bad, "sha256"].isna().tolist() == [False, True]
    expected_images, expected_detections = steady(whole)
    pd.testing.assert_frame_equal(images[~bad], expected_images[~bad], check_dtype=False)
    kept = ~expected_detections["image_id"].isin(["02.png", "05.png"])
    pd.testing.assert_frame_equal(detections, expected_detections[kept].reset_index(drop=True))


def test_only_the_image_that_the_engine_fails_on_is_an_error(photos, detector, tmp_path):
    whole = run(photos, detector, tmp_path / "whole")
    white(photos / "04.png")
    result = run(photos, detector, tmp_path / "broken")
    assert [failure.image_id for failure in result.failures] == ["04.png"]
    assert "onnxruntime" in result.failures[0].error
    images, _ = steady(result)
    ok = images["status"] == "ok"
    pd.testing.assert_frame_equal(images[ok], steady(whole)[0][ok], check_dtype=False)
    assert images.loc[~ok, "brightness"].tolist() == [255.0]


def test_an_image_whose_output_is_not_a_number_failed_and_is_not_empty(photos, detector, tmp_path):
    cv2.imwrite(str(photos / "04.png"), np.zeros((32, 32, 3), np.uint8))
    result = run(photos, detector, tmp_path / "out")
    assert [failure.image_id for failure in result.failures] == ["04.png"]
    assert "finite" in result.failures[0].error


def test_an_engine_that_fails_on_everything_raises_early_and_leaves_nothing(
    photos, make_detector, tmp_path
):
    seen = []
    with pytest.raises(ModelError, match="fail"):
        run(
            photos,
            make_detector(crash_above=-1),
            tmp_path / "out",
            progress=lambda done, _: seen.append(done),
        )
    assert max(seen) == 4  # one shard was enough to know
    assert not (tmp_path / "out").exists() and leftovers(tmp_path / "out") == []


def test_an_engine_that_fails_on_every_image_alike_raises_and_leaves_nothing(tmp_path, detector):
    """It does run a grey image, so only the whole run tells."""
    (tmp_path / "photos").mkdir()
    for number in range(6):
        white(tmp_path / "photos" / f"{number}.png")
    with pytest.raises(ModelError, match="6 of 6"):
        run(tmp_path / "photos", detector, tmp_path / "out")
    assert not (tmp_path / "out").exists() and leftovers(tmp_path / "out") == []


def test_a_shard_of_bad_images_after_good_ones_does_not_stop_the_run(photos, detector, tmp_path):
    for number in range(4, 8):
        white(photos / f"{number:02d}.png")
    result = run(photos, detector, tmp_path / "out")
    assert (result.processed, len(result.failures)) == (6, 4)


@pytest.mark.parametrize("kind", ["none", "unreadable"])
def test_tables_have_the_same_columns_and_types_when_nothing_was_predicted(
    photos, detector, tmp_path, kind
):
    full = run(photos, detector, tmp_path / "full")
    sources = [] if kind == "none" else [ImageSource("gone", str(tmp_path / "gone.jpg"))]
    bare = run(sources, detector, tmp_path / "bare")
    assert pq.read_schema(bare.images).equals(pq.read_schema(full.images))
    assert pq.read_schema(bare.detections).equals(pq.read_schema(full.detections))
    assert pq.read_metadata(bare.images).num_rows == len(bare.failures) == len(sources)
    assert load_run(bare.folder) == bare


def test_results_do_not_depend_on_threads_or_shards(photos, detector, tmp_path):
    one = run(photos, detector, tmp_path / "one", decode_threads=1, shard_images=1)
    other = run(photos, detector, tmp_path / "other", decode_threads=5, shard_images=100)
    assert_same(one, other)


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


def test_a_run_inside_a_run_on_the_same_output_is_refused(photos, detector, tmp_path):
    refused = []

    def progress(done, _):
        with pytest.raises(ConfigError, match="another run"):
            run(photos, detector, tmp_path / "out")
        refused.append(done)

    assert run(photos, detector, tmp_path / "out", progress=progress).processed == 10
    assert refused[-1] == 10


def test_a_folder_that_holds_other_things_is_never_replaced(photos, detector, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match=r"thesis\.txt"):
        run(photos, detector, output)
    assert (output / "thesis.txt").read_text() == "years of work"
    assert leftovers(output) == []


def test_a_file_is_not_taken_for_an_output_folder(photos, detector, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ConfigError, match="a file"):
        run(photos, detector, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "a file"


def test_progress_counts_every_image_once(photos, detector, tmp_path):
    seen = []
    run(photos, detector, tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(3, 10), (4, 10), (7, 10), (8, 10), (10, 10)]


def test_images_are_read_from_a_store(photos, detector, tmp_path):
    import fsspec

    store = fsspec.filesystem("memory")
    for path in photos.iterdir():
        store.pipe_file(f"/colours/{path.name}", path.read_bytes())
    try:
        images, detections = steady(run("memory://colours", detector, tmp_path / "remote"))
    finally:
        store.rm("/colours", recursive=True)
    local_images, local_detections = steady(run(photos, detector, tmp_path / "local"))
    pd.testing.assert_frame_equal(images.drop(columns="uri"), local_images.drop(columns="uri"))
    pd.testing.assert_frame_equal(detections, local_detections)


def test_a_backend_that_is_not_here_raises_and_leaves_nothing(photos, detector, tmp_path):
    with pytest.raises(UnavailableError):
        run(photos, detector, tmp_path / "out", device="nowhere")
    assert not (tmp_path / "out").exists() and leftovers(tmp_path / "out") == []


@pytest.mark.parametrize(
    "change", [{"batch": 0}, {"shard_images": 0}, {"decode_threads": 0}, {"confidence": 1.5}]
)
def test_numbers_out_of_range_are_refused(photos, detector, tmp_path, change):
    with pytest.raises(ConfigError):
        run(photos, detector, tmp_path / "out", **change)


def test_two_images_with_one_id_are_refused(photos, detector, tmp_path):
    sources = [
        ImageSource("same", str(photos / "00.png")),
        ImageSource("same", str(photos / "01.png")),
    ]
    with pytest.raises(DatasetError, match="same"):
        run(sources, detector, tmp_path / "out")


def listed(photos, tmp_path, **columns) -> Path:
    """Write a list of the photos in the opposite order, with columns."""
    paths = [str(path) for path in sorted(photos.iterdir(), reverse=True)]
    ids = [Path(path).name for path in paths]
    pq.write_table(pa.table({"path": paths, "image_id": ids, **columns}), tmp_path / "list.parquet")
    return tmp_path / "list.parquet"


def test_the_columns_of_a_list_appear_beside_their_images(photos, detector, tmp_path):
    place = listed(photos, tmp_path, site=pa.array(range(9, -1, -1), pa.int8()))
    result = run(list_with_columns(place), detector, tmp_path / "out")
    images = pq.read_table(result.images)
    assert images["site"].to_pylist() == list(range(10))
    assert images.schema.names[-1] == "site" and images.schema.types[-1] == pa.int8()
    plain = run(photos, detector, tmp_path / "plain")
    pd.testing.assert_frame_equal(steady(result)[0].drop(columns="site"), steady(plain)[0])


def test_other_values_of_a_lists_column_make_the_run_anew(photos, detector, tmp_path):
    for first in (0, 1):
        place = listed(photos, tmp_path, site=[first, *range(9)])
        result = run(list_with_columns(place), detector, tmp_path / "out")
        assert pq.read_table(result.images)["site"].to_pylist()[-1] == first


def test_a_list_with_a_column_of_the_results_is_refused_before_anything_runs(
    photos, detector, tmp_path
):
    place = listed(photos, tmp_path, status=["new"] * 10, site=[1] * 10)
    with pytest.raises(DatasetError, match="found status; rename"):
        run(list_with_columns(place), detector, tmp_path / "out", progress=pytest.fail)
    assert not (tmp_path / "out").exists() and leftovers(tmp_path / "out") == []


def test_a_key_does_not_depend_on_how_it_is_streamed(photos, detector):
    sources = list_images(photos)
    whole = sha256_json(
        [{"a": 1}, asdict(detector.spec), [fingerprint(source) for source in sources]]
    )
    assert run_key({"a": 1}, detector.spec, sources) == whole
