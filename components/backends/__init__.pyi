from .onnx_file import describe_onnx, read_onnx, save_onnx, sha256_model, weight_files, write_spec
from .protocol import BACKENDS, Backend, Session, available_backends, get_backend
from .session import free_batch
from .torchscript_file import describe_torchscript

__all__ = [
    "BACKENDS",
    "Backend",
    "Session",
    "available_backends",
    "describe_onnx",
    "describe_torchscript",
    "free_batch",
    "get_backend",
    "read_onnx",
    "save_onnx",
    "sha256_model",
    "weight_files",
    "write_spec",
]
