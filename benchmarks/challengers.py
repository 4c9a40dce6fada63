"""Four challengers that must not be promoted, and some that are no better.

All of them are made for real from the shipped detector.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from components.backends import read_onnx, save_onnx
from components.contracts import (
    BenchmarkReport,
    Budget,
    Bundle,
    Latency,
    Measurement,
    ModelArtifact,
    Precision,
    Target,
)
from components.files import sha256_file
from components.optimize import ModelOptions, open_model
from components.package import write_bundle
from components.package.manifest import MANIFEST, MODEL, list_files
from components.package.run_template import SUMS
from flows.config.demo import MODEL as CHECKPOINT

BACKEND = "onnxruntime"
BROKEN_CLASS = 7
LARGER = 320  # px; the shipped detector takes 256
BRIGHTER = 1.2


def target() -> Target:
    """All cores of this machine, and no limits of its own: the gates are what is measured."""
    return Target("bench", "", (BACKEND,), "cpu", os.cpu_count() or 1, (Precision.FP32,), Budget())


def shipped(folder: Path, image_size: int | None = None) -> ModelArtifact:
    """The shipped detector in FP32 ONNX."""
    return open_model(
        CHECKPOINT, ModelOptions(trust_pickle=True, image_size=image_size), workdir=folder
    )


def packed(
    artifact: ModelArtifact, folder: Path, golden: Sequence[Path], hashes: dict[str, str]
) -> Bundle:
    """A bundle of one artifact, as a release packs it."""
    unmeasured = Latency(0, None, None, None, None)
    row = Measurement("fp32", artifact, BACKEND, unmeasured, None, 1, artifact.size_mb, None, {}, 0)
    report = BenchmarkReport(target(), (row,), "fp32", "fp32", (), None, "map50_95", {})
    return write_bundle(report, folder, name="digits", golden=golden, details={"datasets": hashes})


def shuffled_labels(data: Path, folder: Path) -> ModelArtifact:
    """The shipped detector, fine-tuned for one epoch on labels that belong to other images."""
    from components.training import DetectorTraining, train_detector

    shuffled = _shuffled(data, folder / "data")
    training = DetectorTraining(epochs=1, learning_rate=0.002, extra=(("mosaic", 0.0),))
    trained = train_detector(
        shuffled, folder / "trained", training=training, start_from=CHECKPOINT, trust=True
    )
    return open_model(
        trained.checkpoint, ModelOptions(trust_pickle=True), workdir=folder / "exported"
    )


def _shuffled(data: Path, folder: Path) -> Path:
    """Make a dataset whose training images have each other's labels; a few of them validate."""
    root = data.parent
    pictures = sorted((root / "images" / "train").iterdir())
    labels = [
        (root / "labels" / "train" / picture.name).with_suffix(".txt") for picture in pictures
    ]
    random.Random(0).shuffle(labels)  # noqa: S311 - an order, not a secret
    for split, chosen in (("train", slice(None)), ("val", slice(16))):
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for picture, label in zip(pictures[chosen], labels[chosen], strict=True):
            shutil.copy(picture, folder / "images" / split / picture.name)
            shutil.copy(label, (folder / "labels" / split / picture.name).with_suffix(".txt"))
    names = yaml.safe_load(data.read_text())["names"]
    (folder / "data.yaml").write_text(
        yaml.safe_dump({"names": names, "train": "images/train", "val": "images/val"})
    )
    return folder / "data.yaml"


def better_but_slow(folder: Path) -> ModelArtifact:
    """Return the shipped detector on larger images, run twice on each, the answers averaged.

    It sees each image as it is and brighter.
    """
    import onnx
    from onnx import TensorProto, helper

    artifact = shipped(folder, LARGER)
    model = read_onnx(artifact.path)
    twin = onnx.compose.add_prefix_graph(model.graph, "bright_")
    (output,) = (
        value.name for value in model.graph.output if value.name == artifact.outputs[0].name
    )
    floats, bright, capped = "bright_floats", "bright_scaled", "bright_capped"
    nodes = [
        helper.make_node("Cast", ["images"], [floats], to=TensorProto.FLOAT),
        helper.make_node("Mul", [floats, "bright_factor"], [bright]),
        helper.make_node("Clip", [bright, "bright_black", "bright_white"], [capped]),
        helper.make_node("Cast", [capped], ["bright_images"], to=TensorProto.UINT8),
        *twin.node,
        *_renamed(model.graph.node, output, "plain_answer"),
        helper.make_node("Mean", ["plain_answer", f"bright_{output}"], [output]),
    ]
    for name, value in (("factor", BRIGHTER), ("black", 0.0), ("white", 255.0)):
        constant = onnx.numpy_helper.from_array(np.array(value, np.float32), f"bright_{name}")
        model.graph.initializer.append(constant)
    model.graph.initializer.extend(twin.initializer)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return save_onnx(model, folder / "twice.onnx", artifact.spec, artifact.history)


def _renamed(nodes: Sequence[Any], old: str, new: str) -> list[Any]:
    """The nodes with one value under another name."""
    renamed = []
    for node in nodes:
        copy = type(node).FromString(node.SerializeToString())
        for names in (copy.input, copy.output):
            names[:] = [new if name == old else name for name in names]
        renamed.append(copy)
    return renamed


def broken_class(artifact: ModelArtifact, folder: Path) -> ModelArtifact:
    """Return the model with the weights of one class damaged in each of its heads.

    It hardly sees that class any more.
    """
    from onnx import numpy_helper

    model = read_onnx(artifact.path)
    classes = len(artifact.spec.class_names)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if (
            node.op_type != "Conv"
            or len(node.input) < 3
            or list(weights[node.input[1]].dims)[:1] != [classes]
        ):
            continue
        for name, value in ((node.input[1], 0.0), (node.input[2], -12.0)):
            array = numpy_helper.to_array(weights[name]).copy()
            array[BROKEN_CLASS] = value
            weights[name].CopyFrom(numpy_helper.from_array(array, name))
    return save_onnx(model, folder / "broken.onnx", artifact.spec, artifact.history)


def truncated(bundle: Bundle, folder: Path) -> Bundle:
    """A bundle whose model file ends half way, with every checksum made to agree."""
    shutil.copytree(bundle.folder, folder)
    model = folder / MODEL
    model.write_bytes(model.read_bytes()[: model.stat().st_size // 2])
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["model"]["sha256"] = sha256_file(model)
    for file in manifest["files"]:
        if file["path"] == MODEL:
            file |= {"sha256": sha256_file(model), "size": model.stat().st_size}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    listed = [file for file in list_files(folder) if file.path != SUMS]
    (folder / SUMS).write_text("".join(f"{file.sha256}  {file.path}\n" for file in listed))
    return replace(bundle, folder=folder)


def jittered(artifact: ModelArtifact, folder: Path, share: float, seed: int) -> ModelArtifact:
    """Add noise to every weight of the convolutions, as a share of the layer's own spread."""
    from onnx import numpy_helper

    rng, model = np.random.default_rng(seed), read_onnx(artifact.path)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.ndim == 4:
            noisy = (array + rng.normal(0, share * array.std(), array.shape)).astype(array.dtype)
            tensor.CopyFrom(numpy_helper.from_array(noisy, tensor.name))
    return save_onnx(model, folder / f"jittered-{seed}.onnx", artifact.spec, artifact.history)
