from .context import OptimizationPass, PassContext
from .meaning import IMAGENET, UNIT, Fitting, Normalisation
from .opening.framework import framework_predictions
from .opening.source import ModelOptions, open_model
from .outputs import require_sound
from .passes.table import PASSES, get_pass
from .proof import remarks_on
from .variants import RECIPES, make_variants

__all__ = [
    "IMAGENET",
    "PASSES",
    "RECIPES",
    "UNIT",
    "Fitting",
    "ModelOptions",
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
