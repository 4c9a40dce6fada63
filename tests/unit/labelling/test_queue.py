"""Which images people are asked about: drifted, uncertain ones, not copies of one scene."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import DatasetError
from components.labelling import rank_for_labels, rank_run_for_labels
from components.monitoring import build_reference

NIGHT = 20.0


@pytest.fixture
def reference(write_run, ordinary, tmp_path):
    return build_reference(write_run(ordinary(200, 1)), tmp_path / "reference.parquet")


def rows(columns, **more) -> pa.Table:
    """Columns as the monitoring store holds them."""
    count = len(columns["brightness"])
    named = {
        "image_id": [f"cam/{k}.jpg" for k in range(count)],
        "uri": [f"/in/cam/{k}.jpg" for k in range(count)],
        "sha256": [f"{k:064x}" for k in range(count)],
        "status": ["ok"] * count,
        "model": ["digits/3"] * count,
        "statistics_recipe": [2] * count,
        "window": ["w1"] * count,
        "predicted_at": [datetime(2026, 11, 1, tzinfo=UTC)] * count,
    }
    return pa.table(
        {**{name: pa.array(values) for name, values in columns.items()}, **named, **more}
    )


def detections(*found: tuple[int, int, str, float, tuple[float, ...] | None]) -> pa.Table:
    columns = {
        "image_id": [f"cam/{image}.jpg" for image, *_ in found],
        "window": ["w1"] * len(found),
    }
    columns |= {
        "detection": [number for _, number, *_ in found],
        "class_name": [name for *_, name, _, _ in found],
    }
    columns |= {"confidence": [confidence for *_, confidence, _ in found]}
    boxes = [box or (None,) * 4 for *_, box in found]
    columns |= {name: [box[k] for box in boxes] for k, name in enumerate(("x1", "y1", "x2", "y2"))}
    texts, numbers = ("image_id", "window", "class_name"), ("confidence", "x1", "y1", "x2", "y2")
    kinds = (
        dict.fromkeys(texts, pa.string())
        | dict.fromkeys(numbers, pa.float64())
        | {"detection": pa.int32()}
    )
    return pa.table({name: pa.array(values, kinds[name]) for name, values in columns.items()})


def place(image) -> int:
    return int(image.sha256, 16)


def test_drifted_images_of_which_the_model_is_unsure_come_first(reference, ordinary):
    columns = ordinary(160, 2)
    columns["brightness"][:80] = np.random.default_rng(3).normal(NIGHT, 3, 80)
    columns["prediction_confidence_mean"] = np.where(np.arange(160) % 2, 0.99, 0.4)
    queue = rank_for_labels(rows(columns), detections(), reference, size=30)
    assert len(queue) == 30
    assert sum(place(image) < 80 and place(image) % 2 == 0 for image in queue) >= 24
    assert [image.score for image in queue[:1]] == [max(image.score for image in queue)]
    assert all(
        0 <= value <= 1
        for image in queue
        for value in (image.drift, image.uncertainty, image.score)
    )
    assert min(image.drift for image in queue if place(image) < 80) > 0.9


def test_a_hundred_copies_of_one_scene_are_queued_once(reference, ordinary):
    columns = ordinary(120, 4)
    rng = np.random.default_rng(0)
    for name, values in columns.items():
        if name != "prediction_top_class":
            values[:100] = values[0] * (1 + rng.normal(0, 1e-4, 100))
    columns["prediction_confidence_mean"][:100] = 0.1
    columns["brightness"][:100] = 250.0
    queue = rank_for_labels(rows(columns), detections(), reference, size=60)
    copies = [image for image in queue if place(image) < 100]
    assert place(queue[0]) < 100 and len(copies) == 1
    assert len(queue) == 21, "a shorter queue rather than copies"


def test_images_in_which_nothing_was_seen_count_as_uncertain(reference, ordinary):
    columns = ordinary(100, 5)
    columns["prediction_confidence_mean"][:50] = 0.95
    columns["prediction_confidence_mean"][50:] = np.nan
    columns["prediction_count"][50:] = 0
    queue = rank_for_labels(rows(columns), detections(), reference, size=25)
    assert all(place(image) >= 50 for image in queue)


def test_what_is_queued_already_is_not_queued_again_nor_are_its_likes(reference, ordinary):
    columns = ordinary(60, 6)
    for values in columns.values():
        values[1] = values[0]
    table = rows(columns)
    first = rank_for_labels(table, detections(), reference, size=20)
    known = {image.sha256 for image in first} | {f"{0:064x}"}
    later = rank_for_labels(table, detections(), reference, size=60, known=known)
    assert known.isdisjoint(image.sha256 for image in later)
    assert 1 not in [place(image) for image in later], "it shows what 0 shows"
    assert len(later) == 60 - len(known | {f"{1:064x}"})
    everything = {f"{k:064x}" for k in range(60)}
    assert rank_for_labels(table, detections(), reference, size=60, known=everything) == ()


def test_the_same_rows_give_the_same_queue(reference, ordinary):
    table = rows(ordinary(80, 7))
    assert rank_for_labels(table, detections(), reference, size=20) == rank_for_labels(
        table, detections(), reference, size=20
    )


def test_prelabels_are_shares_of_the_upright_image(reference, ordinary):
    columns = ordinary(60, 8)
    columns["width"][:] = 200
    columns["height"][:] = 100
    found = detections((3, 0, "cat", 0.9, (20, 10, 60, 50)), (3, 1, "dog", 0.3, (0, 0, 200, 100)))
    queue = {
        place(image): image for image in rank_for_labels(rows(columns), found, reference, size=60)
    }
    cat, dog = queue[3].prelabels
    assert (cat.class_name, cat.box, dog.class_name, dog.box) == (
        "cat",
        (0.1, 0.1, 0.3, 0.5),
        "dog",
        (0, 0, 1, 1),
    )
    assert (queue[3].width, queue[3].height, queue[4].prelabels) == (200, 100, ())


def test_of_a_classification_the_most_probable_class_is_the_prelabel(write_run, ordinary, tmp_path):
    def columns(seed: int):
        return {
            name: values
            for name, values in ordinary(60, seed).items()
            if not name.startswith("prediction")
        } | {"prediction_margin": np.linspace(0.05, 0.95, 60)}

    reference = build_reference(write_run(columns(1)), tmp_path / "reference.parquet")
    found = detections((0, 0, "cat", 0.6, None), (0, 1, "dog", 0.4, None))
    queue = {
        place(image): image
        for image in rank_for_labels(rows(columns(2)), found, reference, size=60)
    }
    assert [(label.class_name, label.box) for label in queue[0].prelabels] == [("cat", None)]
    assert queue[0].uncertainty == pytest.approx(0.95)


def test_failed_images_are_not_queued_and_the_latest_row_of_an_image_counts(reference, ordinary):
    table = rows(
        ordinary(60, 9),
        status=["error"] * 20 + ["ok"] * 40,
        sha256=[f"{k // 2:064x}" for k in range(60)],
    )
    queue = rank_for_labels(table, detections(), reference, size=60)
    assert sorted(int(image.image_id[4:-4]) for image in queue) == list(range(21, 60, 2))
    nothing = rows(ordinary(60, 9), status=["error"] * 60)
    with pytest.raises(DatasetError, match="images with a prediction"):
        rank_for_labels(nothing, detections(), reference, size=5)


def test_a_window_of_one_image_can_be_queued(reference, ordinary):
    (image,) = rank_for_labels(rows(ordinary(1, 10)), detections(), reference, size=5)
    assert 0 <= image.score <= 1


def test_a_run_is_ranked_as_the_store_would_rank_its_rows(write_run, ordinary, reference):
    columns = ordinary(60, 2, brightness=np.linspace(NIGHT, 100, 60))
    named = rows(columns).drop_columns(["window", "status", *columns])
    run = write_run(
        {**columns, **{name: named[name].combine_chunks() for name in named.column_names}}
    )
    seen = detections((0, 0, "cat", 0.9, (0.0, 0.0, 10.0, 10.0)))
    pq.write_table(seen.drop_columns(["window"]), run.detections)
    found = rank_run_for_labels(run, reference, size=60)
    stored = rank_for_labels(rows(columns), seen, reference, size=60)
    assert [image.sha256 for image in found] == [image.sha256 for image in stored]
    assert [image.prelabels for image in found] == [image.prelabels for image in stored]
    assert any(image.prelabels for image in found)
    assert {image.window for image in found} == {run.folder.name}
