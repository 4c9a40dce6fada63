"""What every vision task keeps, whatever it predicts: one suite over all of them."""

import dataclasses

import numpy as np
import pytest

from components.backends.onnx_file import fits_shape
from components.contracts import Classification, Detections, Fit, VisionSpec
from components.errors import ConfigError, DatasetError, IncompatibleError, ModelError
from components.vision import task_for
from components.vision.combining.ensemble import Ensemble
from components.vision.combining.settings import Combining
from components.vision.heads import head_of
from components.vision.tasks.classify import Classify
from components.vision.tasks.detect import Detect

NAMES = tuple("abcdefgh")
SIZE = (48, 64)
HEADS = {
    "yolo": ("detect", Fit.LETTERBOX),
    "yolo_end2end": ("detect", Fit.LETTERBOX),
    "logits": ("classify", Fit.CENTER_CROP),
    "probabilities": ("classify", Fit.STRETCH),
    "sigmoid": ("classify", Fit.CENTER_CROP),
    "sigmoid_logits": ("classify", Fit.CENTER_CROP),
}


def spec_of(head):
    task, fit = HEADS[head]
    return VisionSpec(task, NAMES, SIZE, fit, head)


@pytest.fixture(params=HEADS, ids=str)
def task(request):
    return task_for(spec_of(request.param), confidence=0.3)


def output_of(task, images):
    """What a model with this head could give for some images."""
    rng = np.random.default_rng(images)
    if task.spec.head == "yolo":
        output = rng.random((images, 4 + len(NAMES), 50)) ** 3
        output[:, :4] = rng.uniform(8, 40, (images, 4, 50))
    elif task.spec.head == "yolo_end2end":
        corners = rng.uniform(0, 40, (images, 20, 2))
        rest = rng.random((images, 20, 1)), rng.integers(len(NAMES), size=(images, 20, 1))
        output = np.concatenate(
            [corners, corners + rng.uniform(4, 30, (images, 20, 2)), *rest], axis=2
        )
    else:
        output = rng.random((images, len(NAMES)))
        if task.spec.head == "probabilities":
            output /= output.sum(axis=1, keepdims=True)
    return output.astype(np.float32)


def predicted(task, images=3):
    pictures = [np.full((40 + 5 * k, 90 - 10 * k, 3), 30 * k, np.uint8) for k in range(images)]
    frames = [task.preprocess(picture)[1] for picture in pictures]
    output = output_of(task, images)
    return output, frames, task.postprocess([output], frames)


def truths_of(predictions):
    """Ground truth that agrees with the predictions."""
    return [
        Detections(found.xyxy, np.ones(len(found)), found.class_ids)
        if isinstance(found, Detections)
        else Classification(np.eye(len(NAMES))[found.class_id])
        for found in predictions
    ]


def arrays_of(found):
    return (
        [found.xyxy, found.scores, found.class_ids]
        if isinstance(found, Detections)
        else [found.probs]
    )


def values_of(predictions):
    return [[values.tolist() for values in arrays_of(found)] for found in predictions]


def test_input_has_the_size_and_type_that_the_model_takes(task):
    fitted, frame = task.preprocess(np.zeros((31, 77, 3), np.uint8))
    assert fitted.shape == (*SIZE, 3) and fitted.dtype == np.uint8
    assert (frame.height, frame.width) == (31, 77)


def test_every_image_gets_one_prediction_of_the_kind(task):
    _, _, predictions = predicted(task)
    kind = Detections if task.spec.task == "detect" else Classification
    assert [type(found) for found in predictions] == [kind] * 3
    if kind is Detections:
        assert all(len(found) for found in predictions)


def test_batch_gives_what_single_images_give(task):
    output, frames, together = predicted(task)
    alone = [task.postprocess([output[k : k + 1]], [frames[k]])[0] for k in range(3)]
    assert values_of(together) == values_of(alone)


def test_outputs_are_left_as_they_were_and_may_be_read_only(task):
    output, frames, predictions = predicted(task)
    before = output.copy()
    output.setflags(write=False)
    assert values_of(task.postprocess([output], frames)) == values_of(predictions)
    assert np.array_equal(output, before)


def test_predictions_do_not_change_with_the_engine_s_buffer(task):
    output, _, predictions = predicted(task)
    before = values_of(predictions)
    output[:] = 0
    assert values_of(predictions) == before


def test_predictions_are_read_only(task):
    _, _, predictions = predicted(task)
    for values in arrays_of(predictions[0]):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 0


def test_further_outputs_of_the_model_are_ignored(task):
    output, frames, predictions = predicted(task)
    more = task.postprocess([output, np.zeros((3, 32, 8, 8), np.float32)], frames)
    assert values_of(more) == values_of(predictions)


def test_no_images_give_no_predictions_and_empty_columns(task):
    assert task.postprocess([output_of(task, 3)[:0]], []) == []
    assert task.valid_outputs([output_of(task, 3)[:0]]).shape == (0,)
    assert {len(column) for column in task.drift_columns([], []).values()} == {0}


def test_every_method_combines_what_agrees_into_the_same_labels(task):
    _, _, predictions = predicted(task)
    for name, method in task.combiners.items():
        for found in predictions:
            # nothing of it overlaps: the first method alone, without any overlap
            first = next(iter(task.combiners.values()))
            once = first([found], Ensemble.of([1], len(NAMES)), Combining(iou=0))
            settings = Combining(method=name, decay="linear", iou=0.4)
            joined = method([once, once], Ensemble.of([1, 2], len(NAMES)), settings)
            assert isinstance(joined, task.prediction)
            assert sorted(joined.labels) == sorted(once.labels), name


def test_accuracy_without_ground_truth_is_refused(task):
    with pytest.raises(DatasetError):
        task.evaluate([], [])


def test_primary_metric_is_one_for_predictions_that_are_right(task):
    _, _, predictions = predicted(task)
    accuracy = task.evaluate(predictions, truths_of(predictions))
    assert accuracy[task.metric] == pytest.approx(1.0)
    assert all(0 <= value <= 1 for value in accuracy.values())


def test_predictions_of_the_other_task_are_refused(task):
    _, frames, _ = predicted(task)
    other = Classification([1.0]) if task.spec.task == "detect" else Detections.empty()
    with pytest.raises(IncompatibleError, match=type(other).__name__):
        task.evaluate([other], [other])
    with pytest.raises(IncompatibleError, match=type(other).__name__):
        task.drift_columns([other], frames[:1])


def test_evaluation_settings_are_of_the_same_model_and_settle(task):
    settings = task.evaluation_settings()
    assert settings.spec == task.spec and settings.metric == task.metric
    assert settings.evaluation_settings() == settings


def test_drift_columns_have_one_value_an_image_as_quantity_or_category(task):
    _, frames, predictions = predicted(task)
    columns = task.drift_columns(predictions, frames)
    assert all(name.startswith("prediction_") for name in columns)
    assert {column.shape for column in columns.values()} == {(3,)}
    assert {column.dtype for column in columns.values()} == {
        np.dtype(np.float64),
        np.dtype(np.int64),
    }
    assert columns.keys() == task.drift_columns([], []).keys()
    dtypes = {name: column.dtype for name, column in columns.items()}
    assert dtypes == {name: column.dtype for name, column in task.drift_columns([], []).items()}


def test_summary_says_in_one_line_what_was_predicted(task):
    _, frames, predictions = predicted(task)
    said = task.summarise(task.drift_columns(predictions, frames), NAMES)
    assert said and "\n" not in said
    best = predictions[0].labels[0] if task.spec.task == "classify" else 0
    wanted = "object" if task.spec.task == "detect" else f"{NAMES[best]} "
    assert wanted in said


def test_what_is_named_of_a_prediction_is_plain(task):
    _, _, predictions = predicted(task)
    for one in predictions[0].named():
        assert NAMES[one.class_id] and 0 <= one.score <= 1
        assert all(isinstance(value, float) for _, value in one.values)


def test_output_has_the_shape_that_its_head_states(task):
    output, _, _ = predicted(task)
    assert fits_shape(head_of(task.spec.head).shape(len(NAMES)), output.shape)


def test_truth_of_labels_is_of_the_task_s_kind(task):
    boxes = Detections([[1, 2, 3, 4]], [1], [0])
    truth = task.from_labels(boxes if task.has_boxes else Classification(np.eye(len(NAMES))[0]))
    assert isinstance(truth, task.prediction) and truth.labels == [0]


def test_sound_outputs_are_told_from_unsound_ones(task):
    output = output_of(task, 3)
    output[1].flat[-1] = np.nan
    assert task.valid_outputs([output]).tolist() == [True, False, True]


def test_task_is_frozen_and_compares_by_its_settings(task):
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.spec = None
    assert task == task_for(task.spec, confidence=0.3)


@pytest.mark.parametrize("head", HEADS, ids=str)
def test_head_of_the_other_task_is_refused(head):
    other = Classify if HEADS[head][0] == "detect" else Detect
    with pytest.raises(ModelError, match=f"found {head}"):
        other(spec_of(head))


def test_thresholds_reach_the_detector():
    detector = task_for(spec_of("yolo"), confidence=0.4, iou=0.6)
    assert detector == Detect(spec_of("yolo"), confidence=0.4, iou=0.6)
    with pytest.raises(ConfigError, match="confidence"):
        task_for(spec_of("yolo"), confidence=4)
