import numpy as np
import pytest

from components.contracts import Classification, Detections
from components.errors import IncompatibleError
from components.vision.combine import average, nms


def detections(*rows, masks=None):
    """From (x1, y1, x2, y2, score, class id)."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64), masks)


def test_overlapping_detections_of_a_class_become_the_surest_one():
    joined = nms([detections((0, 0, 10, 10, 0.6, 1)), detections((1, 0, 11, 10, 0.8, 1))], [1, 1])
    assert joined == detections((1, 0, 11, 10, 0.8, 1))


def test_detections_of_different_classes_or_places_all_stay_surest_first():
    one, other = (
        detections((0, 0, 10, 10, 0.6, 1)),
        detections((0, 0, 10, 10, 0.7, 2), (50, 0, 60, 10, 0.9, 1)),
    )
    joined = nms([one, other], [1, 1])
    assert joined.scores.tolist() == pytest.approx([0.9, 0.7, 0.6])


def test_weight_decides_between_models_and_confidence_stays_as_it_was():
    trusted, other = detections((0, 0, 10, 10, 0.6, 1)), detections((1, 0, 11, 10, 0.8, 1))
    assert nms([trusted, other], [2, 1]) == trusted


def test_the_overlap_that_merges_can_be_chosen():
    pair = [detections((0, 0, 10, 10, 0.6, 1)), detections((5, 0, 15, 10, 0.8, 1))]  # IoU 1/3
    assert len(nms(pair, [1, 1])) == 2
    assert len(nms(pair, [1, 1], iou=0.3)) == 1


def test_the_number_of_detections_is_limited():
    many = detections(*[(20 * k, 0, 20 * k + 10, 10, 0.5, 0) for k in range(8)])
    assert len(nms([many, detections()], [1, 1], max_detections=5)) == 5


def test_nothing_found_by_anyone_is_nothing():
    assert nms([detections(), detections()], [1, 1]) == Detections.empty()


def test_masks_follow_their_detections_and_go_when_a_model_has_none():
    left, right = np.zeros((1, 4, 4), bool), np.ones((1, 4, 4), bool)
    one, other = (
        detections((0, 0, 2, 2, 0.6, 1), masks=left),
        detections((2, 2, 4, 4, 0.8, 1), masks=right),
    )
    joined = nms([one, other], [1, 1])
    np.testing.assert_array_equal(joined.masks, np.concatenate([right, left]))
    assert nms([one, detections((2, 2, 4, 4, 0.8, 1))], [1, 1]).masks is None


def test_probabilities_are_averaged_by_weight():
    mean = average([Classification([1.0, 0.0]), Classification([0.0, 1.0])], [3, 1])
    assert mean.probs.tolist() == [0.75, 0.25]


def test_predictions_of_another_kind_are_refused():
    with pytest.raises(
        IncompatibleError, match="Detections from every model, found Classification"
    ):
        nms([detections(), Classification([1.0])], [1, 1])
    with pytest.raises(
        IncompatibleError, match="Classification from every model, found Detections"
    ):
        average([detections()], [1])
