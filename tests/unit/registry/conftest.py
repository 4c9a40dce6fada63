"""A tiny detector, known detections, its benchmark and bundle, one embedded store a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from components.backends.onnx_file import save_onnx
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
from components.package import write_bundle
from model_registry import Registry, Release, sqlite_uri

SPEC = VisionSpec("detect", ("cat", "dog"), (64, 64), Fit.LETTERBOX, "yolo")
TARGET = Target(
    "workstation",
    "a desk",
    ("onnxruntime",),
    "cpu",
    1,
    (Precision.FP32, Precision.INT8),
    Budget(p95_ms=50.0),
)


CLASSIFIER = VisionSpec("classify", ("cat", "dog", "owl"), (64, 64), Fit.CENTER_CROP, "logits")


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> ModelArtifact:
    """Write a detector of one dog in the input's middle, on any image: box 16–48 px, score 0.9."""
    anchors = np.zeros((1, 6, 2), np.float32)
    anchors[0, :, 0] = (32, 32, 32, 32, 0.0, 0.9)
    return constant_model(tmp_path_factory.mktemp("model") / "detector.onnx", SPEC, anchors)


def constant_model(path: Path, spec: VisionSpec, output: npt.NDArray[np.float32]) -> ModelArtifact:
    """An ONNX file of Foveal's that gives `output` (1, …) for every image."""
    from onnx import TensorProto, helper, numpy_helper

    column = np.array([-1] + [1] * (output.ndim - 1))
    weights = {"zero": np.zeros(1, np.float32), "column": column, "constant": output}
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Reshape", ["nothing", "column"], ["shaped"]),
        helper.make_node("Add", ["shaped", "constant"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "constant",
        [
            helper.make_tensor_value_info(
                "images", TensorProto.UINT8, ["batch", *spec.input_size, 3]
            )
        ],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", *output.shape[1:]])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return save_onnx(model, path, spec, [PassRecord("export", {"opset": 17})])


def measurement(
    artifact: ModelArtifact,
    variant: str,
    p50_ms: float | None,
    accuracy: float | None,
    **changes: object,
) -> Measurement:
    """A measurement of a variant; None is what was not measured."""
    interval = (None, None) if p50_ms is None else (p50_ms * 0.95, p50_ms * 1.05)
    made = Measurement(
        variant=variant,
        artifact=artifact,
        backend="onnxruntime",
        latency=Latency(
            140 if p50_ms else 0, p50_ms, *interval, None if p50_ms is None else p50_ms * 1.2
        ),
        throughput_per_s=None if p50_ms is None else 1000 / p50_ms,
        batch=8,
        size_mb=artifact.size_mb,
        peak_rss_mb=None,
        accuracy={}
        if accuracy is None
        else {"map50_95": accuracy, "map50": min(1.0, accuracy + 0.1)},
        images=300,
        checks=(Check("p95_ms", p50_ms and p50_ms * 1.2, 50.0, Verdict.PASS),),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def report(artifact: ModelArtifact) -> BenchmarkReport:
    """A baseline, a faster variant that ships, and one that could not be measured."""
    return BenchmarkReport(
        target=TARGET,
        measurements=(
            measurement(artifact, "fp32 · onnxruntime", 20.0, 0.831),
            measurement(artifact, "int8 · onnxruntime", 11.7, 0.822, speedup=(1.71, 1.65, 1.78)),
            measurement(
                artifact, "fp16 · onnxruntime", None, None, error="no kernel for fp16", checks=()
            ),
        ),
        baseline="fp32 · onnxruntime",
        chosen="int8 · onnxruntime",
        reasons=("1.71× faster", "within 0.01 of the baseline"),
        noise_floor=0.012,
        metric="map50_95",
        environment={"cpu": "Test CPU", "cores": "2", "onnxruntime": "1.31.1"},
    )


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of 128 × 96 px, so that the detector's box is 32–96 by 16–80 px in it."""
    path = tmp_path_factory.mktemp("photos") / "a photo.png"
    pixels = np.random.default_rng(7).integers(0, 255, (96, 128, 3), np.uint8)
    cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture(scope="session")
def bundle(
    report: BenchmarkReport, photo: Path, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    return write_bundle(
        report, tmp_path_factory.mktemp("bundle"), name="tiny", golden=[photo], details={}
    )


@pytest.fixture(scope="session")
def classifier(
    report: BenchmarkReport, photo: Path, tmp_path_factory: pytest.TempPathFactory
) -> Release:
    """A classifier that is nearly sure of an owl, packed but not logged."""
    folder = tmp_path_factory.mktemp("classifier")
    logits = np.array([[0.0, 1.0, 5.0]], np.float32)
    found = measurement(
        constant_model(folder / "c.onnx", CLASSIFIER, logits), "fp32 · onnxruntime", 5.0, None
    )
    found = replace(found, accuracy={"top1": 0.9})
    own = replace(report, measurements=(found,), chosen="fp32 · onnxruntime", metric="top1")
    return Release(
        "owls", own, write_bundle(own, folder / "bundle", name="owls", golden=[photo], details={})
    )


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import pandas as pd

    path = tmp_path_factory.mktemp("reference") / "drift reference.parquet"
    pd.DataFrame({"brightness": [0.1, 0.2]}).to_parquet(path)
    return path


@pytest.fixture(scope="session")
def store_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("the store")


@pytest.fixture(scope="session")
def registry(store_root: Path) -> Registry:
    return Registry(sqlite_uri(store_root / "mlflow.db"))


@pytest.fixture(scope="session")
def make_release(
    report: BenchmarkReport, bundle: Bundle, reference: Path
) -> Callable[..., Release]:
    """A release under a given name; `noise_floor` makes it another one of the same files."""

    def make(name: str, *, noise_floor: float = 0.012, **changes: object) -> Release:
        release = Release(
            name=name,
            report=replace(report, noise_floor=noise_floor),
            bundle=bundle,
            reference=reference,
            dataset_hashes={"validation": "a" * 64, "calibration": "b" * 64, "golden": "c" * 64},
            parameters={"data": {"labelled": "digits/data.yaml"}, "seed": 7},
        )
        return replace(release, **changes)  # type: ignore[arg-type]

    return make
