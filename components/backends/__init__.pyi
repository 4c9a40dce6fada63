from .onnx_file import describe_onnx, read_onnx, save_onnx, write_spec
from .protocol import BACKENDS, Backend, Session, available_backends, get_backend
from .torchscript_file import describe_torchscript

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
