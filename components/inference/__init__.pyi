from .ab.experiment import Design, Experiment
from .ab.shadow import Shadowed, ShadowPipeline
from .ab.split import Arm, ArmResult, SplitPipeline, assign_arm
from .batch.run import run_batch
from .batch.settings import BatchSettings
from .ensemble.members import Member
from .ensemble.settings import Hooks, PipelineSettings
from .metrics import Metrics, MetricsSnapshot
from .pipeline import InferencePipeline
from .results import Cause, Item, PredictionResult

__all__ = [
    "Arm",
    "ArmResult",
    "BatchSettings",
    "Cause",
    "Design",
    "Experiment",
    "Hooks",
    "InferencePipeline",
    "Item",
    "Member",
    "Metrics",
    "MetricsSnapshot",
    "PipelineSettings",
    "PredictionResult",
    "ShadowPipeline",
    "Shadowed",
    "SplitPipeline",
    "assign_arm",
    "run_batch",
]
