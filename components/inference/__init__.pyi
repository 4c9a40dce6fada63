from .ab.experiment import Design, Experiment
from .ab.shadow import Shadowed, ShadowPipeline
from .ab.split import Arm, ArmResult, SplitPipeline, assign_arm
from .batch.run import run_batch
from .batch.settings import BatchSettings
from .metrics import Metrics, MetricsSnapshot
from .pipeline import InferencePipeline, Member
from .results import Item, PredictionResult

__all__ = [
    "Arm",
    "ArmResult",
    "BatchSettings",
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
    "run_batch",
]
