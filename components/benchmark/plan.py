"""Plan of a benchmark: the artifact, backend, name and baseline of each variant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pydantic import ConfigDict, Field

from components.backends import free_batch, get_backend
from components.contracts import ModelArtifact, Precision, Target, Variant
from components.errors import ConfigError, ModelError
from components.settings import ComponentSettings

REFERENCE_BACKEND = "onnxruntime"


def plan_variants(artifacts: Sequence[ModelArtifact], target: Target) -> tuple[Variant, ...]:
    """Every artifact on every backend of the target that runs its format, the baseline first.

    The baseline is the first FP32 artifact, which is the model as it was given, on onnxruntime, the
    reference implementation of ONNX, if the target allows that and else on the target's first
    backend that runs it.

    Raises:
        ModelError: no artifact is FP32, or one of them is missing or cannot be called with one
            image at a time.
        ConfigError: a backend is unknown or runs none of the artifacts.
    """
    original = next(
        (artifact for artifact in artifacts if artifact.precision is Precision.FP32), None
    )
    if original is None:
        found = ", ".join(artifact.path.name for artifact in artifacts) or "no artifact"
        raise ModelError(
            "an FP32 artifact as the baseline", found=found, hint="pass the unoptimized model, too"
        )
    for artifact in artifacts:
        _require_usable(artifact)
    labels = _labels(artifacts)
    variants = []
    for backend in dict.fromkeys(target.backends):
        formats = get_backend(backend).formats
        runnable = [k for k, artifact in enumerate(artifacts) if artifact.format in formats]
        if not runnable:
            raise ConfigError(
                f"backends of target {target.name} that run "
                f"{', '.join(sorted({a.format for a in artifacts}))} files",
                found=f"{backend}, which runs {', '.join(sorted(formats))}",
                hint=f"remove {backend} from the target's backends",
            )
        variants += [Variant(f"{labels[k]} · {backend}", artifacts[k], backend) for k in runnable]
    of_original = [variant for variant in variants if variant.artifact is original]
    if not of_original:
        raise ConfigError(
            f"a backend of target {target.name} that runs the original {original.path.name} "
            f"({original.format})",
            found=", ".join(target.backends),
        )
    baseline = next(
        (variant for variant in of_original if variant.backend == REFERENCE_BACKEND), of_original[0]
    )
    return (baseline, *(variant for variant in variants if variant is not baseline))


def _require_usable(artifact: ModelArtifact) -> None:
    if not artifact.path.is_file():
        raise ModelError("a model file", found=f"nothing at {artifact.path}", hint="make it again")
    if not free_batch(artifact) and artifact.inputs[0].shape[0] != 1:
        raise ModelError(
            f"{artifact.path.name} with a free batch axis, or one of 1",
            found=f"a fixed batch of {artifact.inputs[0].shape[0]}",
            hint="export it with a dynamic batch axis",
        )


def _labels(artifacts: Sequence[ModelArtifact]) -> list[str]:
    """Label each artifact by its precision, and by its last pass where others share the precision.

    A number is added where they share that, too.

    The first FP32 artifact stays plain ``fp32``.
    """
    shared = Counter(artifact.precision for artifact in artifacts)
    labels: list[str] = []
    for artifact in artifacts:
        label = precision = artifact.precision.value
        original = artifact.precision is Precision.FP32 and label not in labels
        if shared[artifact.precision] > 1 and artifact.history and not original:
            last = artifact.history[-1].name
            label = last if last.startswith(precision) else f"{precision} {last}"
        alike = sum(known == label or known.startswith(f"{label} #") for known in labels)
        labels.append(f"{label} #{alike + 1}" if alike else label)
    return labels


class BenchmarkSettings(ComponentSettings):
    """How long to measure."""

    model_config = ConfigDict(title="Benchmark")

    rounds: int = Field(
        7, ge=6, le=100, description="Interleaved rounds; six are the least for an interval."
    )
    calls: int = Field(20, ge=1, le=1000, description="Timed calls per variant and round.")
    batch: int = Field(8, ge=1, le=256, description="Images per call for the throughput.")
    accept_noise: bool = Field(
        False,
        description="Compare speeds even in a noise floor above 30 %; else the baseline ships "
        "then, if it can.",
    )
