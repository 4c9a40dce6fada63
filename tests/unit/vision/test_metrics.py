import numpy as np
import pytest

from components.contracts import Classification, Detections
from components.errors import DatasetError, IncompatibleError
from components.vision.metrics import average_precision, only, top_accuracy


def detections(*rows):
    """Detections from (left, top, right, bottom, score, class id) rows."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5])


def measured(predictions, truths, **settings):
    return average_precision(
        predictions, truths, **{"classes": 3, "max_detections": 300, **settings}
    )


CAR, BUS = (0, 0, 100, 100, 1, 0), (200, 200, 300, 260, 1, 2)


def test_perfect_predictions_score_one():
    assert measured([detections(CAR, BUS)], [detections(CAR, BUS)]) == {
        "map50_95": 1.0,
        "map50": 1.0,
        "map75": 1.0,
    }


def test_metrics_are_plain_floats():
    assert {type(value) for value in measured([detections(CAR)], [detections(CAR)]).values()} == {
        float
    }


def test_nothing_found_scores_zero():
    assert measured([Detections.empty()], [detections(CAR)]) == {
        "map50_95": 0.0,
        "map50": 0.0,
        "map75": 0.0,
    }


def test_false_alarm_above_the_hit_halves_the_precision():
    found = detections((500, 500, 600, 600, 0.9, 0), (*CAR[:4], 0.8, 0))
    assert measured([found], [detections(CAR)])["map50"] == pytest.approx(0.5)


def test_false_alarm_below_the_hit_costs_nothing():
    found = detections((500, 500, 600, 600, 0.7, 0), (*CAR[:4], 0.8, 0))
    assert measured([found], [detections(CAR)])["map50"] == pytest.approx(1.0)


def test_false_alarm_in_an_empty_image_counts():
    found = [detections((500, 500, 600, 600, 0.9, 0)), detections((*CAR[:4], 0.8, 0))]
    assert measured(found, [Detections.empty(), detections(CAR)])["map50"] == pytest.approx(0.5)


def test_overlap_decides_up_to_which_threshold_a_hit_counts():
    loose = detections((0, 0, 100, 77, 0.9, 0))  # IoU 0.77 with the car
    accuracy = measured([loose], [detections(CAR)])
    assert accuracy["map50"] == accuracy["map75"] == pytest.approx(1.0)
    assert accuracy["map50_95"] == pytest.approx(0.6)  # 0.50, 0.55 … 0.75 of ten thresholds


def test_box_of_another_class_is_no_hit():
    assert measured([detections((*CAR[:4], 0.9, 1))], [detections(CAR)])["map50"] == 0.0


def test_mean_is_over_the_classes_that_occur():
    assert measured([detections(CAR)], [detections(CAR, BUS)])["map50"] == pytest.approx(0.5)


def test_every_detection_up_to_the_limit_counts():
    squares = [(30 * k, 0, 30 * k + 20, 20, 1, 0) for k in range(150)]
    crowd = detections(*squares)
    assert measured([crowd], [crowd])["map50"] == pytest.approx(1.0)
    assert measured([crowd], [crowd], max_detections=75)["map50"] == pytest.approx(0.5, abs=0.01)


def test_giant_box_counts_like_any_other():
    giant = detections((0, 0, 200_000, 100_000, 1, 0))
    assert measured([giant], [giant])["map50"] == pytest.approx(1.0)


def test_evaluation_prints_nothing(capfd):
    measured([detections(CAR)], [detections(CAR)])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("images", [0, 2])
def test_ground_truth_without_an_object_is_not_a_score_of_zero(images):
    with pytest.raises(DatasetError, match=f"{images} images without any"):
        measured([Detections.empty()] * images, [Detections.empty()] * images)


def test_ground_truth_of_a_class_that_the_model_lacks_is_refused():
    with pytest.raises(IncompatibleError, match="class id 2"):
        measured([detections(CAR)], [detections(BUS)], classes=2)


def test_predictions_and_truths_must_pair_up():
    with pytest.raises(ValueError, match="each of 2 images, found 1"):
        measured([detections(CAR)], [detections(CAR)] * 2)
    with pytest.raises(ValueError, match="each of 0 images, found 1"):
        top_accuracy([Classification([1.0])], [])


def test_predictions_of_another_task_are_refused():
    with pytest.raises(IncompatibleError, match="Detections only, found Classification"):
        only(Detections, [detections(CAR), Classification([1.0])])


def one_hot(class_id, classes=6):
    return Classification(np.eye(classes)[class_id])


def test_top_accuracies_count_the_best_and_the_five_best_classes():
    found = Classification([0.3, 0.25, 0.2, 0.15, 0.1, 0.0])
    accuracy = top_accuracy([found] * 4, [one_hot(0), one_hot(1), one_hot(4), one_hot(5)])
    assert accuracy == {"top1": 0.25, "top5": 0.75}


def test_few_classes_are_all_among_the_five_best():
    assert top_accuracy([Classification([0.6, 0.4])], [one_hot(1, 2)]) == {"top1": 0.0, "top5": 1.0}


def test_flat_prediction_does_not_hit_every_class():
    flat = Classification(np.full(10, 0.1))
    truths = [one_hot(k, 10) for k in range(10)]
    assert top_accuracy([flat] * 10, truths) == {"top1": 0.1, "top5": 0.5}


def test_no_labelled_images_are_not_a_score_of_zero():
    with pytest.raises(DatasetError, match="at least one"):
        top_accuracy([], [])


def test_other_number_of_classes_is_refused():
    with pytest.raises(IncompatibleError, match="2 and 3"):
        top_accuracy([Classification([0.6, 0.4])], [one_hot(1, 3)])
