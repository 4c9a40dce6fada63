"""Backends that run a model file: onnxruntime, OpenVINO, TensorRT, torch.

A backend only executes a file; precision lives in the file and meaning in its `VisionSpec`. Every
file takes the same (batch, height, width, 3) uint8 BGR tensor, so backends can be swapped freely.
A new backend is one file with one class and one line in `BACKENDS`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
