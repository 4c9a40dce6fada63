"""Optimization of vision models into files to benchmark: opening, exporting, lowering precision.

`open_model` brings a model from outside into Foveal's own form, an FP32 ONNX file with its
pre-processing inside; `make_variants` makes the other precisions from it. Every pass is one frozen
dataclass in one file, takes a model file and writes another, and says in the file's history what it
did. `PASSES` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
