from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from components.backends import get_backend
from components.contracts import Fit, Precision
from components.errors import ModelError
from components.optimize import IMAGENET, UNIT, ModelOptions, Normalisation, open_model
from components.optimize.opening.embed import network_input


def _images(size=32, count=2):
    return np.random.default_rng(5).integers(0, 256, (count, size, size, 3), np.uint8)


def _run(artifact, images):
    with get_backend("onnxruntime").open(artifact, threads=1) as session:
        return session.run(images)[0]


def _original(path, images, normalisation, *, channels_last=False):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    pixels = network_input(images, normalisation)
    pixels = pixels.transpose(0, 2, 3, 1) if channels_last else pixels
    return np.concatenate(
        [session.run(None, {"pixels": one[None]})[0] for one in np.ascontiguousarray(pixels)]
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch": 1},
        {"channels_last": True},
        {"softmax": True},
        {"batch": 1, "channels_last": True},
    ],
    ids=str,
)
def test_any_onnx_classifier_computes_the_same_after_opening(options, write_network, tmp_path):
    path = write_network(**options)
    artifact = open_model(path, workdir=tmp_path / "work")
    images = _images()
    expected = _original(path, images, IMAGENET, channels_last=options.get("channels_last", False))
    np.testing.assert_allclose(_run(artifact, images), expected, rtol=1e-4, atol=1e-5)
    assert artifact.inputs[0].dtype == "uint8"
    assert artifact.inputs[0].shape == ("batch", 32, 32, 3)
    assert artifact.outputs[0].shape == ("batch", 3)


def test_what_a_classifier_does_not_say_is_seen_or_given_a_usual_value(write_network, tmp_path):
    spec = open_model(write_network(softmax=True), workdir=tmp_path / "work").spec
    assert spec.task == "classify"
    assert spec.class_names == ("class_0", "class_1", "class_2")
    assert spec.head == "probabilities"
    assert spec.fit is Fit.CENTER_CROP
    assert open_model(write_network(), workdir=tmp_path / "work").spec.head == "logits"


def test_what_the_user_says_is_used(write_network, tmp_path):
    path = write_network(size="side")
    artifact = open_model(
        path,
        ModelOptions(
            class_names=["a", "b", "c"], image_size=48, fit=Fit.STRETCH, normalisation=UNIT
        ),
        workdir=tmp_path / "work",
    )
    assert artifact.spec.class_names == ("a", "b", "c")
    assert artifact.spec.input_size == (48, 48)
    assert artifact.spec.fit is Fit.STRETCH
    images = _images(48)
    np.testing.assert_allclose(
        _run(artifact, images), _original(path, images, UNIT), rtol=1e-4, atol=1e-5
    )


def test_a_normalisation_of_other_units_is_expressed_in_the_same_terms(write_network, tmp_path):
    path = write_network()
    bytes_as_they_are = Normalisation((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))
    artifact = open_model(
        path, ModelOptions(normalisation=bytes_as_they_are), workdir=tmp_path / "work"
    )
    images = _images()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    pixels = np.ascontiguousarray(images[..., ::-1].transpose(0, 3, 1, 2)).astype(np.float32)
    np.testing.assert_allclose(
        _run(artifact, images), session.run(None, {"pixels": pixels})[0], rtol=1e-3
    )


def test_a_half_precision_export_is_widened_to_float32(write_network, tmp_path):
    artifact = open_model(write_network(half=True), workdir=tmp_path / "work")
    assert artifact.precision is Precision.FP32
    assert artifact.outputs[0].dtype == "float32"
    assert artifact.history[-1].parameters["widened_from"] == "fp16"


def test_opening_twice_gives_the_same_bytes(write_network, tmp_path):
    path = write_network()
    first, second = (open_model(path, workdir=tmp_path / name) for name in "ab")
    assert first.sha256 == second.sha256


def test_a_file_that_foveal_wrote_is_taken_as_it_is(write_network, tmp_path):
    first = open_model(write_network(), workdir=tmp_path / "work")
    second = open_model(first.path, workdir=tmp_path / "other")
    assert second == first
    assert not (tmp_path / "other").exists()
    with pytest.raises(ModelError, match="class_names"):
        open_model(first.path, ModelOptions(class_names=["x", "y", "z"]), workdir=tmp_path)


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"class_names": ["a", "b"]}, "class names"),
        ({"image_size": 64}, "fixed to"),
        ({"task": "detect"}, "detector's output"),
    ],
)
def test_a_wish_that_the_file_contradicts_is_refused_and_nothing_is_written(
    wishes, message, write_network, tmp_path
):
    with pytest.raises(ModelError, match=message):
        open_model(write_network(), ModelOptions(**wishes), workdir=tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_a_free_size_must_be_given(write_network, tmp_path):
    with pytest.raises(ModelError, match="image_size"):
        open_model(write_network(size="side"), workdir=tmp_path)


@pytest.mark.parametrize("name", ["model.onnx", "model.pt", "model.tflite"])
@pytest.mark.parametrize(
    "contents", [b"", b"text", b"PK\x03\x04 no archive", b"\x80\x02 no pickle"]
)
def test_a_damaged_file_is_refused_in_one_line(name, contents, tmp_path):
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(ModelError) as caught:
        open_model(tmp_path / name, ModelOptions(trust_pickle=True), workdir=tmp_path / "work")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "work").exists()


def test_a_folder_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(ModelError, match="a folder"):
        open_model(tmp_path, workdir=tmp_path)
    with pytest.raises(ModelError, match="nothing at"):
        open_model(tmp_path / "none.pt", workdir=tmp_path)


@pytest.mark.slow
def test_a_yolo_checkpoint_brings_its_meaning(yolo11, yolo26):
    assert yolo11.spec.head == "yolo"
    assert yolo11.outputs[0].shape == ("batch", 84, 336)
    assert yolo26.spec.head == "yolo_end2end"
    assert yolo26.outputs[0].shape == ("batch", 300, 6)
    for artifact in (yolo11, yolo26):
        assert artifact.spec.task == "detect"
        assert artifact.spec.fit is Fit.LETTERBOX
        assert len(artifact.spec.class_names) == 80


def test_an_ultralytics_onnx_export_brings_its_meaning(write_network, tmp_path):
    path = write_network(softmax=True, batch=1)
    model = onnx.load(path)
    entries = {
        "task": "classify",
        "names": "{0: 'cat', 1: 'dog', 2: 'owl'}",
        "imgsz": "[32, 32]",
        "date": "2026-11-22",
    }
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    artifact = open_model(path, workdir=tmp_path / "work")
    assert artifact.spec.class_names == ("cat", "dog", "owl")
    images = _images()
    np.testing.assert_allclose(
        _run(artifact, images), _original(path, images, UNIT), rtol=1e-4, atol=1e-6
    )
