"""Models whose batches differ from their single images, and what equivalence is proved on."""

from __future__ import annotations

import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from components.backends import get_backend
from components.contracts import Fit, Output, Precision, VisionSpec
from components.datasets.scenes import SceneCounts, write_detection_dataset
from components.errors import PassError
from components.images.reading import read_image
from components.optimize import (
    IMAGENET,
    ModelOptions,
    PassContext,
    get_pass,
    open_model,
    remarks_on,
)
from components.optimize.opening.embed import network_input
from components.optimize.proof import prove_on
from components.optimize.verify import require_lowered
from components.vision import task_for
from components.vision.agreement import agreement
from tests.conftest import MODEL

pytestmark = pytest.mark.slow


def _images(count=3, size=32, seed=5):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def _change(path, nodes, constants, output):
    """Let a classifier end in further nodes behind its `logits`."""
    model = onnx.load(path)
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array(v, np.int64), k) for k, v in constants.items()
    )
    model.graph.output[0].name = output
    onnx.save(model, path)
    return path


def _alone(path, images, normalisation=IMAGENET):
    """What an ONNX file says of each image, repeated to fill the batch that it is fixed to."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0]
    count = source.shape[0] if isinstance(source.shape[0], int) else 1
    pixels = [
        np.repeat(network_input(image[None], normalisation), count, axis=0) for image in images
    ]
    return np.concatenate([session.run(None, {source.name: batch})[0][:1] for batch in pixels])


def _run(artifact, images, backend="onnxruntime"):
    with get_backend(backend).open(artifact, threads=1) as session:
        return session.run(images)[0]


def _first_image_only(path):
    """The outputs of all images but the first are zero."""
    nodes = [
        helper.make_node("Slice", ["logits", "zero", "one", "zero"], ["first"]),
        helper.make_node("Sub", ["logits", "logits"], ["nothing"]),
        helper.make_node("Slice", ["nothing", "one", "many", "zero"], ["rest"]),
        helper.make_node("Concat", ["first", "rest"], ["row"], axis=0),
    ]
    return _change(path, nodes, {"zero": [0], "one": [1], "many": [1 << 40]}, "row")


def _one_image_only(path):
    """The rows of a batch are run together into one."""
    nodes = [
        helper.make_node("Reshape", ["logits", "all"], ["run together"]),
        helper.make_node("Unsqueeze", ["run together", "zero"], ["row"]),
    ]
    return _change(path, nodes, {"all": [-1], "zero": [0]}, "row")


def _four_images_only(path):
    nodes = [helper.make_node("Gather", ["logits", "rows"], ["row"], axis=0)]
    return _change(path, nodes, {"rows": [0, 1, 2, 3]}, "row")


@pytest.mark.parametrize(
    ("batch", "change", "said"),
    [
        ("n", _first_image_only, "8 images in one call do not give"),
        (1, _one_image_only, "8 images in one call"),
        (4, _four_images_only, "at 4 times the cost"),
    ],
    ids=["first image only", "one image", "four images"],
)
def test_a_model_that_cannot_batch_is_run_image_by_image_and_says_so(
    batch, change, said, write_network, tmp_path
):
    path = change(write_network(batch=batch))
    images = _images()
    artifact = open_model(path, workdir=tmp_path / "work", images=images)
    assert artifact.inputs[0].shape == (1, 32, 32, 3)
    assert artifact.outputs[0].shape == (1, 3)
    assert any(said in remark for remark in remarks_on(artifact))
    for backend in ("onnxruntime", "openvino"):
        np.testing.assert_allclose(
            _run(artifact, images, backend), _alone(path, images), rtol=1e-4, atol=1e-5
        )


def test_a_file_of_our_own_whose_images_touch_each_other_in_a_batch_is_run_image_by_image(
    write_network, tmp_path
):
    own, images = (
        open_model(write_network(), workdir=tmp_path / "work", images=_images()),
        _images(),
    )
    model = onnx.load(own.path)
    scores = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["alone" if name == scores else name for name in node.output]
        node.input[:] = ["alone" if name == scores else name for name in node.input]
    model.graph.node.append(
        helper.make_node("ReduceMax", ["alone"], ["best of all"], axes=[0], keepdims=1)
    )
    model.graph.node.append(helper.make_node("Add", ["alone", "best of all"], [scores]))
    onnx.save(model, own.path)
    taken = open_model(own.path, workdir=tmp_path / "again", images=images)
    assert (taken.inputs[0].shape, taken.outputs[0].shape) == ((1, 32, 32, 3), (1, 3))
    assert any("8 images in one call do not give" in remark for remark in remarks_on(taken))
    session = onnxruntime.InferenceSession(str(own.path), providers=["CPUExecutionProvider"])
    wanted = np.concatenate([session.run(None, {"images": image[None]})[0] for image in images])
    np.testing.assert_allclose(_run(taken, images), wanted, rtol=1e-5)
    assert open_model(taken.path, workdir=tmp_path / "third", images=images) == taken


def test_variants_of_a_model_without_batches_take_single_images_too(write_network, tmp_path):
    images = _images(8)
    artifact = open_model(
        _first_image_only(write_network()), workdir=tmp_path / "work", images=images
    )
    context = PassContext(tmp_path / "work", calibration=list(images))
    for name in ("fp16", "int8_conv"):
        variant = get_pass(name).apply(artifact, context)
        assert variant.inputs[0].shape == (1, 32, 32, 3)
        found, wanted = _run(variant, images), _run(artifact, images)
        assert np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()


def test_a_batch_axis_that_holds_for_two_images_is_proved_at_the_largest_batch(
    write_network, tmp_path
):
    nodes = [  # from the fifth image on the outputs are those of the first
        helper.make_node("Slice", ["logits", "zero", "four", "zero"], ["head"]),
        helper.make_node("Slice", ["logits", "four", "many", "zero"], ["tail"]),
        helper.make_node("Sub", ["tail", "tail"], ["nothing"]),
        helper.make_node("Concat", ["head", "nothing"], ["row"], axis=0),
    ]
    path = _change(write_network(), nodes, {"zero": [0], "four": [4], "many": [1 << 40]}, "row")
    images = _images(6)
    assert (
        open_model(path, workdir=tmp_path / "four", images=images, batch=4).inputs[0].shape[0]
        == "batch"
    )
    assert (
        open_model(path, workdir=tmp_path / "eight", images=images, batch=8).inputs[0].shape[0] == 1
    )


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("kind", ["vit", "swin"])
def test_transformers_of_a_fixed_batch_give_what_the_file_gives(kind, batch, tmp_path):
    import torch
    from torchvision import models

    from components.optimize.quiet import quiet

    torch.manual_seed(0)
    if kind == "vit":
        sizes = {"num_layers": 1, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
        network = models.VisionTransformer(image_size=32, patch_size=8, num_classes=5, **sizes)
        torch.nn.init.normal_(network.heads.head.weight)
    else:
        network = models.SwinTransformer([4, 4], 8, [1, 1], [1, 1], [4, 4], num_classes=5)
    path = tmp_path / f"{kind}.onnx"
    with quiet():
        torch.onnx.export(
            network.eval(), (torch.zeros(batch, 3, 32, 32),), path, dynamo=True, external_data=False
        )
    images = _images(4)
    artifact = open_model(path, workdir=tmp_path / "work", images=images)
    np.testing.assert_allclose(_run(artifact, images), _alone(path, images), rtol=1e-3, atol=1e-5)


SPEC = VisionSpec("detect", ("a", "b"), (8, 8), Fit.LETTERBOX, "yolo_end2end")


def _sees(*bright):
    """A detector that finds something in the images whose first pixel is one of `bright`."""

    def predict(image):
        rows = np.zeros((1, 4, 6), np.float32)
        rows[0, 0] = [1, 1, 5, 5, 0.9 if image[0, 0, 0, 0] in bright else 0.1, 1]
        return [rows]

    return predict


def _numbered(count):
    return [np.full((8, 8, 3), k, np.uint8) for k in range(count)]


def test_a_proof_rests_on_images_with_detections_in_every_place_of_the_batch():
    proof = prove_on(_numbered(40), SPEC, _sees(7, 21, 33), 8)
    assert proof.telling
    assert proof.basis == "3 calibration images with detections"
    assert proof.images[:, 0, 0, 0].tolist() == [7, 21, 33, 7, 21, 33, 7, 21]
    assert (proof.expected[0][:, 0, 4] > 0.5).all()


def test_a_proof_without_images_or_without_detections_is_called_weak(write_network, tmp_path):
    assert not prove_on(_numbered(5), SPEC, _sees(), 8).telling
    assert not prove_on(None, SPEC, _sees(), 8).telling
    path, known = write_network(), ModelOptions(output=Output.LOGITS)
    (remark,) = remarks_on(open_model(path, known, workdir=tmp_path / "without"))
    assert "random pixels" in remark
    proved = open_model(path, known, workdir=tmp_path / "with", images=_images())
    assert remarks_on(proved) == ()


def test_a_lowered_model_that_loses_images_of_a_batch_is_refused(write_network, tmp_path):
    artifact = open_model(write_network(), workdir=tmp_path / "work", images=_images())
    model = onnx.load(artifact.path)
    for node in model.graph.node:
        node.output[:] = ["logits/all" if name == "logits" else name for name in node.output]
    nodes = [
        helper.make_node("Slice", ["logits/all", "zero", "one", "zero"], ["first"], "s1"),
        helper.make_node("Neg", ["logits/all"], ["wrong"], "n"),
        helper.make_node("Slice", ["wrong", "one", "many", "zero"], ["rest"], "s2"),
        helper.make_node("Concat", ["first", "rest"], ["logits"], "c", axis=0),
    ]
    model.graph.node.extend(nodes)
    constants = {"zero": [0], "one": [1], "many": [1 << 40]}
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array(v, np.int64), k) for k, v in constants.items()
    )
    with pytest.raises(PassError, match="one by one"):
        require_lowered(
            model, artifact, PassContext(tmp_path, calibration=list(_images(8))), Precision.FP32
        )


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Export the shipped detector by Ultralytics: plain, and NMS for one, eight or any images."""
    from components.backends.yolo import import_ultralytics
    from components.optimize.quiet import quiet

    ultralytics, folder = import_ultralytics(), tmp_path_factory.mktemp("exports")
    kinds = {"plain": {}, "nms8": {"nms": True, "batch": 8}, "nms": {"nms": True, "dynamic": True}}
    for name, options in kinds.items():
        (folder / name).mkdir()
        shutil.copy(MODEL, folder / name / "digits.pt")
        with quiet():
            ultralytics.YOLO(folder / name / "digits.pt").export(
                format="onnx", imgsz=160, simplify=False, **options
            )
    return {name: folder / name / "digits.onnx" for name in kinds}


def test_exports_with_built_in_nms_find_in_every_image_what_the_plain_export_finds(
    exports, tmp_path
):
    counts = SceneCounts(
        train=1, calibration=8, validation=1, golden=1, day=1, night=1, next_night=1
    )
    data = write_detection_dataset(tmp_path / "digits", counts=counts, seed=3)
    images = [
        read_image(path) for path in sorted((data.parent / "images" / "calibration").iterdir())
    ]
    found = {}
    for name, path in exports.items():
        artifact = open_model(path, workdir=tmp_path / name, images=images)
        task = task_for(artifact.spec)
        fitted, frames = zip(*(task.preprocess(image) for image in images), strict=True)
        found[name] = task.postprocess([_run(artifact, np.stack(fitted))], frames)
        assert artifact.inputs[0].shape[0] == ("batch" if name == "plain" else 1)
        assert any("built-in NMS" in remark for remark in remarks_on(artifact)) == (name != "plain")
    assert sum(map(len, found["plain"])) > 10
    for name in ("nms8", "nms"):
        matched, total = agreement(found["plain"], found[name])
        assert matched == total
        assert [len(one) for one in found[name]] == [len(one) for one in found["plain"]]
