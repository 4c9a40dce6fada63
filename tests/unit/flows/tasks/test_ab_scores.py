"""What counts in an A/B test: right, wrong and failed answers; not images that nobody can read."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from components.contracts import (
    AbMode,
    Classification,
    Detections,
    Fit,
    InferenceRun,
    LabelledImage,
    VisionSpec,
)
from components.datasets.dataset import LabelledDataset
from components.errors import ConfigError, IncompatibleError
from components.inference import Arm
from components.inference.batch.tables import detections_schema, images_schema, write_table
from components.monitoring.performance.accuracy import truths_for
from components.vision import task_for
from flows.config.ab_test import AbConfig
from flows.config.base import validate_config
from flows.tasks import evaluation as ab_scoring

CLASSES = ("cat", "dog")
CLASSIFIER = VisionSpec("classify", CLASSES, (32, 32), Fit.STRETCH, "logits")
DETECTOR = VisionSpec("detect", CLASSES, (32, 32), Fit.LETTERBOX, "yolo")
CAT, DOG = Classification([1, 0]), Classification([0, 1])
BOX = (0.0, 0.0, 10.0, 10.0)


@dataclass(frozen=True)
class Answer:
    """One row of an arm: a class, or a list of boxes of class 0; None failed in the engine."""

    image_id: str
    said: int | list[tuple[float, ...]] | None
    readable: bool = True
    ms: float = 5.0


def arm_run(folder: Path, spec: VisionSpec, answers: list[Answer]) -> InferenceRun:
    folder.mkdir(parents=True)
    rows, boxes = [], []
    for answer in answers:
        ok = answer.readable and answer.said is not None
        row = {"image_id": answer.image_id, "status": "ok" if ok else "error", "preprocess_ms": 1.0}
        if answer.readable:
            row |= {"inference_ms": answer.ms, "postprocess_ms": 0.5}
        if ok and spec.task == "classify":
            row["prediction_class"] = answer.said
        elif ok:
            corners = [dict(zip(("x1", "y1", "x2", "y2"), box, strict=True)) for box in answer.said]
            boxes += [
                {"image_id": answer.image_id, "class_id": 0, "confidence": 0.9, **box}
                for box in corners
            ]
        rows.append(row)
    run = InferenceRun(folder, "pets/1", len(rows), (), 1.0, 1)
    write_table(run.images, rows, images_schema(task_for(spec)))
    write_table(run.detections, boxes, detections_schema())
    return run


def batch(
    folder: Path, spec: VisionSpec, a: list[Answer], b: list[Answer]
) -> dict[Arm, InferenceRun]:
    return {Arm.A: arm_run(folder / "A", spec, a), Arm.B: arm_run(folder / "B", spec, b)}


def test_right_counts_one_wrong_and_failed_count_nothing_and_the_unreadable_does_not_count(
    tmp_path,
):
    a = [
        Answer("1.jpg", 0),
        Answer("2.jpg", 1),
        Answer("3.jpg", None),
        Answer("4.jpg", 0, readable=False),
    ]
    b = [
        Answer("1.jpg", 1),
        Answer("2.jpg", 1),
        Answer("3.jpg", 0),
        Answer("4.jpg", 0, readable=False),
    ]
    truths = {"1": CAT, "2": DOG, "3": CAT, "4": CAT, "5": DOG}
    scores = ab_scoring.score_batches([batch(tmp_path, CLASSIFIER, a, b)], truths, CLASSIFIER)
    assert scores == {"1.jpg": (1.0, 0.0), "2.jpg": (1.0, 1.0), "3.jpg": (0.0, 1.0)}


def test_in_a_split_an_image_has_the_score_of_the_arm_that_saw_it(tmp_path):
    runs = [
        batch(tmp_path / "1", CLASSIFIER, [Answer("1.jpg", 0)], [Answer("2.jpg", 0)]),
        batch(tmp_path / "2", CLASSIFIER, [], [Answer("3.jpg", 1)]),
    ]
    scores = ab_scoring.score_batches(runs, {"1": CAT, "2": DOG, "3": DOG}, CLASSIFIER)
    assert [name for name, (a, b) in scores.items() if math.isnan(b)] == ["1.jpg"]
    assert [(name, b) for name, (a, b) in scores.items() if math.isnan(a)] == [
        ("2.jpg", 0.0),
        ("3.jpg", 1.0),
    ]
    assert ab_scoring.agreement(runs, CLASSIFIER) is None


def test_a_detectors_answers_are_read_from_its_tables(tmp_path):
    far = (20.0, 20.0, 30.0, 30.0)
    runs = [
        batch(
            tmp_path,
            DETECTOR,
            [Answer("1.jpg", [BOX]), Answer("2.jpg", [BOX, far]), Answer("3.jpg", [])],
            [Answer("1.jpg", []), Answer("2.jpg", [BOX]), Answer("3.jpg", [])],
        )
    ]
    one = Detections([BOX], [1], [0])
    scores = ab_scoring.score_batches(runs, {"1": one, "2": one, "3": Detections.empty()}, DETECTOR)
    assert scores == {"1.jpg": (1.0, 0.0), "2.jpg": (2 / 3, 1.0), "3.jpg": (1.0, 1.0)}
    assert ab_scoring.agreement(runs, DETECTOR) == pytest.approx((0 + 2 / 3 + 1) / 3)


def test_an_arm_is_summed_up_over_all_batches(tmp_path):
    few = [Answer(f"{k}.jpg", 0, ms=float(k)) for k in range(9)]
    runs = [
        batch(tmp_path / "1", CLASSIFIER, few, few),
        batch(tmp_path / "2", CLASSIFIER, [Answer("x.jpg", 0, ms=9.0), Answer("y.jpg", None)], few),
    ]
    a = ab_scoring.figures(Arm.A, runs, [1.0, 0.5], "pets/1")
    assert (a.arm, a.model, a.images, a.failed, a.score, a.scored) == (
        "A",
        "pets/1",
        11,
        1,
        0.75,
        2,
    )
    assert (a.p50_ms, a.p95_ms) == (pytest.approx(4.5 + 1.5), None)
    assert ab_scoring.figures(Arm.B, runs[:1], [], "pets/2").p50_ms is None
    assert ab_scoring.figures(Arm.B, runs[:1], [], "pets/2").score is None


def test_labels_of_other_classes_are_refused():
    images = (LabelledImage("1.jpg", Path("1.jpg"), CAT),)
    dataset = LabelledDataset(Path("."), "val", "classify", ("cow", "cat"), images, "")
    with pytest.raises(IncompatibleError, match="cat, dog, found cow"):
        truths_for(dataset, CLASSIFIER)


def test_versions_whose_classes_are_in_another_order_are_scored_by_name(tmp_path):
    turned = replace(CLASSIFIER, class_names=("dog", "cat"))
    runs = [
        {Arm.A: arm_run(tmp_path / "A", CLASSIFIER, [Answer("1.jpg", 0), Answer("2.jpg", None)])}
    ]
    runs[0][Arm.B] = arm_run(tmp_path / "B", turned, [Answer("1.jpg", 1), Answer("2.jpg", 0)])
    scores = ab_scoring.score_batches(runs, {"1": CAT, "2": DOG}, CLASSIFIER, turned)
    assert scores == {"1.jpg": (1.0, 1.0), "2.jpg": (0.0, 1.0)}
    assert ab_scoring.agreement(runs, CLASSIFIER, turned) == 1


def test_a_version_is_a_number_an_alias_or_a_bundle(tmp_path):
    config = AbConfig(name="pets", a="1", b="champion", images="shots")
    assert (config.model_of("1"), config.model_of("champion")) == ("pets/1", "pets@champion")
    assert config.model_of(str(tmp_path)) == str(tmp_path)
    assert (config.mode, config.delta, config.sequential) == (AbMode.SHADOW, 0.02, False)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"sequential": True, "samples": 200}, "not both"),
        ({"samples": 50}, "samples"),
        ({"share": 0}, "share"),
        ({"delta": 1}, "delta"),
        ({"experiment": "../elsewhere"}, "experiment"),
        ({"sequentially": True}, "did you mean sequential"),
    ],
)
def test_wrong_parameters_are_named(changed, words):
    values = {"name": "pets", "a": "1", "b": "2", "images": "shots", **changed}
    with pytest.raises(ConfigError, match=words):
        validate_config(values, AbConfig, source="the command line")


def test_two_runs_over_the_same_labels_are_scored_in_pairs(tmp_path):
    a = arm_run(tmp_path / "a", CLASSIFIER, [Answer("1.jpg", 0), Answer("2.jpg", 0)])
    b = arm_run(tmp_path / "b", CLASSIFIER, [Answer("1.jpg", 1), Answer("2.jpg", None)])
    images = tuple(LabelledImage(name, tmp_path / name, CAT) for name in ("1.jpg", "2.jpg"))
    dataset = LabelledDataset(tmp_path, "val", "classify", CLASSES, images, "0" * 64)
    assert ab_scoring.paired_scores(a, b, dataset, CLASSIFIER) == {
        "1.jpg": (1.0, 0.0),
        "2.jpg": (1.0, 0.0),
    }
