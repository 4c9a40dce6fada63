"""Shadow and split for one pipeline: A's answers are A's whatever B does; an id has one arm."""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
import threading
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.backends import get_backend
from components.contracts import Classification, Variant
from components.errors import ConfigError, IncompatibleError
from components.images.reading import read_image
from components.inference import (
    Arm,
    Hooks,
    InferencePipeline,
    Member,
    ShadowPipeline,
    SplitPipeline,
    assign_arm,
)
from components.vision import task_for

ids = st.text(max_size=20)


def open_pipeline(*artifacts, **options):
    models = [Variant(artifact.path.name, artifact, "onnxruntime") for artifact in artifacts]
    return InferencePipeline.open(*models, threads=1, **options)


@pytest.fixture
def pictures(photos):
    return [read_image(path) for path in sorted(photos.iterdir())]


class Waiting:
    """A session that answers only when it is let."""

    def __init__(self, session):
        self._session, self.go, self.began = session, threading.Event(), threading.Event()

    def run(self, batch):
        self.began.set()
        self.go.wait()
        return self._session.run(batch)

    def close(self):
        self._session.close()


def waiting_pipeline(artifact):
    session = Waiting(get_backend("onnxruntime").open(artifact, threads=1))
    return InferencePipeline([Member(session, task_for(artifact.spec))]), session


def values(result):
    found = result.prediction
    if found is None:
        return None
    arrays = (
        [found.probs]
        if isinstance(found, Classification)
        else [found.xyxy, found.scores, found.class_ids]
    )
    return [array.tobytes() for array in arrays]


@given(ids, st.text(max_size=5), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_moves_images_to_b_and_none_back(image_id, salt, one, other):
    small, large = sorted((one, other))
    if assign_arm(image_id, share=small, salt=salt) is Arm.B:
        assert assign_arm(image_id, share=large, salt=salt) is Arm.B
    assert assign_arm(image_id, share=0, salt=salt) is Arm.A
    assert assign_arm(image_id, share=1, salt=salt) is Arm.B


def test_an_image_has_the_same_arm_in_every_process_and_for_ever():
    names = [f"camera/{number:04d}.jpg" for number in range(40)] + ["straße/ü.jpg", ""]
    code = (
        "import json, sys; from components.inference import assign_arm; "
        "print(json.dumps([assign_arm(n, share=0.3, salt='s') for n in json.loads(sys.argv[1])]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(names)], capture_output=True, text=True, check=True
    )
    here = [assign_arm(name, share=0.3, salt="s") for name in names]
    assert json.loads(done.stdout) == here
    assert "".join(here[:12]) == "AAABBABAABBA", (
        "a change of the hash would divide running tests anew"
    )


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_of_b_is_met_and_two_tests_divide_independently(share):
    names = [f"{number}.jpg" for number in range(10_000)]
    one, other = (
        [assign_arm(name, share=share, salt=salt) is Arm.B for name in names]
        for salt in ("one", "other")
    )
    assert np.mean(one) == pytest.approx(share, abs=0.02)
    assert np.mean(np.logical_and(one, other)) == pytest.approx(share**2, abs=0.02)


def test_split_results_say_who_answered_and_are_what_that_version_alone_would_say(
    make_detector, pictures
):
    names = [f"{number}.png" for number in range(10)]
    with open_pipeline(make_detector()) as a, open_pipeline(make_detector(crash_above=100)) as b:
        alone = {
            Arm.A: a.predict_batch(pictures, image_ids=names),
            Arm.B: b.predict_batch(pictures, image_ids=names),
        }
        before = {arm: pipeline.metrics.snapshot() for arm, pipeline in ((Arm.A, a), (Arm.B, b))}
        pipeline = SplitPipeline(a, b, 0.5, salt="x")
        results = pipeline.predict_batch(
            pictures, image_ids=names, metadata=[{"row": row} for row in range(10)]
        )
        one = pipeline.predict(pictures[3], image_id=names[3])
        again = asyncio.run(pipeline.apredict_batch(pictures, image_ids=names))
    assert [result.arm for result in results] == [
        assign_arm(name, share=0.5, salt="x") for name in names
    ]
    assert set(Counter(result.arm for result in results)) == {Arm.A, Arm.B}
    assert [result.metadata["row"] for result in results] == list(range(10))
    for row, result in enumerate(results):
        assert (values(result), result.error) == (
            values(alone[result.arm][row]),
            alone[result.arm][row].error,
        )
    assert [(r.arm, values(r)) for r in again] == [(r.arm, values(r)) for r in results]
    assert (one.arm, values(one)) == (results[3].arm, values(results[3]))
    assert json.loads(one.to_json())["arm"] == one.arm.value
    figures = pipeline.metrics.snapshot()
    assert figures.processed + figures.errors == 21
    for arm in Arm:
        after = pipeline.arms[arm].snapshot()
        answered = sum(r.arm is arm for r in [*results, *again, one])
        assert (
            after.processed + after.errors - before[arm].processed - before[arm].errors == answered
        )


def test_a_split_needs_names_and_a_share(detector, pictures, photos):
    with open_pipeline(detector) as a, open_pipeline(detector) as b:
        pipeline = SplitPipeline(a, b)
        with pytest.raises(ConfigError, match="image_id for each image in memory"):
            pipeline.predict(pictures[0])
        with pytest.raises(ConfigError, match="image_ids"):
            pipeline.predict_batch(pictures, image_ids=["one"])
        assert pipeline.predict(photos / "00.png").ok
        assert pipeline.predict_batch([]) == []
        with pytest.raises(ConfigError, match="share"):
            SplitPipeline(a, b, 1.5)


@pytest.mark.parametrize("kind", [ShadowPipeline, SplitPipeline])
def test_versions_of_other_classes_are_refused(kind, detector, make_detector):
    with (
        open_pipeline(detector) as a,
        open_pipeline(make_detector(class_names=("red", "green", "cyan"))) as b,
    ):
        with pytest.raises(IncompatibleError, match="same class names"):
            kind(a, b)


@pytest.mark.parametrize("kind", [ShadowPipeline, SplitPipeline])
@pytest.mark.parametrize(
    "method", ["predict", "predict_batch", "apredict", "apredict_batch", "close"]
)
def test_a_test_can_stand_where_one_pipeline_stood(kind, method):
    def face(owner):
        signature = inspect.signature(getattr(owner, method))
        return list(signature.parameters.values())

    assert face(kind) == face(InferencePipeline)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.integers(0, 11), min_size=1, max_size=12),
    crash_above=st.sampled_from([0, 90, 120, 250]),
)
def test_a_shadows_answer_is_that_of_a_alone_bit_for_bit(
    make_detector, pictures, rows, crash_above
):
    white, black = np.full((32, 32, 3), 255, np.uint8), np.zeros((32, 32, 3), np.uint8)
    images = [[*pictures, white, black][row] for row in rows]
    with open_pipeline(make_detector()) as alone:
        expected = alone.predict_batch(images)
    records = []
    a, b = open_pipeline(make_detector()), open_pipeline(make_detector(crash_above=crash_above))
    with ShadowPipeline(a, b, record=records.append) as pipeline:
        results = pipeline.predict_batch(images)
        assert pipeline.wait(30)
    assert [(values(r), r.error, r.image_id) for r in results] == [
        (values(r), r.error, r.image_id) for r in expected
    ]
    assert {result.arm for result in results} == {Arm.A}
    assert [(one.a.image_id, one.b.image_id) for one in records] == [
        (r.image_id, r.image_id) for r in results
    ]
    assert all(one.b.arm is Arm.B and (one.b.ok or one.b.error) for one in records)
    counted = pipeline.arms[Arm.B].snapshot()
    assert counted.errors == sum(not one.b.ok for one in records)


@pytest.mark.parametrize(
    "error", [RuntimeError("out of luck"), SystemExit("enough"), MemoryError()]
)
def test_any_error_of_b_is_a_recorded_failure_and_never_one_of_a(detector, pictures, error):
    def broken(predictions, weights):
        raise error

    a, b = open_pipeline(detector), open_pipeline(detector, detector, hooks=Hooks(combine=broken))
    with ShadowPipeline(a, b) as pipeline:
        results = pipeline.predict_batch(pictures)
        assert pipeline.wait(30)
        assert all(result.ok for result in results)
        assert [one.b.error for one in pipeline.recent] == [
            f"{type(error).__name__}: {error}".strip()
        ] * 10
        assert pipeline.arms[Arm.B].snapshot().errors == 10
        assert pipeline.metrics.snapshot().errors == 0


def test_a_record_that_cannot_be_kept_costs_nothing(detector, pictures, caplog):
    kept = []

    def record(shadowed):
        if shadowed.a.image_id == "0":
            raise OSError("disk full")
        kept.append(shadowed)

    with ShadowPipeline(
        open_pipeline(detector), open_pipeline(detector), record=record
    ) as pipeline:
        assert all(result.ok for result in pipeline.predict_batch(pictures))
        assert pipeline.wait(30)
    assert len(kept) == 9
    assert "the record of 0 was not kept" in caplog.text


def test_a_slow_b_keeps_nobody_waiting_and_is_passed_over_when_it_falls_behind(detector, pictures):
    b, session = waiting_pipeline(detector)
    with ShadowPipeline(open_pipeline(detector), b, waiting=12) as pipeline:
        assert all(result.ok for result in pipeline.predict_batch(pictures))
        assert session.began.wait(30)
        assert not pipeline.wait(0), "A has answered while B is still busy"
        assert pipeline.predict(pictures[0]).ok and pipeline.predict(pictures[1]).ok
        assert all(result.ok for result in pipeline.predict_batch(pictures))
        assert pipeline.arms[Arm.B].snapshot().errors == 10, (
            "twelve images wait; these ten were passed over"
        )
        session.go.set()
        assert pipeline.wait(30)
        assert (len(pipeline.recent), pipeline.arms[Arm.B].snapshot().processed) == (12, 12)
        assert pipeline.arms[Arm.A].snapshot().processed == 22


def test_a_b_that_hangs_does_not_keep_the_pipeline_from_closing(detector, pictures, caplog):
    b, session = waiting_pipeline(detector)
    pipeline = ShadowPipeline(open_pipeline(detector), b, patience_s=0.05)
    assert pipeline.predict(pictures[0]).ok
    assert session.began.wait(30)
    pipeline.close()
    assert "still busy with 1 images" in caplog.text
    assert "closed" in pipeline.predict(pictures[0]).error
    session.go.set()
    assert pipeline.wait(30)


def test_b_sees_what_a_saw_whatever_becomes_of_the_array_or_the_file(detector, photos):
    b, session = waiting_pipeline(detector)
    with ShadowPipeline(open_pipeline(detector), b) as pipeline:
        path = photos / "01.png"
        image = read_image(path)
        pipeline.predict_batch([image, path, path.read_bytes(), photos / "none.png"])
        image[:] = 0
        path.unlink()
        session.go.set()
        assert pipeline.wait(30)
        assert [values(one.a) for one in pipeline.recent] == [
            values(one.b) for one in pipeline.recent
        ]
        assert [one.b.ok for one in pipeline.recent] == [True, True, True, False]


def test_async_shadows_answer_like_the_others(detector, pictures):
    async def predict_all(pipeline):
        singles = [
            pipeline.apredict(picture, image_id=str(k)) for k, picture in enumerate(pictures)
        ]
        return await asyncio.gather(*singles, pipeline.apredict_batch(pictures))

    with ShadowPipeline(open_pipeline(detector), open_pipeline(detector)) as pipeline:
        *singles, batch = asyncio.run(predict_all(pipeline))
        expected = pipeline.predict_batch(pictures)
        assert pipeline.wait(30)
    assert (
        [values(r) for r in singles] == [values(r) for r in batch] == [values(r) for r in expected]
    )
    assert len(pipeline.recent) == 30
    pipeline.close()


def test_a_shadow_has_room_for_one_image_at_least(detector):
    with (
        open_pipeline(detector) as a,
        open_pipeline(detector) as b,
        pytest.raises(ConfigError, match="waiting"),
    ):
        ShadowPipeline(a, b, waiting=0)
