from .framework import framework_predictions
from .meaning import IMAGENET, UNIT, Fitting, Normalisation
from .outputs import require_sound
from .passes import PASSES, OptimizationPass, PassContext, get_pass
from .proof import remarks_on
from .source import open_model
from .variants import RECIPES, make_variants

__all__ = [
    "IMAGENET",
    "PASSES",
    "RECIPES",
    "UNIT",
    "Fitting",
    "Normalisation",
    "OptimizationPass",
    "PassContext",
    "framework_predictions",
    "get_pass",
    "make_variants",
    "open_model",
    "remarks_on",
    "require_sound",
]
