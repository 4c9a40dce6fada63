"""Flips, tiles, shared classes, rules and hooks, on whole pipelines."""

import cv2
import numpy as np
import pytest

from components.contracts import Classification, Detections, Fit, Variant, VisionSpec
from components.errors import ConfigError, IncompatibleError
from components.inference import (
    Cause,
    Hooks,
    InferencePipeline,
    Member,
    PipelineSettings,
)
from components.vision import TASKS, task_for
from components.vision.heads import HEADS

SIDE, ANCHORS = 128, 60
FINDER = VisionSpec("detect", ("thing",), (SIDE, SIDE), Fit.LETTERBOX, "yolo")
HALVES = VisionSpec("classify", ("bright", "dark"), (32, 32), Fit.STRETCH, "probabilities")


class Finder:
    """A session that finds bright rectangles exactly, or `shift` pixels too far to the right."""

    def __init__(self, shift=0.0):
        self.shift, self.inputs = shift, []

    def run(self, batch):
        self.inputs.append(len(batch))
        output = np.zeros((len(batch), 5, ANCHORS), np.float32)
        for image, columns in zip(batch, output, strict=True):
            mask = (image[..., 0] > 127).astype(np.uint8)
            _, _, found, _ = cv2.connectedComponentsWithStats(mask)
            for k, (x, y, w, h, _) in enumerate(found[1:]):
                columns[:, k] = (x + w / 2 + self.shift, y + h / 2, w, h, 0.9)
        return [output]

    def close(self):
        pass


class LeftHalf:
    """A session whose probability of the first class is the brightness of the left half."""

    def run(self, batch):
        bright = batch[:, :, :16].mean(axis=(1, 2, 3)) / 255
        return [np.stack([bright, 1 - bright], axis=1).astype(np.float32)]

    def close(self):
        pass


def pipeline_of(session, spec=FINDER, *, batch=8, hooks=None, **settings):
    members = [Member(session, task_for(spec), "finder")]
    return InferencePipeline(
        members, settings=PipelineSettings(**settings), batch=batch, hooks=hooks
    )


def picture(*boxes, height=300, width=260, grey=0):
    image = np.full((height, width, 3), grey, np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2] = 255
    return image


def boxes_of(result):
    assert result.error == ""
    return sorted(result.prediction.xyxy.round().astype(int).tolist())


SEAMS = [(10, 10, 20, 18), (95, 30, 160, 50), (60, 90, 80, 200), (100, 100, 150, 150)]


@pytest.mark.parametrize("whole", [True, False])
def test_objects_on_seams_come_out_once_and_whole(whole):
    with pipeline_of(Finder(), tiling={"size": SIDE, "whole": whole}) as pipeline:
        assert boxes_of(pipeline.predict(picture(*SEAMS))) == sorted(map(list, SEAMS))


def test_tiles_find_what_is_too_small_in_the_whole_image():
    small = [(200 * k + 61, 131 * k + 90, 200 * k + 65, 131 * k + 94) for k in range(5)]
    image = picture(*small, height=1024, width=1024)  # shrunk 8 times, by two pixels in eight
    with (
        pipeline_of(Finder()) as plain,
        pipeline_of(Finder(), tiling={"size": SIDE, "whole": False}) as tiled,
    ):
        assert plain.predict(image).items == ()
        assert boxes_of(tiled.predict(image)) == sorted(map(list, small))


def test_tiles_go_through_the_engine_in_batches():
    finder = Finder()
    with pipeline_of(finder, batch=4, tiling={"size": SIDE, "whole": False}) as pipeline:
        results = pipeline.predict_batch([picture(*SEAMS), picture(), b"soup", picture(SEAMS[1])])
    assert max(finder.inputs) <= 4 and sum(finder.inputs) == 3 * 9
    assert [len(result.items) for result in results] == [4, 0, 0, 1]
    assert [result.cause for result in results] == [None, None, Cause.IMAGE, None]


def test_boxes_of_flips_are_flipped_back_and_a_bias_to_one_side_cancels():
    box = (40, 30, 80, 70)
    with pipeline_of(Finder(shift=4)) as one:
        assert boxes_of(one.predict(picture(box, height=128, width=128))) == [[44, 30, 84, 70]]
    for flips, wanted in ((["horizontal"], 40), (["vertical"], 44), (["vertical", "both"], 43)):
        settings = {"flips": flips, "combine": {"method": "wbf"}}
        with pipeline_of(Finder(shift=4), **settings) as flipped:
            found = boxes_of(flipped.predict(picture(box, height=128, width=128)))
        expected = 40 + np.mean([4, *(-4 if flip != "vertical" else 4 for flip in flips)])
        assert found == [[round(expected), 30, round(expected) + 40, 70]], flips
        assert abs(expected - wanted) < 2


def test_classes_of_flips_are_averaged():
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, :16] = 204
    with (
        pipeline_of(LeftHalf(), HALVES) as plain,
        pipeline_of(LeftHalf(), HALVES, flips=["horizontal"]) as flipped,
    ):
        assert plain.predict(image).prediction.probs.tolist() == pytest.approx([0.8, 0.2])
        assert flipped.predict(image).prediction.probs.tolist() == pytest.approx([0.4, 0.6])


def test_flips_and_tiles_go_together():
    settings = {"flips": ["both"], "tiling": {"size": SIDE}, "combine": {"method": "wbf"}}
    with pipeline_of(Finder(), **settings) as pipeline:
        assert boxes_of(pipeline.predict(picture(*SEAMS))) == sorted(map(list, SEAMS))


def test_a_class_that_one_model_lacks_is_left_to_the_others(detector, make_detector):
    other = make_detector(class_names=("red", "green", "cyan"))
    red, blue = (np.zeros((32, 32, 3), np.uint8) for _ in range(2))
    red[..., 2], blue[..., 0] = 200, 200
    settings = PipelineSettings(combine={"method": "wbf"})
    with InferencePipeline.open(detector, other, settings=settings, threads=1) as pipeline:
        assert pipeline.class_names == ("blue", "green", "red", "cyan")
        results = pipeline.predict_batch([red, blue])
    red_scores, blue_scores = (
        {item.class_name: item.confidence for item in one.items} for one in results
    )
    # The third channel is red in one model and cyan in the other, the first one is blue and red.
    assert red_scores == pytest.approx({"red": 100 / 255, "cyan": 200 / 255})
    assert blue_scores == pytest.approx({"blue": 200 / 255, "red": 100 / 255})
    assert results[0].models == ("detector.onnx", "detector.onnx")


def test_detections_are_kept_by_rules_of_the_settings():
    boxes = [(10, 10, 14, 40), (60, 60, 90, 90), (60, 10, 100, 40)]
    image = picture(*boxes, height=128, width=128)
    rules = {"min_side_px": 8, "region": [[50, 50], [128, 50], [128, 128], [50, 128]]}
    with pipeline_of(Finder(), keep=rules) as pipeline:
        assert boxes_of(pipeline.predict(image)) == [[60, 60, 90, 90]]
    with pipeline_of(Finder(), keep={"confidence": {"thing": 0.95}}) as pipeline:
        assert pipeline.predict(image).items == ()


def test_a_hook_changes_the_prediction_and_sees_the_image():
    def of_dark_images(prediction, image):
        assert image.shape == (128, 128, 3)
        return prediction if image.mean() < 100 else Detections.empty()

    hooks = Hooks(postprocess=of_dark_images)
    box = (10, 10, 40, 40)
    with pipeline_of(Finder(), hooks=hooks) as pipeline:
        dark, bright = pipeline.predict_batch(
            [picture(box, height=128, width=128), picture(box, height=128, width=128, grey=120)]
        )
    assert len(dark.items) == 1 and bright.ok and bright.items == ()


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda prediction, image: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda prediction, image: None, "expected Detections from postprocess, found NoneType"),
        (lambda prediction, image: Classification([1.0]), "found Classification"),
    ],
)
def test_a_hook_that_fails_costs_its_image_only(function, said):
    def first_only(prediction, image):
        return function(prediction, image) if image.max() else prediction

    with pipeline_of(Finder(), hooks=Hooks(postprocess=first_only)) as pipeline:
        one, other = pipeline.predict_batch([picture(SEAMS[0]), picture()])
        causes = pipeline.metrics.snapshot().causes
    assert said in one.error and one.cause is Cause.POSTPROCESSING and one.prediction is None
    assert other.ok
    assert causes == {"postprocessing": 1}


def test_models_are_variants_artifacts_or_paths_of_files(detector):
    variant = Variant("mine/3", detector, "onnxruntime", confidence=0.5)
    with InferencePipeline.open(variant, detector, detector.path, str(detector.path)) as pipeline:
        assert pipeline.model_names == ("mine/3", *["detector.onnx"] * 3)
    with pytest.raises(ConfigError, match=r"foveal\.InferencePipeline"):
        InferencePipeline.open("parts@champion")


def test_what_a_task_does_not_have_is_refused_before_the_first_image(classifier):
    for settings, said in (
        ({"tiling": {"size": 64}}, "a task with a way to join tiles"),
        ({"combine": {"method": "nms"}}, "one of average, found nms"),
        ({"keep": {"min_side_px": 4}}, "rules of the models' task"),
        ({"flips": ["horizontal", "horizontal"]}, "each flip once"),
        ({"flips": ["sideways"]}, "flips"),
    ):
        with pytest.raises(ConfigError, match=said):
            InferencePipeline.open(classifier, settings=PipelineSettings(**settings))


def test_models_without_a_common_class_are_refused(detector, make_detector):
    with pytest.raises(IncompatibleError, match="share class names, such as blue"):
        InferencePipeline.open(detector, make_detector(class_names=("a", "b", "c")))


class Counter:
    """A session of the toy head that counts a fixed number of things in any image."""

    def __init__(self, count):
        self.count = count

    def run(self, batch):
        return [np.full((len(batch), 1), np.log1p(self.count), np.float32)]

    def close(self):
        pass


@pytest.fixture
def toy_spec(monkeypatch):
    monkeypatch.setitem(TASKS, "count", "tests.toy.plugins:CountThings")
    monkeypatch.setitem(HEADS, "log_count", "tests.toy.plugins:LogCount")
    return VisionSpec("count", ("square",), (32, 32), Fit.STRETCH, "log_count")


def test_a_task_of_ones_own_says_how_its_predictions_are_combined(toy_spec):
    members = [Member(Counter(count), task_for(toy_spec)) for count in (3, 9)]
    settings = PipelineSettings(combine={"weights": [5, 1]}, flips=["vertical"])
    with InferencePipeline(members, settings=settings) as pipeline:
        assert pipeline.predict(picture()).prediction.value == 4
    with pytest.raises(ConfigError, match="one of mean, found wbf"):
        InferencePipeline(members, settings=PipelineSettings(combine={"method": "wbf"}))
