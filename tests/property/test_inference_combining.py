import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from components.contracts import Classification, Detections, View
from components.inference.batch.shards import plan_shards
from components.inference.results import run_lengths
from components.vision.combining.classifications import average
from components.vision.combining.detections import nms, soft_nms, wbf
from components.vision.combining.ensemble import Ensemble
from components.vision.combining.fusion import fuse
from components.vision.combining.settings import Combining

SLOW = settings(max_examples=60, deadline=None)
WEIGHTS = st.floats(0.1, 10)


@st.composite
def found(draw):
    """Up to six detections with sides of at least a pixel, of three classes."""
    row = st.tuples(
        st.integers(0, 40),
        st.integers(0, 40),
        st.integers(1, 30),
        st.integers(1, 30),
        st.integers(0, 2),
    )
    rows = draw(st.lists(row, max_size=6))
    table = np.array(rows, np.float32).reshape(-1, 5)
    scores = draw(st.lists(st.floats(0.125, 1, width=32), min_size=len(rows), max_size=len(rows)))
    return Detections(
        np.hstack([table[:, :2], table[:, :2] + table[:, 2:4]]),
        scores,
        table[:, 4].astype(np.int64),
    )


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def rows(detections):
    return [
        (*box, score, k)
        for box, score, k in zip(
            detections.xyxy.tolist(),
            detections.scores.tolist(),
            detections.class_ids.tolist(),
            strict=True,
        )
    ]


members = st.lists(st.tuples(found(), WEIGHTS), min_size=1, max_size=4)
methods = st.sampled_from([nms, soft_nms, wbf])


def combined(method, pairs, **settings):
    predictions, weights = zip(*pairs, strict=True)
    return method(predictions, Ensemble.of(weights, 3), Combining(**settings))


@SLOW
@given(members, st.floats(0.1, 0.9))
def test_combined_detections_are_some_of_the_given_and_do_not_overlap(members, threshold):
    joined = combined(nms, members, iou=threshold)
    given_rows = [row for prediction, _ in members for row in rows(prediction)]
    kept = rows(joined)
    assert all(row in given_rows for row in kept)
    assert (np.diff(joined.scores) <= 0).all()
    for number, one in enumerate(kept):
        assert all(
            one[-1] != other[-1] or iou(one, other) <= threshold + 1e-6 for other in kept[:number]
        )
    # whatever went has a stronger one of its class in its place
    assert all(
        any(row[-1] == one[-1] and iou(row, one) > threshold - 1e-6 for one in kept)
        for row in given_rows
    )


@SLOW
@given(members, methods, st.floats(0.1, 0.9), st.randoms(use_true_random=False))
def test_the_order_of_models_and_of_their_detections_does_not_matter(
    members, method, threshold, random
):
    shuffled = []
    for found, weight in members:
        order = random.sample(range(len(found)), len(found))
        shuffled.append((found.subset(np.array(order, np.int64)), weight))
    random.shuffle(shuffled)
    one, other = (combined(method, some, iou=threshold) for some in (members, shuffled))
    np.testing.assert_allclose(np.array(rows(one)), np.array(rows(other)), rtol=1e-6)


@SLOW
@given(members, methods, st.sampled_from([0.25, 2.0, 1024.0]))
def test_only_the_ratios_of_weights_matter(members, method, factor):
    scaled = [(found, weight * factor) for found, weight in members]
    one, other = (combined(method, some) for some in (members, scaled))
    np.testing.assert_allclose(np.array(rows(one)), np.array(rows(other)), rtol=1e-6)


@SLOW
@given(found(), st.floats(0.1, 0.9), WEIGHTS)
def test_fusion_of_one_model_without_overlaps_is_that_model(one, threshold, weight):
    apart = combined(nms, [(one, 1)], iou=0)
    assert sorted(rows(combined(wbf, [(apart, weight)], iou=threshold))) == sorted(rows(apart))


@SLOW
@given(members, st.floats(0.1, 0.9))
def test_fused_boxes_lie_within_the_hull_of_those_that_they_are_made_of(members, threshold):
    predictions, weights = zip(*members, strict=True)
    for class_id in range(3):
        own = [one.subset(one.class_ids == class_id) for one in predictions]
        scores = np.concatenate(
            [one.scores * weight for one, weight in zip(own, weights, strict=True)]
        )
        order = np.argsort(-scores, kind="stable")
        boxes = np.concatenate([one.xyxy for one in own])[order].astype(np.float64)
        found = fuse(boxes, scores[order].astype(np.float64), threshold)
        assert found.sizes.sum() == len(boxes)
        for number, fused in enumerate(found.xyxy):
            cluster = boxes[found.cluster_of == number]
            assert len(cluster) == found.sizes[number]
            assert (fused >= cluster.min(axis=0) - 1e-9).all()
            assert (fused <= cluster.max(axis=0) + 1e-9).all()


@SLOW
@given(members, methods, st.floats(0, 1))
def test_classes_never_mix(members, method, threshold):
    together = combined(method, members, iou=threshold)
    for class_id in range(3):
        alone = [(one.subset(one.class_ids == class_id), weight) for one, weight in members]
        assert together.subset(together.class_ids == class_id) == combined(
            method, alone, iou=threshold
        )


@SLOW
@given(members, methods, st.floats(0, 1), st.sampled_from(["linear", "gaussian"]))
def test_whatever_is_combined_is_finite_and_sorted_and_no_surer_than_its_parts(
    members, method, threshold, decay
):
    joined = combined(method, members, iou=threshold, decay=decay)
    assert np.isfinite(joined.xyxy).all() and np.isfinite(joined.scores).all()
    assert (joined.xyxy[:, 2:] > joined.xyxy[:, :2]).all()
    assert (np.diff(joined.scores) <= 0).all() and (joined.scores > 0).all()
    most = max((one.scores.max(initial=0) for one, _ in members), default=0)
    ratio = max(weight for _, weight in members) / min(weight for _, weight in members)
    assert (joined.scores <= min(1, most * (ratio if method is wbf else 1)) + 1e-6).all()


@SLOW
@given(st.lists(st.tuples(
    arrays.arrays(np.float32, (5, 4), elements=st.sampled_from([0.0, 1.0, 2.0, 3.0, 5.0])),
    arrays.arrays(np.float32, 5, elements=st.floats(0, 1, width=32)), WEIGHTS,
), min_size=1, max_size=3), methods)  # fmt: skip
def test_boxes_without_an_area_and_scores_of_zero_give_no_nan(tables, method):
    """Corners in any order, on a grid so coarse that many boxes are a line or a point."""
    pairs = [
        (Detections(boxes, scores, np.zeros(5, np.int64)), weight)
        for boxes, scores, weight in tables
    ]
    joined = combined(method, pairs)
    assert np.isfinite(joined.xyxy).all() and np.isfinite(joined.scores).all()


@SLOW
@given(st.integers(2, 6).flatmap(lambda k: st.lists(
    st.tuples(arrays.arrays(np.float32, k, elements=st.floats(0.125, 1, width=32)), WEIGHTS),
    min_size=1, max_size=4,
)))  # fmt: skip
def test_averaged_probabilities_are_probabilities_between_those_of_the_models(members):
    predictions = [Classification(values / values.sum()) for values, _ in members]
    voters = Ensemble.of([weight for _, weight in members], len(members[0][0]), exclusive=True)
    mean = average(predictions, voters, Combining()).probs
    table = np.stack([prediction.probs for prediction in predictions])
    assert abs(mean.sum() - 1) < 1e-5
    assert (mean >= table.min(axis=0) - 1e-6).all() and (mean <= table.max(axis=0) + 1e-6).all()


@SLOW
@given(found(), st.booleans(), st.booleans(), st.integers(0, 30), st.integers(0, 20))
def test_what_a_flipped_part_shows_is_placed_where_it_is_in_the_image(one, x, y, left, top):
    image = np.arange(100 * 120 * 3, dtype=np.uint32).reshape(100, 120, 3)
    view = View(left, top, 80, 70, (100, 120), x, y)
    part = view.cut(image)
    for (x1, y1, x2, y2), (u1, v1, u2, v2) in zip(
        one.xyxy.astype(int), one.placed(view).xyxy.astype(int), strict=True
    ):
        seen, there = part[y1:y2, x1:x2], image[v1:v2, u1:u2]
        np.testing.assert_array_equal(seen[:: -1 if y else 1, :: -1 if x else 1], there)


@SLOW
@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_run_lengths_give_the_mask_back(mask):
    encoded = run_lengths(mask)
    values = np.arange(len(encoded["counts"])) % 2 == 1
    height, width = encoded["size"]
    np.testing.assert_array_equal(
        np.repeat(values, encoded["counts"]).reshape(height, width, order="F"), mask
    )


@SLOW
@given(st.integers(0, 500), st.integers(1, 600))
def test_shards_hold_every_image_once_and_in_order(images, size):
    shards = plan_shards(images, size)
    assert [k for shard in shards for k in range(shard.start, shard.stop)] == list(range(images))
    assert all(0 < len(shard) <= size for shard in shards)
    assert sorted(shard.name for shard in shards) == [shard.name for shard in shards]
