import asyncio
import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from components.backends import describe_onnx, get_backend
from components.contracts import Classification
from components.errors import ConfigError, IncompatibleError, ModelError, UnavailableError
from components.images.reading import read_image
from components.inference import Hooks, InferencePipeline, Member, Metrics, PipelineSettings
from components.vision import task_for


@pytest.fixture
def pictures(photos):
    return [read_image(path) for path in sorted(photos.iterdir())]


def open_pipeline(*artifacts, settings=None, hooks=None, device="cpu", batch=8, **changes):
    """Open models with settings, given as a whole or as the fields that are not as usual."""
    settings = settings or PipelineSettings(**changes)
    return InferencePipeline.open(
        *artifacts, settings=settings, hooks=hooks, device=device, threads=1, batch=batch
    )


class SlowSession:
    """A session that takes its time and notices when two threads use it at once."""

    def __init__(self, session):
        self._session, self._busy = session, threading.Lock()
        self.shared = False

    def run(self, batch):
        self.shared |= not self._busy.acquire(blocking=False)
        time.sleep(0.01)
        outputs = self._session.run(batch)
        self._busy.release()
        return outputs

    def close(self):
        self._session.close()


def test_a_prediction_names_places_and_times_what_it_found(detector, pictures):
    red = np.zeros((32, 64, 3), np.uint8)
    red[:, :, 2] = 200
    with open_pipeline(detector) as pipeline:
        result = pipeline.predict(red, image_id="cam-1/17", metadata={"line": 4})
    assert (result.image_id, result.metadata, result.error, result.ok) == (
        "cam-1/17",
        {"line": 4},
        "",
        True,
    )
    assert result.ms > 0
    assert {item.class_name for item in result.items} == {"red"}
    assert all(
        item.box is not None and 0 <= item.box[0] < item.box[2] <= 64 for item in result.items
    )


def test_a_batch_gives_what_each_image_gives_alone(detector, pictures):
    with open_pipeline(detector, batch=4) as pipeline:
        together = pipeline.predict_batch(pictures)
        alone = [pipeline.predict(picture) for picture in pictures]
    assert [result.prediction for result in together] == [result.prediction for result in alone]
    assert [result.image_id for result in together] == [str(number) for number in range(10)]


def test_images_come_as_arrays_paths_names_or_bytes(detector, photos):
    path = photos / "03.png"
    with open_pipeline(detector) as pipeline:
        results = pipeline.predict_batch([read_image(path), path, str(path), path.read_bytes()])
    assert all(result.prediction == results[0].prediction for result in results)
    assert [result.image_id for result in results] == ["0", str(path), str(path), "3"]


def test_a_bad_image_is_a_recorded_failure_and_the_others_are_predicted(detector, pictures, photos):
    white = np.full((32, 32, 3), 255, np.uint8)  # the engine fails on it
    black = np.zeros((32, 32, 3), np.uint8)  # the output is not a number
    grey = np.zeros((32, 32), np.uint8)  # not a colour image
    images = [pictures[0], white, b"soup", black, photos / "none.png", grey, pictures[1]]
    with open_pipeline(detector) as pipeline:
        results = pipeline.predict_batch(images)
        assert [result.ok for result in results] == [True, False, False, False, False, False, True]
        assert [bool(result.error) for result in results] == [
            False,
            True,
            True,
            True,
            True,
            True,
            False,
        ]
        assert results[-1].prediction == pipeline.predict(pictures[1]).prediction
        assert results[1].items == ()
        assert "detector.onnx" in results[1].error and "none.png" in results[4].error
        figures = pipeline.metrics.snapshot()
    assert (figures.processed, figures.errors) == (3, 5)


def test_an_empty_batch_has_no_results(detector):
    with open_pipeline(detector) as pipeline:
        assert pipeline.predict_batch([]) == []


def test_metrics_follow_the_predictions(detector, pictures):
    with open_pipeline(detector) as pipeline:
        assert pipeline.metrics.snapshot().p50_ms is None
        results = pipeline.predict_batch(pictures)
        figures = pipeline.metrics.snapshot()
    times = [result.ms for result in results]
    assert figures.mean_ms == pytest.approx(np.mean(times))
    assert figures.p95_ms == pytest.approx(np.percentile(times, 95))
    assert figures.throughput_per_s > 0


def test_two_detectors_agree_on_one_detection_each(detector, make_detector, pictures):
    with open_pipeline(detector) as single, open_pipeline(detector, make_detector()) as both:
        assert both.predict(pictures[0]).prediction == single.predict(pictures[0]).prediction


def test_detectors_of_different_input_sizes_meet_in_the_pixels_of_the_image(
    detector, make_detector
):
    quarters = np.array([[(200, 0, 0), (0, 200, 0)], [(0, 0, 200), (0, 150, 0)]], np.uint8)
    image = quarters.repeat(40, axis=0).repeat(40, axis=1)
    with open_pipeline(detector, make_detector(side=64)) as pipeline:
        items = pipeline.predict(image).items
    boxes = {item.box: item.class_name for item in items}
    assert boxes == {
        (0, 0, 40, 40): "blue", (40, 0, 80, 40): "green",
        (0, 40, 40, 80): "red", (40, 40, 80, 80): "green",
    }  # fmt: skip
    assert len(items) == 4


def test_classifiers_are_averaged_by_weight(make_classifier, pictures):
    sure, unsure = make_classifier(sharpness=20), make_classifier(sharpness=1)
    with (
        open_pipeline(sure) as one,
        open_pipeline(unsure) as other,
        open_pipeline(sure, unsure, combine={"weights": [3, 1]}) as both,
    ):
        expected = (
            0.75 * one.predict(pictures[0]).prediction.probs
            + 0.25 * other.predict(pictures[0]).prediction.probs
        )
        result = both.predict(pictures[0])
    assert isinstance(result.prediction, Classification)
    np.testing.assert_allclose(result.prediction.probs, expected, rtol=1e-6)
    assert result.items[0].class_name == ("blue", "green", "red")[int(expected.argmax())]


def test_a_combination_of_ones_own_is_used(detector, make_detector, pictures):
    def first(predictions, weights):
        assert list(weights) == [1.0, 2.0]
        return predictions[0]

    with (
        open_pipeline(detector) as alone,
        open_pipeline(
            detector, detector, combine={"weights": [1, 2]}, hooks=Hooks(combine=first)
        ) as pipeline,
    ):
        assert pipeline.predict(pictures[0]).prediction == alone.predict(pictures[0]).prediction


def test_one_member_that_fails_on_an_image_fails_that_image_only(detector, make_detector, pictures):
    picky = make_detector(crash_above=float(np.median([picture.mean() for picture in pictures])))
    with open_pipeline(detector, picky) as pipeline, open_pipeline(detector) as single:
        results = pipeline.predict_batch(pictures)
        alone = single.predict_batch(pictures)
    failed = [not result.ok for result in results]
    assert 0 < sum(failed) < 10
    assert all(
        result.prediction == one.prediction
        for result, one in zip(results, alone, strict=True)
        if result.ok
    )


def test_models_that_do_not_belong_together_are_refused(detector, classifier, make_detector):
    with pytest.raises(IncompatibleError, match="task"):
        open_pipeline(detector, classifier)
    with pytest.raises(IncompatibleError, match="class names"):
        open_pipeline(detector, make_detector(class_names=("cyan", "magenta", "yellow")))
    scores = replace(classifier, spec=replace(classifier.spec, head="sigmoid_logits"))
    with pytest.raises(IncompatibleError, match="scores mean the same"):
        open_pipeline(classifier, scores)


def test_members_whose_classes_are_in_another_order_are_matched_by_name(
    detector, make_detector, pictures
):
    other = make_detector(class_names=("red", "green", "blue"))

    def last(predictions, weights):
        return predictions[-1]

    with (
        open_pipeline(other) as alone,
        open_pipeline(detector, other, hooks=Hooks(combine=last)) as both,
    ):
        for picture in pictures:
            one, result = alone.predict(picture), both.predict(picture)
            assert [item.class_name for item in result.items] == [
                item.class_name for item in one.items
            ]
            assert [item.class_id for item in result.items] == [
                2 - item.class_id for item in one.items
            ]


def test_wrong_arguments_are_refused(detector, pictures):
    with pytest.raises(ConfigError, match="at least one model"):
        InferencePipeline([])
    with pytest.raises(ConfigError, match="weights"):
        open_pipeline(detector, combine={"weights": [1, 2]})
    for weight in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="positive weight"):
            open_pipeline(detector, combine={"weights": [weight]})
    with pytest.raises(ConfigError, match="batch"):
        open_pipeline(detector, batch=0)
    with open_pipeline(detector) as pipeline:
        with pytest.raises(ConfigError, match="image_ids"):
            pipeline.predict_batch(pictures, image_ids=["one"])
        with pytest.raises(ConfigError, match="metadata"):
            pipeline.predict_batch(pictures, metadata=[{}])


def test_what_was_opened_is_closed_when_another_model_cannot_be(detector, tmp_path):
    gone = tmp_path / "gone.onnx"
    gone.write_bytes(detector.path.read_bytes())
    artifact = describe_onnx(gone)
    gone.unlink()
    with pytest.raises(ModelError, match="gone"):
        open_pipeline(detector, artifact)
    with pytest.raises(UnavailableError):
        open_pipeline(detector, device="nowhere")


def test_a_closed_pipeline_says_so_in_its_results(detector, pictures):
    pipeline = open_pipeline(detector)
    pipeline.close()
    pipeline.close()
    assert "closed" in pipeline.predict(pictures[0]).error


def test_async_predictions_equal_the_others_and_leave_the_loop_free(detector, pictures):
    session = SlowSession(get_backend("onnxruntime").open(detector, threads=1))
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    async def predict_all(pipeline):
        ticking = asyncio.create_task(tick())
        calls = [pipeline.apredict(picture, image_id=str(k)) for k, picture in enumerate(pictures)]
        results = await asyncio.gather(*calls, pipeline.apredict_batch(pictures))
        ticking.cancel()
        return results

    with InferencePipeline([Member(session, task_for(detector.spec))], workers=4) as pipeline:
        *singles, batch = asyncio.run(predict_all(pipeline))
        expected = pipeline.predict_batch(pictures)
        again = asyncio.run(pipeline.apredict(pictures[0]))  # another event loop
    assert [result.prediction for result in singles] == [result.prediction for result in expected]
    assert [result.prediction for result in batch] == [result.prediction for result in expected]
    assert [result.image_id for result in singles] == [str(k) for k in range(10)]
    assert again.prediction == expected[0].prediction
    assert ticks > 20
    assert not session.shared


def test_no_more_async_calls_run_at_once_than_workers(detector, pictures):
    running, most, lock = 0, 0, threading.Lock()

    def counting(predictions, weights):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return predictions[0]

    member = Member(get_backend("onnxruntime").open(detector, threads=1), task_for(detector.spec))
    with InferencePipeline([member, member], hooks=Hooks(combine=counting), workers=2) as pipeline:

        async def predict_all():
            await asyncio.gather(*(pipeline.apredict(picture) for picture in pictures))

        asyncio.run(predict_all())
    assert most == 2


def test_threads_may_share_a_pipeline_and_its_metrics(detector, pictures):
    metrics = Metrics()
    session = SlowSession(get_backend("onnxruntime").open(detector, threads=1))
    with InferencePipeline([Member(session, task_for(detector.spec))], metrics=metrics) as pipeline:
        threads = [
            threading.Thread(target=pipeline.predict_batch, args=(pictures,)) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert metrics.snapshot().processed == 40
    assert not session.shared


def test_a_result_is_json(detector, classifier, pictures, photos):
    with open_pipeline(detector) as pipeline:
        found = json.loads(
            pipeline.predict(pictures[0], image_id="a", metadata={"at": photos}).to_json()
        )
        failed = json.loads(pipeline.predict(b"", image_id="b").to_json())
    assert found["image_id"] == "a" and found["error"] == ""
    assert found["metadata"] == {"at": str(photos)}
    assert set(found["items"][0]) == {"class_id", "class_name", "confidence", "box"}
    assert failed["items"] == [] and failed["error"]
    with open_pipeline(classifier) as pipeline:
        said = json.loads(pipeline.predict(pictures[0]).to_json())
    assert [set(item) for item in said["items"]] == [{"class_id", "class_name", "confidence"}] * 3
