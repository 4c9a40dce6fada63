"""A YOLO checkpoint at a rectangle: boxes of plain `YOLO.predict`, padded to the stride only."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import flows
from components.backends import get_backend
from components.datasets.dataset import load_dataset
from components.datasets.scenes import SceneCounts, write_detection_dataset
from components.errors import ModelError
from components.images.reading import read_image
from components.optimize import ModelOptions, PassContext, get_pass, open_model
from components.vision import task_for

pytestmark = pytest.mark.slow

MODEL = Path(flows.__file__).parent / "assets" / "digits.pt"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Landscape scenes of 240 × 320 pixels."""
    counts = SceneCounts(
        train=1, calibration=1, validation=24, golden=1, day=1, night=1, next_night=1
    )
    data = write_detection_dataset(
        tmp_path_factory.mktemp("scenes") / "digits", counts=counts, seed=5
    )
    images = [read_image(image.path) for image in load_dataset(data, "val").images]
    landscape = [image for image in images if image.shape[:2] == (240, 320)]
    assert len(landscape) >= 3
    return landscape


@pytest.fixture(scope="module")
def yolo():
    from components.backends.yolo import load_yolo

    return load_yolo(MODEL, trust=True)


def detections(artifact, images):
    task = task_for(artifact.spec, confidence=0.25, iou=0.7)
    with get_backend("onnxruntime").open(artifact, threads=1) as session:
        return [
            task.postprocess(session.run(fitted[None]), [frame])[0]
            for fitted, frame in map(task.preprocess, images)
        ]


@pytest.mark.parametrize(("size", "zoom"), [((256, 320), 1), ((480, 640), 2)])
def test_boxes_at_a_rectangle_are_those_of_plain_predict(size, zoom, scenes, yolo, tmp_path):
    images = [
        cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC) for image in scenes
    ]
    artifact = open_model(MODEL, ModelOptions(image_size=size, trust_pickle=True), workdir=tmp_path)
    assert artifact.inputs[0].shape == ("batch", *size, 3)
    found = detections(artifact, images)
    assert sum(map(len, found)) > 5
    for ours, image in zip(found, images, strict=True):
        theirs = yolo.predict(
            image, imgsz=max(size), conf=0.25, iou=0.7, verbose=False, device="cpu"
        )[0].boxes
        assert len(ours) == len(theirs)
        np.testing.assert_allclose(ours.xyxy, theirs.xyxy.numpy(), atol=0.1)
        np.testing.assert_allclose(ours.scores, theirs.conf.numpy(), atol=1e-3)
        np.testing.assert_array_equal(ours.class_ids, theirs.cls.numpy())


def test_integers_are_calibrated_at_the_rectangle(scenes, tmp_path):
    artifact = open_model(
        MODEL, ModelOptions(image_size=(256, 320), trust_pickle=True), workdir=tmp_path
    )
    task = task_for(artifact.spec)
    context = PassContext(tmp_path, calibration=[task.preprocess(image)[0] for image in scenes])
    lowered = get_pass("int8_conv").apply(artifact, context)
    assert lowered.inputs == artifact.inputs
    pairs = zip(detections(artifact, scenes), detections(lowered, scenes), strict=True)
    assert sum(len(one) == len(other) for one, other in pairs) >= len(scenes) / 2


def test_sides_that_are_no_multiples_of_the_stride_are_refused_with_what_to_take(tmp_path):
    with pytest.raises(ModelError, match=r"multiples of 32.*found \[470, 640\]; take \[480, 640\]"):
        open_model(MODEL, ModelOptions(image_size=(470, 640), trust_pickle=True), workdir=tmp_path)
