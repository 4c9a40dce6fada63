import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from components.contracts import Classification, Detections
from components.inference.batch.shards import plan_shards
from components.inference.results import run_lengths
from components.vision.combine import average, nms

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


@given(st.lists(st.tuples(found(), WEIGHTS), min_size=1, max_size=4), st.floats(0.1, 0.9))
def test_combined_detections_are_some_of_the_given_and_do_not_overlap(members, threshold):
    predictions, weights = zip(*members, strict=True)
    joined = nms(predictions, weights, iou=threshold)
    given_rows = [row for prediction in predictions for row in rows(prediction)]
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


@given(st.integers(2, 6).flatmap(lambda k: st.lists(
    st.tuples(arrays.arrays(np.float32, k, elements=st.floats(0.125, 1, width=32)), WEIGHTS),
    min_size=1, max_size=4,
)))  # fmt: skip
def test_averaged_probabilities_are_probabilities_between_those_of_the_models(members):
    predictions = [Classification(values / values.sum()) for values, _ in members]
    mean = average(predictions, [weight for _, weight in members]).probs
    table = np.stack([prediction.probs for prediction in predictions])
    assert abs(mean.sum() - 1) < 1e-5
    assert (mean >= table.min(axis=0) - 1e-6).all() and (mean <= table.max(axis=0) + 1e-6).all()


@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_run_lengths_give_the_mask_back(mask):
    encoded = run_lengths(mask)
    values = np.arange(len(encoded["counts"])) % 2 == 1
    height, width = encoded["size"]
    np.testing.assert_array_equal(
        np.repeat(values, encoded["counts"]).reshape(height, width, order="F"), mask
    )


@given(st.integers(0, 500), st.integers(1, 600))
def test_shards_hold_every_image_once_and_in_order(images, size):
    shards = plan_shards(images, size)
    assert [k for shard in shards for k in range(shard.start, shard.stop)] == list(range(images))
    assert all(0 < len(shard) <= size for shard in shards)
    assert sorted(shard.name for shard in shards) == [shard.name for shard in shards]
