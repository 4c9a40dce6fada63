import os
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contracts import (
    Classification,
    Detections,
    Fit,
    LabelledImage,
    VisionSpec,
    dump,
    load,
)
from components.datasets.classes import class_ids
from components.datasets.dataset import LabelledDataset
from components.errors import ConfigError, DatasetError, IncompatibleError
from components.monitoring.performance.accuracy import AccuracyReport, measure_accuracy
from components.vision.metrics import average_precision
from components.vision.tasks.detect import Detect

NAMES = ("cat", "dog", "owl")
CLASSIFIER = VisionSpec("classify", NAMES, (32, 32), Fit.STRETCH, "logits")
DETECTOR = VisionSpec("detect", NAMES, (32, 32), Fit.STRETCH, "yolo")


def image_table(classes, **columns):
    ids = [f"cam/{k:04d}.jpg" for k in range(len(classes))]
    return pa.table(
        {"image_id": ids, "status": ["ok"] * len(ids), "prediction_class": classes, **columns}
    )


def one_hot(class_id):
    return Classification(np.eye(len(NAMES))[class_id])


def box(*class_ids, shift=0.0, score=0.9):
    corners = [[20 * k + shift, 0, 20 * k + 10 + shift, 10] for k in range(len(class_ids))]
    return Detections(np.reshape(corners, (-1, 4)), np.full(len(class_ids), score), class_ids)


def stored(images):
    """Return a table of detections as inference writes it, by image id, in no helpful order."""
    rows = [
        {
            "image_id": name,
            "class_id": int(c),
            "confidence": s,
            **dict(zip(("x1", "y1", "x2", "y2"), b, strict=True)),
        }
        for name, found in images.items()
        for c, s, b in zip(found.class_ids, found.scores.tolist(), found.xyxy.tolist(), strict=True)
    ]
    kinds = {
        "image_id": pa.string(),
        "class_id": pa.int64(),
        **dict.fromkeys(("confidence", "x1", "y1", "x2", "y2"), pa.float32()),
    }
    return pa.Table.from_pylist(rows[::-1], schema=pa.schema(kinds))


@pytest.fixture
def answers():
    """A classifier's 100 answers: truth 0 or 1 in turn, and every tenth answer is wrong."""
    true = np.arange(100) % 2
    found = np.where(np.arange(100) % 10 == 0, 2, true)
    return image_table(found), {f"{k:04d}": one_hot(c) for k, c in enumerate(true)}


def test_top1_of_late_labels_has_wilsons_interval(answers):
    report = measure_accuracy(answers[0], None, answers[1], CLASSIFIER)
    assert report.metric == "top1" and report.score.value == pytest.approx(0.9)
    assert (report.score.low, report.score.high) == pytest.approx((0.8256, 0.9448), abs=1e-4)
    assert (report.matched, report.unmatched, report.unlabelled, report.failed) == (100, (), 0, 0)
    assert not report.estimated and report.method == "labels"


def test_each_class_is_scored_on_its_own_images_and_a_rare_one_is_insufficient(answers):
    classes = measure_accuracy(answers[0], None, answers[1], CLASSIFIER).classes
    # all wrong answers were cats
    assert (classes["cat"].value, classes["cat"].samples) == (0.8, 50)
    assert classes["dog"].value == 1 and 0.9 < classes["dog"].low < 1
    assert classes["owl"].value is None and classes["owl"].low is None
    assert classes["owl"].reason == "insufficient: 0 labelled images, 30 are needed"


def test_labels_without_an_image_are_listed_and_images_without_a_label_counted(answers):
    images, labels = answers
    fewer = {name: label for name, label in labels.items() if name < "0060"} | {
        "lost/9999": one_hot(0)
    }
    report = measure_accuracy(images, None, fewer, CLASSIFIER)
    assert (report.matched, report.unmatched, report.unlabelled) == (60, ("lost/9999",), 40)


def test_labelled_images_that_inference_failed_on_are_counted_apart(answers):
    images, labels = answers
    status = pa.array(["error"] * 5 + ["ok"] * 95)
    classes = pa.array([None] * 5 + images["prediction_class"].to_pylist()[5:])
    broken = images.set_column(1, "status", status).set_column(2, "prediction_class", classes)
    report = measure_accuracy(broken, None, labels, CLASSIFIER)
    assert (report.matched, report.failed, report.unmatched, report.unlabelled) == (95, 5, (), 0)


def test_no_matching_label_says_so_instead_of_a_number(answers):
    report = measure_accuracy(answers[0], None, {"elsewhere": one_hot(1)}, CLASSIFIER)
    assert report.matched == 0 and report.score.value is None
    assert report.score.reason.startswith("insufficient: 0 labelled images")


def test_numbers_are_sliced_into_thirds_and_names_by_value(answers):
    images, labels = answers
    images = images.append_column(
        "brightness", pa.array([float(k) for k in range(99)] + [None], pa.float64())
    )
    images = images.append_column("indoor", pa.array([k % 10 == 0 or k > 50 for k in range(100)]))
    report = measure_accuracy(images, None, labels, CLASSIFIER, slices=("brightness", "indoor"))
    assert list(report.slices) == [
        "brightness ≤ 32.67", "brightness 32.67–65.33", "brightness > 65.33",
        "indoor = False", "indoor = True",
    ]  # fmt: skip
    assert [score.samples for score in report.slices.values()][:3] == [33, 33, 33]
    assert report.slices["indoor = False"].value == 1
    assert report.slices["indoor = True"].value == pytest.approx(45 / 55)


def test_a_small_slice_is_insufficient(answers):
    images = answers[0].append_column("site", pa.array(["a"] * 90 + ["b"] * 10))
    report = measure_accuracy(images, None, answers[1], CLASSIFIER, slices=("site",))
    assert report.slices["site = b"].value is None
    assert "10 labelled images, 30 are needed" in report.slices["site = b"].reason


def scenes(count=60):
    """Return scenes with every second an object, every third answer off, every tenth missing."""
    true = {f"{k:04d}.jpg": box(k % 2, 2) if k % 2 else box(k % 4 // 2) for k in range(count)}
    found = {
        name: Detections.empty()
        if k % 10 == 0
        else box(*truth.class_ids, shift=2.0 * (k % 3 == 0), score=0.5 + k / 200)
        for k, (name, truth) in enumerate(true.items())
    }
    images = pa.table(
        {
            "image_id": list(true),
            "status": ["ok"] * count,
            "brightness": np.arange(count, dtype=float),
        }
    )
    return images, found, true


def test_map_of_stored_detections_is_that_of_the_vision_task():
    images, found, true = scenes()
    report = measure_accuracy(images, stored(found), true, DETECTOR)
    expected = Detect(DETECTOR).evaluate(list(found.values()), list(true.values()))
    assert report.metric == "map50_95"
    assert {name: report.scores[name].value for name in report.scores} == pytest.approx(
        {name: expected[name] for name in ("map50_95", "map50")}, abs=1e-6
    )
    for score in report.scores.values():
        assert 0 < score.low < score.value < score.high < 1 and score.samples == 60


def test_a_detectors_class_has_its_average_precision_and_counts_its_objects():
    images, found, true = scenes()
    classes = measure_accuracy(images, stored(found), true, DETECTOR, minimum=20).classes
    owls = [Detections(t.xyxy, t.scores, np.where(t.class_ids == 2, 0, 1)) for t in true.values()]
    found_owls = [Detections(f.xyxy[keep], f.scores[keep], f.class_ids[keep] - 2)
                  for f in found.values() for keep in [f.class_ids == 2]]  # fmt: skip
    only_owls = [
        Detections(t.xyxy[keep], t.scores[keep], t.class_ids[keep])
        for t in owls
        for keep in [t.class_ids == 0]
    ]
    expected = average_precision(found_owls, only_owls, classes=1, max_detections=300)["map50_95"]
    assert classes["owl"].samples == 30 and classes["owl"].value == pytest.approx(
        expected, abs=1e-6
    )
    assert classes["cat"].value is None and classes["cat"].reason.endswith(
        "15 labelled objects, 20 are needed"
    )


def test_slices_of_a_detector_are_scored_alone():
    images, found, true = scenes(90)
    report = measure_accuracy(images, stored(found), true, DETECTOR, slices=("brightness",))
    dark = list(found)[:30]
    expected = Detect(DETECTOR).evaluate([found[k] for k in dark], [true[k] for k in dark])[
        "map50_95"
    ]
    assert report.slices["brightness ≤ 29.67"].value == pytest.approx(expected, abs=1e-6)


def test_perfect_answers_are_not_certain_ones():
    images, _, true = scenes()
    score = measure_accuracy(images, stored(true), true, DETECTOR).score
    assert score.value == pytest.approx(1) and 0.9 < score.low < 0.97


def test_images_labelled_as_empty_have_no_map():
    images, found, true = scenes()
    report = measure_accuracy(
        images, stored(found), dict.fromkeys(true, Detections.empty()), DETECTOR
    )
    assert (
        report.score.value is None
        and report.score.reason == "the labels of 60 images hold no object"
    )


def test_the_same_seed_gives_the_same_report_and_it_survives_json():
    images, found, true = scenes()
    one, other = (
        measure_accuracy(images, stored(found), true, DETECTOR, slices=("brightness",))
        for _ in range(2)
    )
    assert one == other
    assert load(AccuracyReport, dump(one)) == one


def test_tables_are_read_from_parquet_and_labels_from_a_dataset(answers, tmp_path):
    images, labels = answers
    pq.write_table(images, tmp_path / "images.parquet")
    pictures = tuple(LabelledImage(name, tmp_path / name, label) for name, label in labels.items())
    dataset = LabelledDataset(tmp_path, "late", "classify", NAMES, pictures, "0")
    report = measure_accuracy(tmp_path / "images.parquet", None, dataset, CLASSIFIER)
    assert report == measure_accuracy(images, None, labels, CLASSIFIER)
    ids = class_ids(NAMES, NAMES[::-1])
    turned = tuple(replace(one, truth=one.truth.renumbered(ids, len(ids))) for one in pictures)
    assert report == measure_accuracy(
        images, None, replace(dataset, class_names=NAMES[::-1], images=turned), CLASSIFIER
    )
    with pytest.raises(IncompatibleError, match=r"found bee \(images: \d+\)"):
        measure_accuracy(
            images, None, replace(dataset, class_names=("bee", *NAMES[1:])), CLASSIFIER
        )


def test_labels_of_another_task_or_of_unknown_classes_are_refused(answers):
    with pytest.raises(IncompatibleError, match="Classification"):
        measure_accuracy(answers[0], None, {"0001": box(0)}, CLASSIFIER)
    with pytest.raises(IncompatibleError, match="class id 7"):
        measure_accuracy(answers[0], None, {"0001": Classification(np.eye(8)[7])}, CLASSIFIER)


def test_a_slice_that_is_no_column_or_has_too_many_values_is_refused(answers):
    with pytest.raises(ConfigError, match="none called mood"):
        measure_accuracy(answers[0], None, answers[1], CLASSIFIER, slices=("mood",))
    with pytest.raises(ConfigError, match="100 in image_id"):
        measure_accuracy(answers[0], None, answers[1], CLASSIFIER, slices=("image_id",))


def test_a_file_that_is_no_table_is_a_clear_error(tmp_path, answers):
    (tmp_path / "images.parquet").write_bytes(b"no parquet")
    os.mkfifo(tmp_path / "pipe.parquet")
    for path in (tmp_path / f"{name}.parquet" for name in ("images", "absent", "pipe")):
        with pytest.raises(DatasetError, match=r"a table of a finished run.*\.parquet"):
            measure_accuracy(path, None, answers[1], CLASSIFIER)


def test_an_image_that_was_half_uploaded_is_scored_once_it_is_whole(answers):
    images, labels = answers
    broken = pa.table(
        {"image_id": ["cam/0007.jpg"] * 2, "status": ["error"] * 2, "prediction_class": pa.nulls(2)}
    )
    again = pa.concat_tables([broken, images], promote_options="permissive")
    report = measure_accuracy(again, None, labels, CLASSIFIER)
    assert (report.matched, report.failed, report.ambiguous, report.score.value) == (
        100,
        0,
        (),
        pytest.approx(0.9),
    )
    alone = measure_accuracy(broken, None, labels, CLASSIFIER)
    assert (alone.matched, alone.failed, alone.ambiguous) == (0, 1, ())


def test_labels_of_a_camera_that_numbers_anew_are_counted_and_left_out(answers):
    images, labels = answers
    report = measure_accuracy(
        pa.concat_tables([images, images.slice(0, 40)]), None, labels, CLASSIFIER
    )
    assert report.ambiguous == tuple(f"{k:04d}" for k in range(40))
    assert (report.matched, report.unmatched, report.score.samples) == (60, (), 60)
    twice = measure_accuracy(images, None, labels | {"cam/0003": one_hot(1)}, CLASSIFIER)
    assert twice.ambiguous == ("0003", "cam/0003") and twice.matched == 99
