from __future__ import annotations

import numpy as np
import pytest

from components.benchmark.baseline import _agreement
from components.contracts import Classification, Detections, Verdict
from components.vision.chance import compare_with_chance


def _classes(ids, classes):
    return [Classification(np.eye(classes, dtype=np.float32)[k]) for k in ids]


def _said(true, classes, rate, seed=0):
    """Class ids of which a share of `rate` is right, the others at random."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(true)) < rate, true, rng.integers(0, classes, len(true)))


def _luck(said, true, classes):
    return compare_with_chance(_classes(said, classes), _classes(true, classes), classes=classes)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_a_random_classifier_is_at_chance(classes):
    true = np.arange(128) % classes
    assert (
        sum(_luck(_said(true, classes, 0, seed), true, classes).at_chance for seed in range(20))
        >= 18
    )


def test_a_classifier_that_always_says_the_most_frequent_class_is_at_chance_however_right_it_is():
    true = (np.arange(128) % 4 == 0).astype(int)  # three in four are of class 0
    found = _luck(np.zeros(128, int), true, 2)
    assert found.hits == 96
    assert found.at_chance


def test_a_classifier_whose_classes_are_all_mixed_up_is_at_chance():
    true = np.arange(60) % 3
    assert _luck((true + 1) % 3, true, 3).at_chance


@pytest.mark.parametrize(("classes", "rate"), [(2, 0.5), (3, 0.4), (10, 0.2), (100, 0.1)])
def test_a_weak_classifier_is_not_at_chance(classes, rate):
    true = np.arange(128) % classes
    assert not any(
        _luck(_said(true, classes, rate, seed), true, classes).at_chance for seed in range(20)
    )


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_a_good_classifier_is_not_called_chance_on_a_few_images(count):
    true = np.arange(count) % 3
    assert not any(_luck(_said(true, 3, 0.8, seed), true, 3).at_chance for seed in range(50))


def test_images_of_one_class_alone_do_not_make_a_good_classifier_look_like_chance():
    true = np.zeros(60, int)
    assert not _luck(_said(true, 5, 0.9), true, 5).at_chance
    assert _luck(np.ones(60, int), true, 5).at_chance


def _scenes(count, objects=3, seed=0):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 200, (count, objects, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(20, 60, corners.shape)], axis=2)
    return [Detections(rows, np.ones(objects), rng.integers(0, 3, objects)) for rows in boxes]


def test_a_detector_that_finds_nothing_or_anything_is_at_chance():
    truths = _scenes(30)
    nothing = [Detections.empty()] * 30
    elsewhere = _scenes(30, objects=20, seed=9)
    shares = [Detections(truth.xyxy / 256, truth.scores, truth.class_ids) for truth in truths]
    for predictions in (nothing, elsewhere, shares):
        assert compare_with_chance(predictions, truths, classes=3).at_chance


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_detector_that_finds_some_objects_is_not_at_chance(share):
    truths = _scenes(40)
    rng = np.random.default_rng(1)
    found = []
    for truth in truths:
        kept = np.flatnonzero(rng.random(len(truth)) < share)
        found.append(
            Detections(truth.xyxy[kept] + 1, np.full(len(kept), 0.5), truth.class_ids[kept])
        )
    assert not compare_with_chance(found, truths, classes=3).at_chance


def test_a_detector_of_things_that_are_always_in_the_same_place_is_not_at_chance():
    truths = _scenes(1) * 40
    assert not compare_with_chance(truths, truths, classes=3).at_chance


def test_a_detector_that_finds_none_of_ten_objects_is_stopped_and_one_that_finds_one_is_not():
    truths = _scenes(5, objects=2)
    assert compare_with_chance([Detections.empty()] * 5, truths, classes=3).at_chance
    assert not compare_with_chance(
        [truths[0], *[Detections.empty()] * 4], truths, classes=3
    ).at_chance


def test_few_objects_decide_nothing():
    assert not compare_with_chance(
        [Detections.empty()] * 2, _scenes(2, objects=2), classes=3
    ).at_chance
    assert not compare_with_chance(
        [Detections.empty()] * 3, [Detections.empty()] * 3, classes=3
    ).at_chance


def test_agreement_with_a_framework_needs_most_predictions_and_enough_of_them():
    truths = _scenes(10)
    shifted = [Detections(truth.xyxy + 100, truth.scores, truth.class_ids) for truth in truths]
    assert _agreement(truths, truths).verdict is Verdict.PASS
    assert _agreement(truths, shifted).verdict is Verdict.FAIL
    assert _agreement(truths[:1], shifted[:1]).verdict is Verdict.NOT_EVALUATED
