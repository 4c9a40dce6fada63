"""The precisions that a target compares, made from one FP32 model."""

from __future__ import annotations

from collections.abc import Sequence

from components.contracts import ModelArtifact, Precision
from components.errors import PassError
from components.optimize.context import PassContext
from components.optimize.passes.table import get_pass

# Two ways to INT8: which one is faster depends on the backend and the CPU, so the benchmark
# decides.
RECIPES: dict[Precision, tuple[str, ...]] = {
    Precision.FP32: (),
    Precision.FP16: ("fp16",),
    Precision.INT8: ("int8", "int8_conv"),
}


def make_variants(
    source: ModelArtifact, precisions: Sequence[Precision], context: PassContext
) -> tuple[ModelArtifact, ...]:
    """Make every variant of the wanted precisions.

    Arguments:
        source: an FP32 ONNX model with its pre-processing inside.
        precisions: what to make; each is tried in every way there is.
        context: working folder and, for INT8, the calibration set.

    Returns:
        The source itself, the baseline that the others are compared with, then the products. The
        last entry of an artifact's history names the pass that made it.

    Raises:
        PassError: a pass failed, or its product did not stand its test; the message names the pass.
    """
    if source.precision is not Precision.FP32:
        raise PassError(
            "an FP32 model to make variants of",
            found=f"{source.precision.upper()} in {source.path.name}",
            hint="open the float model that it was made from",
        )
    names = [name for precision in dict.fromkeys(precisions) for name in RECIPES[precision]]
    return (source, *(_apply(name, source, context) for name in names))


def _apply(name: str, source: ModelArtifact, context: PassContext) -> ModelArtifact:
    try:
        return get_pass(name).apply(source, context)
    except PassError as error:
        raise PassError(
            f"pass {name}: {error.expected}", found=error.found, hint=error.hint
        ) from error
