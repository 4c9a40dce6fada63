from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from components.benchmark.plan import plan_variants
from components.contracts import (
    Budget,
    Fit,
    Format,
    ModelArtifact,
    PassRecord,
    Precision,
    Target,
    TensorSpec,
    VisionSpec,
)
from components.errors import ConfigError, ModelError

SPEC = VisionSpec("classify", ("a",), (8, 8), Fit.STRETCH, "logits")


def target(*backends: str) -> Target:
    return Target("t", "", backends, "cpu", 0, (Precision.FP32,), Budget())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"onnx")
    return path


def artifact(
    path: Path, precision: Precision, *passes: str, batch: int | str = "batch"
) -> ModelArtifact:
    inputs = (TensorSpec("images", (batch, 8, 8, 3), "uint8"),)
    history = tuple(PassRecord(name) for name in passes)
    return ModelArtifact(path, Format.ONNX, precision, "0", SPEC, inputs, (), history)


def test_every_artifact_meets_every_backend_and_the_original_on_onnxruntime_comes_first(
    file: Path,
) -> None:
    artifacts = [
        artifact(file, Precision.FP32, "export"),
        artifact(file, Precision.INT8, "export", "int8"),
    ]
    names = [
        variant.name for variant in plan_variants(artifacts, target("openvino", "onnxruntime"))
    ]
    assert names == [
        "fp32 · onnxruntime",
        "fp32 · openvino",
        "int8 · openvino",
        "int8 · onnxruntime",
    ]


def test_baseline_is_on_the_first_backend_where_the_target_does_not_allow_onnxruntime(
    file: Path,
) -> None:
    assert (
        plan_variants([artifact(file, Precision.FP32)], target("openvino"))[0].name
        == "fp32 · openvino"
    )


def test_artifacts_of_one_precision_are_told_apart_by_their_last_pass(file: Path) -> None:
    artifacts = [
        artifact(file, Precision.FP32, "export"),
        artifact(file, Precision.FP32, "export", "prune"),
        artifact(file, Precision.INT8, "export", "int8_conv"),
        artifact(file, Precision.INT8, "export", "int8_nncf"),
        artifact(file, Precision.INT8, "export", "int8_nncf"),
    ]
    names = [
        variant.name.split(" · ")[0] for variant in plan_variants(artifacts, target("onnxruntime"))
    ]
    assert names == ["fp32", "fp32 prune", "int8_conv", "int8_nncf", "int8_nncf #2"]


def test_plan_without_an_fp32_model_is_refused(file: Path) -> None:
    with pytest.raises(ModelError, match=r"FP32 artifact as the baseline.*model\.onnx"):
        plan_variants([artifact(file, Precision.INT8)], target("onnxruntime"))


def test_backend_that_runs_nothing_is_refused(file: Path) -> None:
    with pytest.raises(ConfigError, match="remove torch from the target's backends"):
        plan_variants([artifact(file, Precision.FP32)], target("onnxruntime", "torch"))
    with pytest.raises(ConfigError, match="found onnx"):
        plan_variants([artifact(file, Precision.FP32)], target("onnx"))


def test_original_that_no_backend_runs_is_refused(file: Path) -> None:
    traced = replace(artifact(file, Precision.FP32), format=Format.TORCHSCRIPT)
    with pytest.raises(ConfigError, match=r"runs the original model\.onnx"):
        plan_variants([traced, artifact(file, Precision.INT8)], target("onnxruntime"))


def test_fixed_batch_is_refused_unless_it_is_one(file: Path) -> None:
    assert plan_variants([artifact(file, Precision.FP32, batch=1)], target("onnxruntime"))
    with pytest.raises(ModelError, match="a fixed batch of 4"):
        plan_variants([artifact(file, Precision.FP32, batch=4)], target("onnxruntime"))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing at .*gone\.onnx"):
        plan_variants([artifact(tmp_path / "gone.onnx", Precision.FP32)], target("onnxruntime"))
