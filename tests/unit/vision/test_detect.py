import numpy as np
import pytest

from components.contracts import Detections, Fit, ImageFrame, VisionSpec
from components.errors import ConfigError, ModelError
from components.vision.tasks.detect import Detect

NAMES = ("ant", "bee", "cat")
SPEC = VisionSpec("detect", NAMES, (64, 64), Fit.LETTERBOX, "yolo")
END2END = VisionSpec("detect", NAMES, (64, 64), Fit.LETTERBOX, "yolo_end2end")
FRAME = ImageFrame(200, 100, 0.32, 0.32, 0.0, 16.0)  # a 200 × 100 image letterboxed into 64 × 64


def yolo_head(*rows, anchors=20):
    """Return one output (1, 7, anchors): the given (cx, cy, w, h, ant, bee, cat), else silence."""
    output = np.zeros((1, 7, anchors), np.float32)
    output[0, :, : len(rows)] = np.array(rows, np.float32).reshape(-1, 7).T
    return output


def end2end_head(*rows, detections=10):
    output = np.zeros((1, detections, 6), np.float32)
    output[0, : len(rows)] = np.array(rows, np.float32).reshape(-1, 6)
    return output


def found_in(output, task=None):
    return (task or Detect(SPEC)).postprocess([output], [FRAME])[0]


def test_box_is_given_in_pixels_of_the_original_image():
    found = found_in(yolo_head((32, 32, 16, 8, 0.1, 0.8, 0.3)))
    np.testing.assert_allclose(found.xyxy, [[75, 37.5, 125, 62.5]], rtol=1e-6)
    assert found.class_ids.tolist() == [1] and found.scores.tolist() == pytest.approx([0.8])


def test_box_is_clipped_to_the_image():
    found = found_in(yolo_head((2, 18, 20, 20, 0.9, 0, 0)))
    np.testing.assert_allclose(found.xyxy, [[0, 0, 37.5, 37.5]], rtol=1e-6)


def test_box_that_lies_in_the_padding_is_no_detection():
    assert len(found_in(yolo_head((32, 5, 10, 6, 0.9, 0, 0)))) == 0


def test_weaker_box_goes_only_when_it_overlaps_one_of_its_own_class():
    twice = found_in(
        yolo_head(
            (30, 30, 10, 10, 0, 0.6, 0), (30, 31, 10, 10, 0, 0.9, 0), (30, 30, 10, 10, 0, 0, 0.7)
        )
    )
    assert twice.class_ids.tolist() == [1, 2]
    assert twice.scores.tolist() == pytest.approx([0.9, 0.7])


def test_score_must_exceed_the_confidence():
    output = yolo_head((30, 30, 10, 10, 0.5, 0, 0), (10, 30, 10, 10, 0.75, 0, 0))
    assert found_in(output, Detect(SPEC, confidence=0.5)).scores.tolist() == [0.75]


def test_only_the_best_detections_are_kept():
    rows = [(5 + 10 * k, 30, 4, 4, 0.3 + 0.1 * k, 0, 0) for k in range(6)]
    found = found_in(yolo_head(*rows), Detect(SPEC, max_detections=2))
    assert found.scores.tolist() == pytest.approx([0.8, 0.7])


def test_box_has_one_class_in_prediction_and_every_likely_one_in_evaluation():
    output = yolo_head((30, 30, 10, 10, 0.5, 0.6, 0.0005))
    assert found_in(output).class_ids.tolist() == [1]
    assert found_in(output, Detect(SPEC).evaluation_settings()).class_ids.tolist() == [1, 0]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 3, 4, 6])
def test_anchor_that_is_not_finite_is_left_out_and_the_image_reported(wrong, row):
    output = np.concatenate([yolo_head((30, 30, 10, 10, 0.9, 0, 0), (10, 30, 8, 8, 0, 0.8, 0))] * 2)
    output[1, row, 0] = wrong
    task = Detect(SPEC)
    first, second = task.postprocess([output], [FRAME, FRAME])
    assert first.class_ids.tolist() == [0, 1] and second.class_ids.tolist() == [1]
    assert task.valid_outputs([output]).tolist() == [True, False]


def test_box_turned_inside_out_is_no_detection_and_hides_none():
    found = found_in(yolo_head((30, 30, -40, 40, 0.9, 0, 0), (30, 30, 10, 10, 0.6, 0, 0)))
    assert found.scores.tolist() == pytest.approx([0.6])


def test_wild_box_does_not_disturb_the_others():
    neighbours = [(20, 30, 10, 10, 0, 0.8, 0), (40, 30, 10, 10, 0, 0.7, 0)]
    found = found_in(yolo_head((1e30, 1e30, 1e30, 1e30, 0, 0, 0.9), *neighbours))
    assert found.scores[found.class_ids == 1].tolist() == pytest.approx([0.8, 0.7])


def test_half_precision_output_is_read_like_single_precision():
    output = yolo_head((32, 32, 16, 8, 0.125, 0.75, 0.25))
    assert found_in(output.astype(np.float16)) == found_in(output)


@pytest.mark.parametrize(
    ("task", "shape"),
    [
        (Detect(SPEC), (1, 84, 20)),
        (Detect(SPEC), (1, 20, 7)),
        (Detect(SPEC), (2, 7, 20)),
        (Detect(SPEC), (7, 20)),
        (Detect(END2END), (1, 7, 20)),
        (Detect(END2END), (1, 10, 38)),
    ],
)
def test_output_of_another_shape_is_refused_with_both_shapes(task, shape):
    expected = r"\(1, 7, anchors\)" if task.spec.head == "yolo" else r"\(1, detections, 6\)"
    with pytest.raises(ModelError, match=expected) as caught:
        task.postprocess([np.zeros(shape, np.float32)], [FRAME])
    assert caught.value.found == str(shape)


def test_model_without_outputs_is_refused():
    with pytest.raises(ModelError, match="no output"):
        Detect(SPEC).postprocess([], [FRAME])


@pytest.mark.parametrize(
    ("task", "output"),
    [
        (Detect(SPEC), yolo_head((30, 30, 10, 10, 3.5, 0, 0))),
        (Detect(END2END), end2end_head((10, 20, 20, 40, 3.5, 1))),
    ],
)
def test_score_that_no_sigmoid_gives_is_refused(task, output):
    with pytest.raises(ModelError, match=r"0 and 1.*3\.5"):
        task.postprocess([output], [FRAME])
    assert task.valid_outputs([output]).tolist() == [False]


def test_score_that_overshoots_by_a_quantization_step_is_one():
    assert found_in(yolo_head((30, 30, 10, 10, 1.004, 0, 0))).scores.tolist() == [1.0]


def test_end_to_end_head_is_filtered_and_sorted():
    output = end2end_head(
        (10, 20, 20, 40, 0.4, 2), (12, 20, 22, 40, 0.1, 0), (11, 20, 21, 40, 0.6, 2)
    )
    found = found_in(output, Detect(END2END))
    np.testing.assert_allclose(found.xyxy, [[34.375, 12.5, 65.625, 75], [31.25, 12.5, 62.5, 75]])
    assert found.class_ids.tolist() == [2, 2]


def test_end_to_end_head_with_a_class_that_nobody_named_is_refused():
    output = end2end_head((10, 20, 20, 40, 0.4, 17))
    with pytest.raises(ModelError, match="class ids 0–2, found 17"):
        found_in(output, Detect(END2END))
    assert Detect(END2END).valid_outputs([output]).tolist() == [False]


@pytest.mark.parametrize(
    "wrong",
    [{"confidence": 1.5}, {"iou": -0.1}, {"confidence": float("nan")}, {"max_detections": 0}],
)
def test_threshold_out_of_range_is_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Detect(SPEC, **wrong)


def test_drift_columns_describe_each_image():
    crowd = Detections(
        [[0, 0, 10, 40], [0, 0, 30, 30], [5, 5, 15, 15], [0, 0, 1, 1]],
        [0.4, 0.9, 0.5, 0.6],
        [0, 2, 2, 0],
    )
    columns = Detect(SPEC).drift_columns([crowd, Detections.empty()], [FRAME, FRAME])
    assert columns["prediction_count"].tolist() == [4, 0]
    assert columns["prediction_confidence_mean"][0] == pytest.approx(0.6)
    assert columns["prediction_confidence_min"][0] == pytest.approx(0.4)
    assert columns["prediction_confidence_max"][0] == pytest.approx(0.9)
    assert columns["prediction_box_side_px"][0] == pytest.approx((20 + 30 + 10 + 1) / 4)
    assert columns["prediction_box_x"][0] == pytest.approx((5 + 15 + 10 + 0.5) / 4 / 200)
    assert columns["prediction_box_y"][0] == pytest.approx((20 + 15 + 10 + 0.5) / 4 / 100)
    assert columns["prediction_class_entropy"][0] == pytest.approx(np.log(2))
    assert columns["prediction_top_class"].tolist() == [2, -1]
    undefined = set(columns) - {"prediction_count", "prediction_top_class"}
    assert all(np.isnan(columns[name][1]) for name in undefined)


@pytest.mark.parametrize(
    ("counts", "best", "said"),
    [
        (
            [2, 0, 1, 4],
            [1, -1, 1, 0],
            "7 objects on 3 of 4 images, up to 4 on one; surest of an image: bee 2, ant 1",
        ),
        ([1], [2], "1 object on 1 of 1 image, up to 1 on one; surest of an image: cat 1"),
        ([0, 0], [-1, -1], "0 objects on 0 of 2 images"),
    ],
)
def test_summary_counts_objects_and_the_class_of_the_surest(counts, best, said):
    columns = {
        "prediction_count": np.array(counts, np.float64),
        "prediction_top_class": np.array(best),
    }
    assert Detect.summarise(columns, NAMES) == said
