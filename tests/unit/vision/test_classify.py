import numpy as np
import pytest

from components.contracts import Classification, Fit, ImageFrame, VisionSpec
from components.errors import ModelError
from components.vision.tasks.classify import Classify

NAMES = ("ant", "bee", "cat")
LOGITS = VisionSpec("classify", NAMES, (32, 32), Fit.CENTER_CROP, "logits")
PROBABILITIES = VisionSpec("classify", NAMES, (32, 32), Fit.CENTER_CROP, "probabilities")
SIGMOID = VisionSpec("classify", NAMES, (32, 32), Fit.CENTER_CROP, "sigmoid")
SIGMOID_LOGITS = VisionSpec("classify", NAMES, (32, 32), Fit.CENTER_CROP, "sigmoid_logits")
FRAME = ImageFrame(32, 32, 1.0, 1.0, 0.0, 0.0)


def probs_of(spec, *rows, dtype=np.float32):
    output = np.array(rows, dtype)
    return np.stack(
        [found.probs for found in Classify(spec).postprocess([output], [FRAME] * len(rows))]
    )


def test_logits_become_probabilities():
    np.testing.assert_allclose(
        probs_of(LOGITS, np.log([1, 2, 5])), [[0.125, 0.25, 0.625]], rtol=1e-6
    )


def test_large_logits_do_not_overflow():
    np.testing.assert_allclose(
        probs_of(LOGITS, [3e38, 3e38, -3e38], [6e4, 0, 0]), [[0.5, 0.5, 0], [1, 0, 0]]
    )


def test_probabilities_stay_as_they_are():
    np.testing.assert_array_equal(
        probs_of(PROBABILITIES, [0.125, 0.25, 0.625]), [[0.125, 0.25, 0.625]]
    )


def test_scores_of_a_sigmoid_stay_as_they_are_and_need_not_sum_to_one():
    np.testing.assert_array_equal(probs_of(SIGMOID, [0.75, 0.25, 0.875]), [[0.75, 0.25, 0.875]])
    np.testing.assert_array_equal(probs_of(SIGMOID_LOGITS, [0, 3e38, -3e38]), [[0.5, 1, 0]])
    np.testing.assert_allclose(
        probs_of(SIGMOID_LOGITS, [np.log(3), 0, -np.log(3)]), [[0.75, 0.5, 0.25]]
    )


def test_probabilities_that_do_not_sum_to_one_are_refused():
    with pytest.raises(ModelError, match=r"that sum to 1.*1 of 2 images.*sigmoid"):
        probs_of(PROBABILITIES, [0.2, 0.3, 0.5], [0.9, 0.1, 0.9])


def test_entropy_of_a_sigmoid_is_that_of_each_class_by_itself():
    columns = Classify(SIGMOID).drift_columns(
        [Classification([0.5, 0.5, 1]), Classification([0, 0, 0])], [FRAME] * 2
    )
    np.testing.assert_allclose(columns["prediction_entropy"], [2 * np.log(2), 0])
    np.testing.assert_allclose(columns["prediction_confidence"], [1, 0])
    np.testing.assert_allclose(columns["prediction_margin"], [0.5, 0])
    assert columns["prediction_class"].tolist() == [2, 0]


def test_probability_that_overshoots_by_a_quantization_step_is_one():
    np.testing.assert_array_equal(probs_of(PROBABILITIES, [1.004, -0.002, 0]), [[1, 0, 0]])


def test_half_precision_output_is_read_like_single_precision():
    row = [0.5, 1.25, -3.0]
    np.testing.assert_array_equal(probs_of(LOGITS, row, dtype=np.float16), probs_of(LOGITS, row))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("spec", [LOGITS, PROBABILITIES])
def test_output_that_is_not_finite_is_refused_and_the_image_reported(spec, wrong):
    output = np.array([[0, 1, 0], [0, wrong, 0], [0, 0, 1]], np.float32)
    with pytest.raises(ModelError, match="1 of 3 images"):
        Classify(spec).postprocess([output], [FRAME] * 3)
    assert Classify(spec).valid_outputs([output]).tolist() == [True, False, True]


def test_logits_are_not_taken_for_probabilities():
    with pytest.raises(ModelError, match=r"probabilities between 0 and 1.*1 of 2 images.*logits"):
        probs_of(PROBABILITIES, [0.2, 0.3, 0.5], [4.2, -1.0, 0.3])


@pytest.mark.parametrize("shape", [(1, 4), (2, 3), (3,), (1, 3, 1, 1)])
def test_output_of_another_shape_is_refused_with_both_shapes(shape):
    with pytest.raises(ModelError, match=r"\(1, 3\)") as caught:
        Classify(LOGITS).postprocess([np.zeros(shape, np.float32)], [FRAME])
    assert caught.value.found == str(shape)


def test_model_without_outputs_is_refused():
    with pytest.raises(ModelError, match="no output"):
        Classify(LOGITS).postprocess([], [FRAME])


def test_drift_columns_describe_how_sure_the_model_was():
    predictions = [Classification([0.25, 0.5, 0.25]), Classification([0, 0, 1])]
    columns = Classify(LOGITS).drift_columns(predictions, [FRAME, FRAME])
    np.testing.assert_allclose(columns["prediction_confidence"], [0.5, 1])
    np.testing.assert_allclose(columns["prediction_margin"], [0.25, 1])
    np.testing.assert_allclose(columns["prediction_entropy"], [1.5 * np.log(2), 0])
    assert columns["prediction_class"].tolist() == [1, 2]


def test_model_of_one_class_has_drift_columns():
    spec = VisionSpec("classify", ("ant",), (32, 32), Fit.CENTER_CROP, "probabilities")
    assert Classify(spec).drift_columns([Classification([0.75])], [FRAME])[
        "prediction_margin"
    ].tolist() == [0.75]


def test_summary_counts_images_by_class_and_says_how_sure_the_model_was():
    columns = {
        "prediction_class": np.array([2, 0, 2, 2]),
        "prediction_confidence": np.array([0.5, 0.9, 0.7, 0.8]),
    }
    assert Classify.summarise(columns, NAMES) == "cat 3, ant 1; median confidence 0.75"


def test_summary_names_the_five_most_frequent_classes_and_counts_the_others():
    ids = np.repeat(np.arange(7), [1, 2, 3, 4, 5, 6, 7])
    columns = {"prediction_class": ids, "prediction_confidence": np.ones(len(ids))}
    said = Classify.summarise(columns, tuple("abcdefg"))
    assert said == "g 7, f 6, e 5, d 4, c 3 and 2 more classes; median confidence 1.00"
