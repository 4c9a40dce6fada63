"""Accelerators of a device, and the ONNX Runtime execution providers that use them."""

from __future__ import annotations

from collections.abc import Sequence

EXECUTION_PROVIDERS = {
    "coreml": ("CoreMLExecutionProvider",),
    "cuda": ("CUDAExecutionProvider",),
    "directml": ("DmlExecutionProvider",),
    "gpu": ("CUDAExecutionProvider", "WebGpuExecutionProvider"),
    "nnapi": ("NnapiExecutionProvider",),
    "openvino": ("OpenVINOExecutionProvider",),
    "qnn": ("QNNExecutionProvider",),
    "tensorrt": ("TensorrtExecutionProvider",),
    "xnnpack": ("XnnpackExecutionProvider",),
}


def execution_providers(accelerators: Sequence[str]) -> tuple[str, ...]:
    """Return the execution providers to try for these accelerators, in order, once, the CPU last.

    Arguments:
        accelerators: keys of `EXECUTION_PROVIDERS`.
    """
    wanted = [provider for name in accelerators for provider in EXECUTION_PROVIDERS[name]]
    return (*dict.fromkeys(wanted), "CPUExecutionProvider")
