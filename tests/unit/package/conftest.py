"""A small real detector and a small real classifier, reports of them, and photographs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from components.backends import save_onnx
from components.contracts import (
    BenchmarkReport,
    Budget,
    Bundle,
    Check,
    Fit,
    Latency,
    Measurement,
    ModelArtifact,
    PassRecord,
    Precision,
    Target,
    Verdict,
    VisionSpec,
)
from components.files import write_json, write_text
from components.package import write_bundle
from components.package.manifest import list_files

COLOURS = ("blue", "green", "red")
SIDE, CELL = 64, 16
DETECTOR = VisionSpec("detect", COLOURS, (SIDE, SIDE), Fit.LETTERBOX, "yolo")
CLASSIFIER = VisionSpec("classify", COLOURS, (48, 48), Fit.CENTER_CROP, "logits")


def _detector() -> Any:
    """Score how far each colour exceeds grey in 4 × 4 cells, twice: a box and its duplicate."""
    centres = np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2) * CELL + CELL / 2
    boxes = np.concatenate([centres, np.full((16, 2), CELL)], axis=1).T.astype(np.float32)
    shifted = boxes + np.array([[2], [0], [0], [0]], np.float32)
    weights = {
        "boxes": np.concatenate([boxes, shifted], axis=1)[None],
        "scale": np.array([1 / 170], np.float32),
        "weaker": np.array([0.9], np.float32),
        "cells": np.array([0, 3, 16], np.int64),
        "nothing": np.array([0], np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "AveragePool", ["planes"], ["means"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]
        ),
        helper.make_node("ReduceMean", ["means"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["means", "grey"], ["excess"]),
        helper.make_node("Relu", ["excess"], ["colourful"]),
        helper.make_node("Mul", ["colourful", "scale"], ["grid"]),
        helper.make_node("Reshape", ["grid", "cells"], ["first"]),
        helper.make_node("Mul", ["first", "weaker"], ["second"]),
        helper.make_node("Concat", ["first", "second"], ["scores"], axis=2),
        helper.make_node("ReduceMax", ["scores"], ["largest"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["largest", "nothing"], ["zeros"]),
        helper.make_node("Add", ["zeros", "boxes"], ["places"]),
        helper.make_node("Concat", ["places", "scores"], ["detections"], axis=1),
    ]
    return _model(nodes, weights, DETECTOR, "detections", ["batch", 7, 32])


def _classifier() -> Any:
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["logits"]),
    ]
    return _model(
        nodes, {"scale": np.array([0.02], np.float32)}, CLASSIFIER, "logits", ["batch", 3]
    )


def _model(
    nodes: list[Any], weights: dict[str, Any], spec: VisionSpec, output: str, shape: list[Any]
) -> Any:
    graph = helper.make_graph(
        nodes,
        "model",
        [
            helper.make_tensor_value_info(
                "images", TensorProto.UINT8, ["batch", *spec.input_size, 3]
            )
        ],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> ModelArtifact:
    path = tmp_path_factory.mktemp("models") / "detector.onnx"
    return save_onnx(_detector(), path, DETECTOR, [PassRecord("export", {"opset": 17})])


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> ModelArtifact:
    return save_onnx(
        _classifier(), tmp_path_factory.mktemp("models") / "classifier.onnx", CLASSIFIER, ()
    )


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Draw three pictures of coloured patches, to pad or crop; the second is grey noise."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(3)
    paths = []
    for number, (width, height) in enumerate([(160, 120), (90, 130), (201, 77)]):
        picture = rng.integers(0, 50, (height, width, 3), np.uint8)
        if number != 1:
            picture[: height // 2, : width // 3, 2] += 200
            picture[height // 2 :, width // 2 :, 0] += 190
        path = folder / f"photo {number}.png"
        cv2.imwrite(str(path), cv2.GaussianBlur(picture, (0, 0), 2))
        paths.append(path)
    return tuple(paths)


MakeReport = Callable[..., BenchmarkReport]


def make_report(
    artifact: ModelArtifact, *, backend: str = "onnxruntime", **changes: Any
) -> BenchmarkReport:
    """A report in which a slower baseline lost against `artifact`, called INT8."""

    def measured(variant: str, p50: float, **more: Any) -> Measurement:
        return Measurement(
            variant=variant,
            artifact=artifact,
            backend=backend,
            latency=Latency(140, p50, p50 * 0.98, p50 * 1.03, p50 * 1.2),
            throughput_per_s=1000 / p50,
            batch=2,
            size_mb=artifact.size_mb,
            peak_rss_mb=100.0,
            accuracy={"map50_95": 0.8, "top1": 0.9},
            images=300,
            checks=(Check("p95_ms", p50 * 1.2, 50.0, Verdict.PASS, "between 10.0 and 12.0 ms"),),
            **more,
        )

    target = Target(
        "mobile",
        "",
        (backend,),
        "cpu",
        1,
        (Precision.INT8, Precision.FP32),
        Budget(p95_ms=50),
        ("nnapi", "gpu"),
        True,
    )
    report = BenchmarkReport(
        target=target,
        measurements=(measured("fp32", 20.0), measured("int8", 10.0, speedup=(2.0, 1.9, 2.1))),
        baseline="fp32",
        chosen="int8",
        reasons=(
            "int8: chosen for mobile (measured on host), 2.00× [1.90, 2.10] of the baseline's "
            "speed",
        ),
        noise_floor=0.012,
        metric="map50_95" if artifact.spec.task == "detect" else "top1",
        environment={
            "cpu": "Test CPU",
            "onnxruntime": "1.31.1",
            "date": "2026-01-02T03:04:05+00:00",
        },
    )
    return replace(report, **changes)


@pytest.fixture(scope="session")
def report(detector: ModelArtifact) -> BenchmarkReport:
    return make_report(detector)


@pytest.fixture(scope="session")
def report_of() -> MakeReport:
    return make_report


@pytest.fixture(scope="session")
def detector_bundle(
    report: BenchmarkReport, photos: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """Read only: copy it before changing anything."""
    output = tmp_path_factory.mktemp("bundles")
    return write_bundle(
        report, output, name="colours", golden=photos, details={"datasets": {"val": "abc"}}
    )


@pytest.fixture(scope="session")
def classifier_bundle(
    classifier: ModelArtifact, photos: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """Read only: copy it before changing anything."""
    return write_bundle(
        make_report(classifier),
        tmp_path_factory.mktemp("bundles"),
        name="tints",
        golden=photos,
        details={},
    )


@pytest.fixture(scope="session")
def reseal() -> Callable[[Path], None]:
    """Make the sums of a changed bundle agree again, as somebody who forges one would."""

    def seal(folder: Path) -> None:
        import json

        described = json.loads((folder / "manifest.json").read_text())
        sealed = [
            file for file in list_files(folder) if file.path not in ("manifest.json", "SHA256SUMS")
        ]
        described["files"] = [{"path": f.path, "sha256": f.sha256, "size": f.size} for f in sealed]
        write_json(folder / "manifest.json", described)
        rows = [
            f"{file.sha256}  {file.path}\n"
            for file in list_files(folder)
            if file.path != "SHA256SUMS"
        ]
        write_text(folder / "SHA256SUMS", "".join(rows))

    return seal
