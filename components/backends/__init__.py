"""What runs a model file: onnxruntime, OpenVINO, TensorRT, torch.

A backend only executes a file; precision lives in the file and meaning in its `VisionSpec`. Every
file takes the same (batch, height, width, 3) uint8 BGR tensor, so backends can be swapped freely.
A new backend is one file with one class and one line in `BACKENDS`.
"""

from components.backends.onnx_file import describe_onnx, read_onnx, save_onnx, write_spec
from components.backends.protocol import BACKENDS, Backend, Session, available_backends, get_backend
from components.backends.torchscript_file import describe_torchscript

__all__ = [
    "BACKENDS",
    "Backend",
    "Session",
    "available_backends",
    "describe_onnx",
    "describe_torchscript",
    "get_backend",
    "read_onnx",
    "save_onnx",
    "write_spec",
]
