"""Boxes: suppression against torchvision's, and the way back from a fitted image, for any input."""

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from components.contracts import Fit, ImageFrame, VisionSpec
from components.errors import ModelError
from components.vision.boxes import non_max_suppression, to_original
from components.vision.fit import fit_image
from components.vision.tasks.detect import Detect

IOUS = [0.0, 0.3013, 0.4507, 0.7011, 0.99]
FAST = settings(max_examples=100, deadline=None)


@st.composite
def scored_boxes(draw):
    """Draw boxes on a coarse grid, for common overlaps and score ties, with negative corners."""
    n = draw(st.integers(1, 60))
    corners = draw(arrays.arrays(np.int64, (n, 2), elements=st.integers(-20, 20)))
    sizes = draw(arrays.arrays(np.int64, (n, 2), elements=st.integers(1, 30)))
    scores = draw(arrays.arrays(np.int64, n, elements=st.integers(1, 12))) / 12
    classes = draw(arrays.arrays(np.int64, n, elements=st.sampled_from([0, 1, 2, 999])))
    return (
        np.hstack([corners, corners + sizes]).astype(np.float32),
        scores.astype(np.float32),
        classes,
    )


@FAST
@given(scored_boxes(), st.sampled_from(IOUS), st.integers(1, 70))
def test_suppression_keeps_what_torchvision_keeps_best_score_first(candidates, iou, limit):
    boxes, scores, classes = candidates
    overlaps = torchvision.ops.box_iou(torch.tensor(boxes), torch.tensor(boxes))
    # there rounding decides
    assume(not ((overlaps - iou).abs() < 1e-5).logical_and(overlaps > 0).any())
    wanted = []
    for class_id in np.unique(classes):
        members = np.flatnonzero(classes == class_id)
        kept = torchvision.ops.nms(torch.tensor(boxes[members]), torch.tensor(scores[members]), iou)
        wanted += members[kept.numpy()].tolist()
    kept = non_max_suppression(boxes, scores, classes, iou=iou, limit=limit)
    assert kept.tolist() == sorted(wanted, key=lambda k: (-scores[k], k))[:limit]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([1, 80]))
def test_suppression_of_a_crowd_keeps_what_torchvision_keeps(seed, limit, classes):
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 640, (30, 2))[rng.integers(30, size=2000)]
    corners = centres + rng.normal(0, 6, (2000, 2))
    boxes = np.hstack([corners, corners + rng.uniform(20, 120, (2000, 2))])
    scores, ids = rng.permutation(2000) / 2000 + 1e-4, rng.integers(classes, size=2000)
    wanted = torchvision.ops.batched_nms(
        torch.tensor(boxes), torch.tensor(scores), torch.tensor(ids), 0.6
    )
    assert (
        non_max_suppression(boxes, scores, ids, iou=0.6, limit=limit).tolist()
        == wanted[:limit].tolist()
    )


@FAST
@given(
    arrays.arrays(np.int64, st.tuples(st.integers(0, 40), st.just(4)), elements=st.integers(0, 6)),
    st.sampled_from(IOUS),
    st.randoms(use_true_random=False),
)
def test_boxes_without_an_area_are_suppressed_as_by_torchvision(corners, iou, random):
    """Lines, points, corners the wrong way round, and many boxes twice."""
    scores = np.array(random.sample(range(1, 100), len(corners)), np.float64) / 100
    boxes = corners.astype(np.float64)
    wanted = torchvision.ops.nms(torch.tensor(boxes), torch.tensor(scores), iou)
    ids = np.zeros(len(boxes), np.int64)
    kept = non_max_suppression(boxes, scores, ids, iou=iou, limit=max(len(boxes), 1))
    assert kept.tolist() == wanted.tolist()


@pytest.mark.parametrize("spread", [3, 300])
def test_suppression_of_many_boxes_at_one_place_keeps_what_torchvision_keeps(spread):
    """More overlapping pairs than are held at once, in two classes."""
    rng = np.random.default_rng(spread)
    corners = rng.normal(0, spread, (4000, 2))
    boxes, scores = np.hstack([corners, corners + 300]), rng.permutation(4000) / 4000 + 1e-4
    ids = rng.integers(2, size=4000)
    wanted = torchvision.ops.batched_nms(
        torch.tensor(boxes), torch.tensor(scores), torch.tensor(ids), 0.5
    )
    kept = non_max_suppression(boxes, scores, ids, iou=0.5, limit=4000)
    assert kept.tolist() == wanted.tolist()


sides = st.integers(1, 700)


@FAST
@given(sides, sides, st.integers(32, 128), st.integers(32, 128), st.sampled_from(Fit), st.data())
def test_boxes_inside_the_input_find_their_way_back(height, width, rows, columns, fit, data):
    spec = VisionSpec("detect", ("thing",), (rows, columns), fit, "yolo")
    _, frame = fit_image(np.zeros((height, width, 3), np.uint8), spec)
    unit = np.array(data.draw(st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4)))
    box = np.sort(unit.reshape(2, 2), axis=0).reshape(1, 4) * ([width, height] * 2)
    placed = box * ([frame.scale_x, frame.scale_y] * 2) + ([frame.offset_x, frame.offset_y] * 2)
    np.testing.assert_allclose(to_original(placed, frame), box, atol=1e-6 * max(height, width))
    if fit is not Fit.CENTER_CROP:
        assert (placed >= -1e-6).all() and (placed <= np.array([columns, rows] * 2) + 1e-6).all()


anything = st.floats(width=32, allow_nan=True, allow_infinity=True)
FRAME = ImageFrame(200, 100, 0.32, 0.32, 0.0, 16.0)


@FAST
@given(arrays.arrays(np.float32, (2, 7, 12), elements=anything), st.booleans())
def test_whatever_a_yolo_head_gives_detections_are_sound_or_the_model_is_refused(
    output, multi_label
):
    spec = VisionSpec("detect", ("a", "b", "c"), (64, 64), Fit.LETTERBOX, "yolo")
    assert_sound(Detect(spec, confidence=0.1, multi_label=multi_label), output)


@FAST
@given(arrays.arrays(np.float32, (2, 9, 6), elements=anything))
def test_whatever_an_end_to_end_head_gives_detections_are_sound_or_the_model_is_refused(output):
    spec = VisionSpec("detect", ("a", "b", "c"), (64, 64), Fit.LETTERBOX, "yolo_end2end")
    assert_sound(Detect(spec, confidence=0.1), output)


def assert_sound(task, output):
    try:
        found = task.postprocess([output], [FRAME, FRAME])
    except ModelError:
        assert not task.valid_outputs([output]).all()
        return
    for detections in found:
        assert np.isfinite(detections.xyxy).all()
        assert (detections.xyxy >= 0).all() and (detections.xyxy <= [200, 100, 200, 100]).all()
        assert (detections.xyxy[:, 2:] > detections.xyxy[:, :2]).all()
        assert (detections.scores > 0.1).all() and (detections.scores <= 1).all()
        assert (np.diff(detections.scores) <= 0).all()
        assert np.isin(detections.class_ids, range(3)).all()
