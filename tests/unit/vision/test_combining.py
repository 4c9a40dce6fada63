"""Combined predictions, with values that were worked out by hand."""

import math

import numpy as np
import pytest

from components.contracts import Classification, Detections
from components.errors import ConfigError, IncompatibleError
from components.vision import task_kind
from components.vision.combining.classifications import average
from components.vision.combining.detections import nms, soft_nms, wbf
from components.vision.combining.ensemble import Ensemble, chosen
from components.vision.combining.settings import Combining

METHODS = (nms, soft_nms, wbf)


def detections(*rows, masks=None):
    """From (x1, y1, x2, y2, score, class id)."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64), masks)


def combined(method, predictions, weights=None, *, known=None, **settings):
    weights = [1] * len(predictions) if weights is None else weights
    ensemble = Ensemble.of(weights, 3)
    if known is not None:
        ensemble = Ensemble(ensemble.weights, np.array(known))
    return method(predictions, ensemble, Combining(**settings))


def rows_of(found):
    return [
        [*box, pytest.approx(score, abs=1e-6), k]
        for box, score, k in zip(
            found.xyxy.tolist(), found.scores.tolist(), found.labels, strict=True
        )
    ]


def test_overlapping_detections_of_a_class_become_the_surest_one():
    joined = combined(nms, [detections((0, 0, 10, 10, 0.6, 1)), detections((1, 0, 11, 10, 0.8, 1))])
    assert joined == detections((1, 0, 11, 10, 0.8, 1))


def test_detections_of_different_classes_or_places_all_stay_surest_first():
    one, other = (
        detections((0, 0, 10, 10, 0.6, 1)),
        detections((0, 0, 10, 10, 0.7, 2), (50, 0, 60, 10, 0.9, 1)),
    )
    for method in (nms, soft_nms):
        assert combined(method, [one, other]).scores.tolist() == pytest.approx([0.9, 0.7, 0.6])


def test_weight_decides_between_models_and_confidence_stays_as_it_was():
    trusted, other = detections((0, 0, 10, 10, 0.6, 1)), detections((1, 0, 11, 10, 0.8, 1))
    assert combined(nms, [trusted, other], [2, 1]) == trusted


def test_the_overlap_that_merges_can_be_chosen():
    pair = [detections((0, 0, 10, 10, 0.6, 1)), detections((5, 0, 15, 10, 0.8, 1))]  # IoU 1/3
    for method in (nms, wbf):
        assert len(combined(method, pair)) == 2
        assert len(combined(method, pair, iou=0.3)) == 1


@pytest.mark.parametrize("method", METHODS)
def test_the_number_of_detections_is_limited(method):
    many = detections(*[(20 * k, 0, 20 * k + 10, 10, 0.1 * (k + 1), 0) for k in range(8)])
    found = combined(method, [many, many], max_detections=5)
    np.testing.assert_allclose(found.scores, [0.8, 0.7, 0.6, 0.5, 0.4], rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_found_by_anyone_is_nothing(method):
    assert combined(method, [detections(), detections()]) == Detections.empty()


@pytest.mark.parametrize("method", METHODS)
def test_masks_go_when_a_model_has_none(method):
    one = detections((0, 0, 2, 2, 0.6, 1), masks=np.ones((1, 4, 4), bool))
    assert combined(method, [one, detections((2, 2, 4, 4, 0.8, 1))]).masks is None


def test_masks_follow_their_detections():
    left, right = np.zeros((1, 4, 4), bool), np.ones((1, 4, 4), bool)
    pair = [
        detections((0, 0, 2, 2, 0.6, 1), masks=left),
        detections((2, 2, 4, 4, 0.8, 1), masks=right),
    ]
    for method in METHODS:
        np.testing.assert_array_equal(
            combined(method, pair).masks, np.concatenate([right, left]), method.__name__
        )


def test_fused_masks_are_the_weighted_majority():
    low, high = np.zeros((1, 2, 2), bool), np.zeros((1, 2, 2), bool)
    low[0, 0], high[0, :, 0] = True, True
    pair = [
        detections((0, 0, 9, 9, 0.5, 1), masks=low),
        detections((0, 0, 9, 9, 0.7, 1), masks=high),
    ]
    np.testing.assert_array_equal(combined(wbf, pair).masks, high)


def test_linear_soft_nms_lowers_by_the_overlap_from_the_threshold_on():
    rows = [(0, 0, 10, 10, 0.8, 1), (5, 0, 15, 10, 0.6, 1), (8, 0, 18, 10, 0.5, 1)]
    # 0.8 is first. IoU with it is 1/3 of the second and 1/9 of the third, which stays as it is.
    # The third is then first, and its IoU with the second is 7/13.
    found = combined(soft_nms, [detections(*rows)], decay="linear", iou=0.3)
    assert rows_of(found) == [
        [0, 0, 10, 10, 0.8, 1],
        [8, 0, 18, 10, 0.5, 1],
        [5, 0, 15, 10, 0.6 * 2 / 3 * 6 / 13, 1],
    ]


def test_gaussian_soft_nms_lowers_by_the_square_of_the_overlap():
    rows = [(0, 0, 10, 10, 0.8, 1), (5, 0, 15, 10, 0.6, 1), (5, 0, 15, 10, 0.5, 2)]
    found = combined(soft_nms, [detections(*rows)], decay="gaussian", sigma=0.5)
    assert rows_of(found) == [
        [0, 0, 10, 10, 0.8, 1],
        [5, 0, 15, 10, 0.5, 2],
        [5, 0, 15, 10, 0.6 * math.exp(-((1 / 3) ** 2) / 0.5), 1],
    ]


def test_soft_nms_drops_what_falls_to_the_threshold():
    pair = [detections((0, 0, 10, 10, 0.8, 1)), detections((0, 0, 10, 10, 0.6, 1))]
    assert len(combined(soft_nms, pair, decay="linear")) == 1  # 0.6 · (1 - 1)
    assert len(combined(soft_nms, pair, sigma=0.5)) == 2  # 0.6 · exp(-2) = 0.081
    assert len(combined(soft_nms, pair, sigma=0.5, confidence=0.1)) == 1


def test_weight_decides_which_box_soft_nms_takes_first():
    trusted, other = detections((0, 0, 10, 10, 0.6, 1)), detections((5, 0, 15, 10, 0.8, 1))
    found = combined(soft_nms, [trusted, other], [2, 1], decay="linear", iou=0.3)
    assert rows_of(found) == [[0, 0, 10, 10, 0.6, 1], [5, 0, 15, 10, 0.8 * 2 / 3, 1]]


def test_fused_box_is_the_mean_of_corners_weighted_by_confidence():
    pair = [detections((0, 0, 10, 10, 0.9, 1)), detections((2, 0, 12, 10, 0.6, 1))]
    # x: (0.9·0 + 0.6·2) / 1.5 = 0.8 and 10.8; score: mean 0.75 · min(2, 2) / 2
    found = combined(wbf, pair, iou=0.55)
    np.testing.assert_allclose(found.xyxy, [[0.8, 0, 10.8, 10]], rtol=1e-6)
    np.testing.assert_allclose(found.scores, [0.75], rtol=1e-6)


def test_confidence_falls_for_what_few_models_found():
    found = combined(wbf, [detections((0, 0, 10, 10, 0.9, 1)), detections(), detections()])
    assert rows_of(found) == [[0, 0, 10, 10, 0.3, 1]]


def test_more_boxes_than_models_do_not_raise_the_confidence():
    trio = detections(*[(0, 0, 10, 10, score, 1) for score in (0.9, 0.6, 0.3)])
    found = combined(wbf, [trio, detections()])
    assert rows_of(found) == [[0, 0, 10, 10, 0.6, 1]]  # mean 0.6 · min(3, 2) / 2


def test_weights_of_fusion_count_for_corners_and_confidence():
    pair = [detections((0, 0, 10, 10, 0.5, 1)), detections((2, 0, 12, 10, 0.5, 1))]
    # x: (1.5·0 + 0.5·2) / 2 = 0.5; score: mean of 1.5 and 0.5 is 1, · 2 / (3 + 1)
    found = combined(wbf, pair, [3, 1])
    np.testing.assert_allclose(found.xyxy, [[0.5, 0, 10.5, 10]], rtol=1e-6)
    np.testing.assert_allclose(found.scores, [0.5], rtol=1e-6)


def test_fused_confidence_does_not_exceed_one():
    twice = detections((0, 0, 10, 10, 0.9, 1), (0, 0, 10, 10, 0.9, 1))
    # mean 4.5 · min(2, 2) / 6 would be 1.5
    assert combined(wbf, [twice, detections()], [5, 1]).scores.tolist() == [1.0]


def test_a_box_joins_the_cluster_that_it_overlaps_most_as_that_is_by_then():
    rows = [(0, 0, 10, 10, 0.9, 1), (3, 0, 13, 10, 0.8, 1), (6, 0, 16, 10, 0.7, 1)]
    # IoU of first and second is 7/13 > 0.5; their mean starts at 0.8·3 / 1.7 = 1.41, and its IoU
    # with the third is 5.41/14.59 < 0.5, although the second and the third overlap by 7/13.
    found = combined(wbf, [detections(*rows)], iou=0.5)
    np.testing.assert_allclose(found.xyxy[:, 0], [2.4 / 1.7, 6], rtol=1e-6)


def test_a_class_that_one_model_knows_is_not_lowered_by_the_others():
    one = detections((0, 0, 10, 10, 0.9, 2), (50, 0, 60, 10, 0.9, 1))
    known = [[True, True, True], [True, True, False]]
    found = combined(wbf, [one, detections()], known=known)
    assert rows_of(found) == [[0, 0, 10, 10, 0.9, 2], [50, 0, 60, 10, 0.45, 1]]


def test_probabilities_are_averaged_by_weight():
    mean = average(
        [Classification([1.0, 0.0]), Classification([0.0, 1.0])],
        Ensemble.of([3, 1], 2, exclusive=True),
        Combining(),
    )
    assert mean.probs.tolist() == [0.75, 0.25]


def test_a_class_is_averaged_over_those_that_know_it():
    known = np.array([[True, True, False], [True, True, True]])
    pair = [Classification([0.8, 0.2, 0.0]), Classification([0.2, 0.2, 0.6])]
    scores = average(pair, Ensemble(np.ones(2), known), Combining()).probs
    np.testing.assert_allclose(scores, [0.5, 0.2, 0.6], rtol=1e-6)
    probabilities = average(pair, Ensemble(np.ones(2), known, exclusive=True), Combining()).probs
    np.testing.assert_allclose(probabilities, np.array([0.5, 0.2, 0.6]) / 1.3, rtol=1e-6)


def test_predictions_of_another_kind_are_refused():
    with pytest.raises(IncompatibleError, match="Detections only, found Classification"):
        combined(nms, [detections(), Classification([1.0])])
    with pytest.raises(IncompatibleError, match="Classification only, found Detections"):
        average([detections()], Ensemble.of([1], 1), Combining())


def test_a_method_that_a_task_lacks_is_refused_with_those_that_it_has():
    with pytest.raises(ConfigError, match="one of nms, soft_nms, wbf, found median"):
        chosen(task_kind("detect").combiners, "median", "to combine predictions")
    with pytest.raises(ConfigError, match="one of average, found nms"):
        chosen(task_kind("classify").combiners, "nms", "to combine predictions")
    with pytest.raises(ConfigError, match="a task with a way to join tiles"):
        chosen(task_kind("classify").joiners, "join", "to join tiles")
    assert chosen(task_kind("detect").combiners, None, "to combine predictions") is nms


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"iou": 1.5}, "iou"),
        ({"sigma": 0}, "sigma"),
        ({"weights": [1, 0]}, "positive weight"),
        ({"decay": "cubic"}, "decay"),
        ({"max_detections": 0}, "max_detections"),
        ({"methods": "wbf"}, "did you mean method"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(values, said):
    with pytest.raises(ConfigError, match=said):
        Combining(**values)
