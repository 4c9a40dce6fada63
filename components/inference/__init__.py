"""The production pipeline: a model, or several, over one image, many, or a folder of millions.

- `InferencePipeline`: pre-process → models → combine, sync and async, with running metrics.
- `run_batch`: a table row for every image, in bounded memory; a killed run goes on where it was. `load_run` reads one.
"""

from components.inference.batch import run_batch
from components.inference.combine import Combine, average, nms
from components.inference.metrics import Metrics, MetricsSnapshot
from components.inference.output import load_run
from components.inference.pipeline import InferencePipeline, Member
from components.inference.results import Item, PredictionResult

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
