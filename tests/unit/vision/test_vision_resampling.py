import numpy as np
import pytest

from components.contracts import Detections
from components.vision.boxes import iou_matrix
from components.vision.metrics import average_precision
from components.vision.resampling import find_hits

CLASSES = 3


def boxes(xyxy, class_ids, scores=None):
    return Detections(
        np.reshape(xyxy, (-1, 4)), np.ones(len(class_ids)) if scores is None else scores, class_ids
    )


def scenes(count, seed=0):
    """Draw detections with misses, shifts, doubles, confusions, equal scores, and the truth."""
    rng = np.random.default_rng(seed)
    found, true = [], []
    for _ in range(count):
        objects = int(rng.integers(0, 6))
        corner, extent = rng.uniform(0, 200, (objects, 2)), rng.uniform(20, 60, (objects, 2))
        xyxy, class_ids = np.hstack([corner, corner + extent]), rng.integers(0, CLASSES, objects)
        kept = rng.random(objects) < 0.85
        near = (xyxy + rng.normal(0, 3, xyxy.shape))[kept]
        confused = rng.integers(0, CLASSES, len(near))
        guesses = np.concatenate(
            [class_ids[kept], np.where(rng.random(len(near)) < 0.3, confused, class_ids[kept])]
        )
        scores = rng.beta(5, 2, len(guesses)).round(1)
        found.append(boxes(np.vstack([near, near + 2]), guesses, scores))
        true.append(boxes(xyxy, class_ids))
    return found, true


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_coco(seed):
    found, true = scenes(40, seed)
    ours = find_hits(found, true, classes=CLASSES).average_precision()
    theirs = average_precision(found, true, classes=CLASSES, max_detections=300)
    assert ours.mean() == pytest.approx(theirs["map50_95"], abs=1e-9)
    assert ours[:, 0].mean() == pytest.approx(theirs["map50"], abs=1e-9)
    assert ours[:, 5].mean() == pytest.approx(theirs["map75"], abs=1e-9)


def test_leaving_images_out_by_weight_equals_leaving_them_out():
    found, true = scenes(30)
    weights = np.arange(30) % 2
    kept = np.flatnonzero(weights)
    part = average_precision(
        [found[k] for k in kept], [true[k] for k in kept], classes=CLASSES, max_detections=300
    )
    weighted = find_hits(found, true, classes=CLASSES).average_precision(weights)
    assert weighted.mean() == pytest.approx(part["map50_95"], abs=1e-9)


def test_a_class_without_objects_has_no_precision_and_one_without_detections_has_none_right():
    true = [boxes([0, 0, 10, 10], [1])]
    precision = find_hits([Detections.empty()], true, classes=CLASSES).average_precision()
    assert np.isnan(precision[[0, 2]]).all()
    assert (precision[1] == 0).all()


def test_each_object_is_hit_once_by_the_best_scored_detection():
    found = [boxes([[0, 0, 10, 10], [0, 0, 10, 9]], [0, 0], [0.6, 0.9])]
    hits = find_hits(found, [boxes([0, 0, 10, 10], [0])], classes=1).classes[0].hits
    # IoU 0.9 is a hit at 0.90 and none at 0.95
    assert hits[0].tolist() == [True] * 8 + [True, False]
    assert hits[1].tolist() == [False] * 9 + [True]


def test_resamples_vary_around_the_value_and_repeat_with_their_seed():
    found, true = scenes(60)
    hits = find_hits(found, true, classes=CLASSES)
    everything = np.ones(60, np.bool_)
    one, other = (
        hits.bootstrap(everything, rounds=50, rng=np.random.default_rng(3)) for _ in range(2)
    )
    assert one.shape == (50, CLASSES, 10)
    np.testing.assert_array_equal(one, other)
    means = one.mean(axis=(1, 2))
    assert means.min() < hits.average_precision().mean() < means.max()
    assert means.std() > 0


def test_images_that_were_not_chosen_are_never_drawn():
    found = [boxes([0, 0, 10, 10], [0]), Detections.empty()]
    true = [boxes([0, 0, 10, 10], [0])] * 2
    hits = find_hits(found, true, classes=1)
    resampled = hits.bootstrap(np.array([True, False]), rounds=5, rng=np.random.default_rng(0))
    assert (resampled == 1).all()


def test_different_numbers_of_images_are_an_error():
    with pytest.raises(ValueError, match="zip"):
        find_hits([], [Detections.empty()], classes=1)


def test_overlaps_of_equal_disjoint_nested_and_empty_boxes():
    first = np.array([[0, 0, 10, 10], [5, 5, 5, 5]])
    second = np.array([[0, 0, 10, 10], [20, 20, 30, 30], [0, 0, 5, 10], [5, 5, 5, 5]])
    np.testing.assert_allclose(iou_matrix(first, second), [[1, 0, 0.5, 0], [0, 0, 0, 0]])
