"""Which of its two heads a YOLO26 or YOLOv10 is read with, and heads that are not YOLO's."""

from __future__ import annotations

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from components.backends import get_backend
from components.backends.yolo import load_yolo
from components.contracts import Detections
from components.errors import ModelError
from components.optimize import ModelOptions, open_model
from components.vision import task_for
from components.vision.agreement import agreement
from tests.unit.optimize.conftest import write_yolo

pytestmark = pytest.mark.slow

CONFIDENCE = 0.05


@pytest.fixture(
    scope="module", params=[("yolo26n", 0.1), ("yolov10n", 0.03)], ids=lambda kind: kind[0]
)
def checkpoint(request, tmp_path_factory):
    name, spread = request.param
    return write_yolo(name, tmp_path_factory.mktemp(name), spread=spread)


def _clouds():
    rng = np.random.default_rng(1)
    sizes = [(150, 240), (240, 150), (60, 200), (128, 128)]
    return [
        cv2.resize(rng.integers(0, 256, (9, 7, 3), np.uint8), size, interpolation=cv2.INTER_CUBIC)
        for size in sizes
    ]


def _ours(artifact, images):
    task = task_for(artifact.spec, confidence=CONFIDENCE)
    fitted, frames = zip(*(task.preprocess(image) for image in images), strict=True)
    with get_backend("onnxruntime").open(artifact, threads=1) as session:
        return task.postprocess(session.run(np.stack(fitted)), frames)


def _theirs(checkpoint, images, **options):
    yolo = load_yolo(checkpoint, trust=True)
    found = []
    for image in images:
        result = yolo.predict(
            image, imgsz=128, rect=False, conf=CONFIDENCE, iou=0.7, verbose=False, **options
        )
        boxes = result[0].boxes
        corners = boxes.xyxy.numpy()
        real = (corners[:, 2:] > corners[:, :2]).all(axis=1)
        found.append(Detections(corners[real], boxes.conf.numpy()[real], boxes.cls.numpy()[real]))
    return found


def test_by_default_a_checkpoint_is_read_as_plain_predict_reads_it(checkpoint, tmp_path):
    images = _clouds()
    artifact = open_model(
        checkpoint, ModelOptions(image_size=128, trust_pickle=True), workdir=tmp_path, images=images
    )
    assert artifact.spec.head == "yolo"
    matched, total = agreement(_ours(artifact, images), _theirs(checkpoint, images))
    assert total > 50
    assert matched >= 0.98 * total


def test_the_head_without_nms_is_used_when_it_is_asked_for(checkpoint, tmp_path):
    if checkpoint.stem != "yolo26n":
        pytest.skip("the other one's untrained scores are too alike for a list of the best")
    images = _clouds()
    artifact = open_model(
        checkpoint,
        ModelOptions(image_size=128, trust_pickle=True, end_to_end=True),
        workdir=tmp_path,
        images=images,
    )
    assert artifact.spec.head == "yolo_end2end"
    matched, total = agreement(_ours(artifact, images), _theirs(checkpoint, images, nms=False))
    assert total > 50
    assert matched >= 0.98 * total


def test_a_model_without_that_head_is_refused_when_it_is_asked_for(tmp_path):
    with pytest.raises(ModelError, match="end_to_end"):
        open_model(
            write_yolo("yolo11n", tmp_path),
            ModelOptions(trust_pickle=True, end_to_end=True),
            workdir=tmp_path / "work",
        )


def _queries(path, *, classes, metadata=(), pixels=False):
    """Write a detector of 300 rows: a box and each class's score, or box, score and class id."""
    rng = np.random.default_rng(0)
    rows = rng.random((1, 300, 4 + classes)).astype(np.float32)
    if pixels:
        rows[..., :4] *= 64
        rows[..., 5] = np.arange(300) % 2
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Squeeze", ["nothing", "last"], ["flat"]),
        helper.make_node("Add", ["flat", "rows"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "queries",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, 64, 64])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["n", 300, rows.shape[2]])],
        [
            numpy_helper.from_array(rows, "rows"),
            numpy_helper.from_array(np.zeros(1, np.float32), "zero"),
            numpy_helper.from_array(np.array([3], np.int64), "last"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    names = str({k: f"thing {k}" for k in range(classes)})
    for key, value in {
        "task": "detect",
        "names": names,
        "imgsz": "[64, 64]",
        **dict(metadata),
    }.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize(
    "metadata",
    [
        {"head": "RTDETRDecoder"},
        {"description": "Ultralytics rtdetr-l model trained on coco.yaml"},
        {},
    ],
    ids=["head", "description", "values"],
)
def test_the_queries_of_an_rt_detr_are_not_read_as_rows_of_a_yolo(classes, metadata, tmp_path):
    path = _queries(tmp_path / "m.onnx", classes=classes, metadata=metadata)
    with pytest.raises(ModelError, match="RT-DETR") as caught:
        open_model(path, workdir=tmp_path / "work")
    assert "\n" not in str(caught.value)


def test_rows_with_whole_class_ids_are_read_as_end_to_end(tmp_path):
    artifact = open_model(
        _queries(tmp_path / "m.onnx", classes=2, pixels=True), workdir=tmp_path / "work"
    )
    assert artifact.spec.head == "yolo_end2end"
