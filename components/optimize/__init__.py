"""What turns any vision model into the files that are benchmarked: opening, exporting, lowering precision.

`open_model` brings a model from outside into Foveal's own form, an FP32 ONNX file with its pre-processing
inside; `make_variants` makes the other precisions from it. Every pass is one frozen dataclass in one file,
takes a model file and writes another, and says in the file's history what it did. `PASSES` lists them.
"""

from components.optimize.meaning import IMAGENET, UNIT, Normalisation
from components.optimize.passes import PASSES, OptimizationPass, PassContext, get_pass
from components.optimize.source import open_model
from components.optimize.variants import RECIPES, make_variants

__all__ = [
    "IMAGENET",
    "PASSES",
    "RECIPES",
    "UNIT",
    "Normalisation",
    "OptimizationPass",
    "PassContext",
    "get_pass",
    "make_variants",
    "open_model",
]
