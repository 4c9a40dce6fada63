"""Vision tasks and output heads, and the geometry and metrics that they share.

`task_for` gives the task of a model; see `components.vision.tasks` and `components.vision.heads`.
"""

from typing import Any

from components.contracts import VisionSpec
from components.vision.tasks import TASKS, VisionTask, require_known, task_kind

__all__ = ["TASKS", "VisionTask", "require_known", "task_for", "task_kind"]


def task_for(spec: VisionSpec, *, confidence: float = 0.25, iou: float = 0.7) -> VisionTask:
    """Return the vision task of a model.

    Arguments:
        spec: of the model.
        confidence: detections must score more than this; a classification has no threshold.
        iou: of two boxes of a class that overlap by more than this the weaker one goes.

    Raises:
        ConfigError: a threshold is out of range.
        ModelError: there is no such task, or task and head of the spec do not belong together.
    """
    kind: Any = task_kind(spec.task)
    task: VisionTask = (
        kind(spec, confidence=confidence, iou=iou) if kind.has_thresholds else kind(spec)
    )
    return task
