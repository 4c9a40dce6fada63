"""What a task type means: pre-processing, decoding, accuracy and the columns that drift is watched on.

A vision task knows neither what runs a model nor how precise its arithmetic is: it takes images and
arrays, and gives predictions. `task_for` finds the task of a model.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from components.contracts import ImageFrame, Prediction, TaskType, VisionSpec
from components.vision.classify import Classify
from components.vision.detect import Detect

__all__ = ["Classify", "Detect", "VisionTask", "task_for"]


class VisionTask(Protocol):
    """The meaning of a model's input and output, for one kind of prediction."""

    @property
    def spec(self) -> VisionSpec:
        """Of the model."""

    @property
    def metric(self) -> str:
        """The accuracy metric that decides, a key of what `evaluate` returns."""

    def preprocess(self, image: npt.NDArray[Any]) -> tuple[npt.NDArray[np.uint8], ImageFrame]:
        """An image (h, w, 3) uint8 BGR as model input (height, width, 3) uint8 BGR, and how it was fitted."""

    def postprocess(self, outputs: Sequence[npt.NDArray[Any]], frames: Sequence[ImageFrame]) -> list[Prediction]:
        """One prediction for each image of a batch; ModelError where the outputs cannot be of this model."""

    def valid_outputs(self, outputs: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
        """Which images of a batch have finite outputs within their range, (n,) bool."""

    def evaluate(self, predictions: Sequence[Prediction], truths: Sequence[Prediction]) -> dict[str, float]:
        """Accuracy, by metric; DatasetError where there is nothing to measure it on."""

    def evaluation_settings(self) -> "VisionTask":
        """The same task with the thresholds that accuracy is measured with."""

    def drift_columns(
        self, predictions: Sequence[Prediction], frames: Sequence[ImageFrame]
    ) -> dict[str, npt.NDArray[Any]]:
        """One value an image: float64 columns are quantities, int64 columns are categories."""


def task_for(spec: VisionSpec, *, confidence: float = 0.25, iou: float = 0.7) -> VisionTask:
    """The vision task of a model.

    Arguments:
        spec: of the model.
        confidence: detections must score more than this; a classification has no threshold.
        iou: of two boxes of a class that overlap by more than this the weaker one goes.

    Raises:
        ConfigError: a threshold is out of range.
        ModelError: task and head of the spec do not belong together.
    """
    if spec.task is TaskType.DETECT:
        return Detect(spec, confidence=confidence, iou=iou)
    return Classify(spec)
