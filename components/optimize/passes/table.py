"""Table of optimization passes."""

from __future__ import annotations

from components.errors import ConfigError
from components.optimize.context import OptimizationPass
from components.plugins import plugin

PASSES = {
    "export_onnx": "components.optimize.opening.export:ExportOnnx",
    "embed_preprocessing": "components.optimize.opening.embed:EmbedPreprocessing",
    "trace_torchscript": "components.optimize.opening.torchscript:TraceTorchScript",
    "fp16": "components.optimize.passes.fp16:ToFp16",
    "int8": "components.optimize.passes.int8:QuantizeInt8",
    "int8_conv": "components.optimize.passes.int8_conv:QuantizeConvolutions",
}


def get_pass(name: str) -> OptimizationPass:
    """The pass of that name with its default configuration.

    Raises:
        ConfigError: there is no such pass.
    """
    found: OptimizationPass = plugin(PASSES, name, "an optimization pass", ConfigError)()
    return found
