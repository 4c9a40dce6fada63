"""Presets by name, crops in words: the scores of the original's transforms, on photographs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import skimage
import torch
import torchvision
from onnx import helper, numpy_helper
from PIL import Image
from torchvision.transforms import v2

from components.backends import describe_onnx, get_backend
from components.contracts import Fit, Interpolation, Output, VisionSpec
from components.errors import ConfigError, ModelError
from components.images.reading import read_image
from components.optimize import IMAGENET, UNIT, Fitting, ModelOptions, open_model
from components.optimize.meaning import BYTES, INCEPTION
from components.optimize.opening.inputs import expected_of_input
from components.optimize.opening.presets import TIMM, preset
from components.vision import task_for
from components.vision.fit import fit_image

PHOTOS = [
    Path(skimage.__file__).parent / "data" / name
    for name in ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Save a torchvision classifier, random weights sharpened until scores differ, in our form."""
    torch.manual_seed(3)
    network = torchvision.models.mobilenet_v3_small(num_classes=10).eval()
    with torch.no_grad():
        images = [
            v2.functional.to_image(Image.open(path).convert("RGB").resize((224, 224)))
            for path in PHOTOS
        ]
        logits = network((torch.stack(images).float() / 255 - 0.45) / 0.225)
        network.classifier[-1].weight *= 5 / (logits - logits.mean(0)).std()
        network.classifier[-1].bias -= network(
            (torch.stack(images).float() / 255 - 0.45) / 0.225
        ).mean(0)
    path = tmp_path_factory.mktemp("model") / "model.pt"
    about = {
        "architecture": "mobilenet_v3_small",
        "class_names": list("abcdefghij"),
        "image_size": 224,
    }
    contents = {
        "foveal_classifier": 1,
        "state_dict": network.state_dict(),
        "mean": [0.0] * 3,
        "std": [1.0] * 3,
    }
    torch.save(contents | about, path)
    return path, network


@pytest.fixture(scope="module")
def opened(checkpoint, tmp_path_factory):
    """The classifier opened with the preset of swin_t, and what runs it."""
    work = tmp_path_factory.mktemp("work")
    artifact = open_model(
        checkpoint[0], ModelOptions(preprocessing="torchvision/swin_t"), workdir=work
    )
    with get_backend("onnxruntime").open(artifact, threads=1) as session:
        yield artifact, session


@pytest.fixture(scope="module")
def worst(checkpoint, opened):
    """Return the largest score difference on any photograph from the original's own transforms."""

    def measure(fit, transforms):
        artifact, session = opened
        resize = fit.resize_for((224, 224))
        task = task_for(
            replace(artifact.spec, fit=fit.method, resize=resize, interpolation=fit.interpolation)
        )
        differences = []
        for path in PHOTOS:
            fitted, frame = task.preprocess(read_image(path))
            found = task.postprocess(session.run(fitted[None]), [frame])[0].probs
            with torch.inference_mode():
                wanted = (
                    checkpoint[1](transforms(Image.open(path).convert("RGB"))[None])
                    .softmax(1)[0]
                    .numpy()
                )
            differences.append(float(np.abs(found - wanted).max()))
        return max(differences)

    return measure


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swin_t", "resnet50", "resnet50/IMAGENET1K_V1", "convnext_tiny"])
def test_a_preset_of_torchvision_gives_the_scores_of_its_transforms(name, worst):
    architecture, _, weights = name.partition("/")
    transforms = torchvision.models.get_model_weights(architecture)[
        weights or "DEFAULT"
    ].transforms()
    known = preset(f"torchvision/{name}")
    assert (known.input_size, known.normalisation) == ((224, 224), IMAGENET)
    assert worst(known.fit, transforms) < 0.002
    assert worst(Fitting(), transforms) > 0.05, "a crop of all of it, as it was before presets"


def test_a_model_opened_with_a_preset_says_so_itself(opened):
    artifact, _ = opened
    spec = artifact.spec
    assert (spec.input_size, spec.resize, spec.interpolation) == (
        (224, 224),
        232,
        Interpolation.BICUBIC,
    )
    assert artifact.history[0].parameters["mean"] == [*IMAGENET.mean]
    assert describe_onnx(artifact.path).spec == spec


@pytest.mark.parametrize(
    ("fit", "resize", "method"),
    [
        (Fitting(Fit.CENTER_CROP, 256), 256, "bilinear"),
        (Fitting(Fit.CENTER_CROP, 232, Interpolation.BICUBIC), 232, "bicubic"),
        (Fitting(Fit.CENTER_CROP, (256, 256)), (256, 256), "bilinear"),
        (Fitting(Fit.CENTER_CROP, None, Interpolation.BICUBIC, 0.9), 248, "bicubic"),
        (Fitting(Fit.STRETCH, None, Interpolation.BICUBIC), (224, 224), "bicubic"),
    ],
    ids=["256", "232 bicubic", "256 × 256", "crop_pct 0.9", "stretch"],
)
def test_a_crop_in_words_gives_the_scores_of_the_same_transforms(fit, resize, method, worst):
    scaled = [
        v2.Resize(resize, interpolation=v2.InterpolationMode(method)),
        v2.CenterCrop(224),
        v2.PILToTensor(),
    ]
    normalised = [
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([*IMAGENET.mean], [*IMAGENET.std]),
    ]
    assert worst(fit, v2.Compose([*scaled, *normalised])) < 0.002


@pytest.mark.parametrize("method", Interpolation)
@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.stem)
def test_fitted_photographs_are_those_of_torchvision_to_a_grey_level(path, method):
    spec = VisionSpec("classify", ("a",), (224, 224), Fit.CENTER_CROP, "logits", 256, method)
    resize = v2.Resize(256, interpolation=v2.InterpolationMode(method.value))
    image = read_image(path)
    wanted = np.asarray(v2.CenterCrop(224)(resize(Image.fromarray(image[..., ::-1].copy()))))[
        ..., ::-1
    ].astype(int)
    found, _ = fit_image(image, spec)
    assert np.abs(found - wanted).max() <= 1
    assert np.abs(found - wanted).mean() < 0.01
    # what the tolerance would not let pass
    other = cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA)
    assert np.abs(other - wanted).mean() > 1


def test_a_preset_of_timm_is_computed_as_timm_computes_it():
    assert preset("timm/vit").fit.resize_for((224, 224)) == 248
    assert preset("timm/vit").normalisation == INCEPTION
    assert preset("timm/resnet").fit.resize_for((288, 288)) == 329
    assert preset("timm/resnet").fit.interpolation is Interpolation.BILINEAR
    assert all(preset(f"timm/{family}").fit.method is Fit.CENTER_CROP for family in TIMM)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision/swin_x", "did you mean swin"),
        ("torchvision/resnet50/V3", "did you mean IMAGENET1K_V"),
        ("torchvision/raft_small", "architecture of torchvision"),
        ("timm/vit_base_patch16_224", r"timm/FAMILY of default.*resolve_model_data_config"),
        ("swin_t", "torchvision/ARCHITECTURE"),
        ("torchvision/", "torchvision/ARCHITECTURE"),
    ],
)
def test_an_unknown_preset_is_named_with_what_there_is(name, message):
    with pytest.raises(ConfigError, match=message):
        preset(name)


def test_what_a_preset_does_not_fit_is_refused(checkpoint, tmp_path):
    with pytest.raises(ConfigError, match="the image size of torchvision/swin_t, 224"):
        open_model(
            checkpoint[0],
            ModelOptions(preprocessing="torchvision/swin_t", image_size=256),
            workdir=tmp_path,
        )
    with pytest.raises(ModelError, match="square input for crop_pct"):
        open_model(
            checkpoint[0],
            ModelOptions(preprocessing="timm/vit", image_size=(224, 256)),
            workdir=tmp_path,
        )
    with pytest.raises(ModelError, match="scaled to at least"):
        open_model(checkpoint[0], ModelOptions(fit=Fitting(Fit.CENTER_CROP, 200)), workdir=tmp_path)
    assert not list(tmp_path.iterdir())


def normalising(write_network, *steps):
    """The small classifier with arithmetic in front of it: ("Sub", [0.485, 0.456, 0.406]), …"""
    path = write_network(softmax=True)
    model = onnx.load(path)
    value, nodes = "image", []
    for k, (operator, numbers) in enumerate(steps):
        constant = np.array(numbers, np.float32).reshape(
            (1, 3, 1, 1) if isinstance(numbers, list) else ()
        )
        model.graph.initializer.append(numpy_helper.from_array(constant, f"constant{k}"))
        after = "pixels" if k == len(steps) - 1 else f"step{k}"
        nodes.append(helper.make_node(operator, [value, f"constant{k}"], [after]))
        value = after
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
    model.graph.input[0].name = "image" if steps else "pixels"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([("Sub", [0.485, 0.456, 0.406]), ("Div", [0.229, 0.224, 0.225])], UNIT),
        ([("Sub", [123.675, 116.28, 103.53]), ("Div", [58.395, 57.12, 57.375])], BYTES),
        ([("Mul", 1 / 127.5), ("Sub", 1.0)], BYTES),
        ([("Mul", 2.0), ("Sub", 1.0)], UNIT),
        ([("Div", 255.0), ("Sub", [0.485, 0.456, 0.406]), ("Div", [0.229, 0.224, 0.225])], BYTES),
        ([], None),
    ],
    ids=["0–1", "0–255", "−1 to 1 of 255", "−1 to 1", "scaled, then 0–1", "none"],
)
def test_a_graph_that_normalises_itself_is_not_normalised_twice(
    steps, expected, write_network, tmp_path
):
    path = normalising(write_network, *steps)
    assert expected_of_input(onnx.load(path)) == expected
    record = open_model(path, workdir=tmp_path / "work").history[-1]
    used = expected or IMAGENET
    assert (record.parameters["mean"], record.parameters["std"]) == ([*used.mean], [*used.std])
    said = open_model(
        path,
        ModelOptions(normalisation=INCEPTION, output=Output.SOFTMAX),
        workdir=tmp_path / "said",
    ).history[-1]
    assert said.parameters["std"] == [*INCEPTION.std]
