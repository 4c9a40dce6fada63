from .ab import Arm, ArmResult, SplitPipeline, assign_arm
from .batch import run_batch
from .combine import Combine, average, nms
from .experiment import Design, Experiment
from .metrics import Metrics, MetricsSnapshot
from .pipeline import InferencePipeline, Member
from .results import Item, PredictionResult
from .shadow import Shadowed, ShadowPipeline

__all__ = [
    "Arm",
    "ArmResult",
    "Combine",
    "Design",
    "Experiment",
    "InferencePipeline",
    "Item",
    "Member",
    "Metrics",
    "MetricsSnapshot",
    "PredictionResult",
    "ShadowPipeline",
    "Shadowed",
    "SplitPipeline",
    "assign_arm",
    "average",
    "nms",
    "run_batch",
]
