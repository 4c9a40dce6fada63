from .batch import run_batch
from .combine import Combine, average, nms
from .metrics import Metrics, MetricsSnapshot
from .output import load_run
from .pipeline import InferencePipeline, Member
from .results import Item, PredictionResult

__all__ = [
    "Combine",
    "InferencePipeline",
    "Item",
    "Member",
    "Metrics",
    "MetricsSnapshot",
    "PredictionResult",
    "average",
    "load_run",
    "nms",
    "run_batch",
]
