"""What a batch run writes of each image, and what it refuses."""

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from components.backends import get_backend
from components.errors import ConfigError, DatasetError, UnavailableError
from components.files import sha256_file
from components.images.reading import read_image
from components.images.sources import ImageSource, list_images
from components.images.statistics import IMAGE_COLUMNS, STATISTICS_RECIPE, image_statistics
from components.runs.finished import load_run
from components.vision import task_for
from tests.unit.inference.batch.batches import assert_same, leftovers, run, steady, tables


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
