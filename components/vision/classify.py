"""Image classification: probabilities, top-k accuracy and the columns that drift is watched on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from components.contracts import Classification, Head, ImageFrame, Prediction, VisionSpec
from components.errors import ModelError
from components.vision import metrics
from components.vision.fit import Image, fit_image

PROBABILITY_SLACK = 0.05  # a probability of a quantized model may overshoot by a step
_RAW = frozenset({Head.LOGITS, Head.SIGMOID_LOGITS})  # any finite number
_FAR = 700.0  # beyond it an exponential overflows; the sigmoid is 0 or 1 there
HEADS = _RAW | {Head.PROBABILITIES, Head.SIGMOID}


@dataclass(frozen=True)
class Classify:
    """What a classifier's input and output mean.

    Arguments:
        spec: of the model; its head is one of `HEADS`.

    Raises:
        ModelError: the spec is not that of a classifier.
    """

    spec: VisionSpec

    metric: ClassVar[str] = "top1"

    def __post_init__(self) -> None:
        if self.spec.head not in HEADS:
            raise ModelError(f"a classification head, one of {', '.join(sorted(HEADS))}", found=str(self.spec.head))

    def preprocess(self, image: npt.NDArray[Any]) -> tuple[Image, ImageFrame]:
        """An image (h, w, 3) uint8 BGR as the model's input, and how it was fitted; see `fit_image`."""
        return fit_image(image, self.spec)

    def postprocess(self, outputs: Sequence[npt.NDArray[Any]], frames: Sequence[ImageFrame]) -> list[Prediction]:
        """Class scores of a batch: probabilities that sum to 1, or with a sigmoid head scores that do not.

        Scores of a sigmoid head stay as they are: they are not scaled to sum to 1. `Classification.class_id` is the
        class of the highest score, `Classification.score` that score.

        Arguments:
            outputs: what the model gave for the batch; the first is (n, classes) of any float type.
            frames: of the n images.

        Raises:
            ModelError: the output has another shape, holds a NaN or an infinity, or probabilities beyond 0–1 or that
                do not sum to 1. `valid_outputs` tells beforehand which images are sound.
        """
        if not len(frames):
            return []
        output = self._checked(outputs, len(frames))
        unsound = int((~self._sound(output)).sum())
        if unsound:
            raise ModelError(
                self._expected(),
                found=f"others in the output for {unsound} of {len(frames)} images",
                mend="say what the output is (model.output: logits, softmax, sigmoid or sigmoid_logits); "
                "a quantized model may have lost its range",
            )
        return [Classification(row) for row in self._scores(output)]

    def _expected(self) -> str:
        if self.spec.head in _RAW:
            return "finite logits"
        return "probabilities between 0 and 1" + (" that sum to 1" if self.spec.head is Head.PROBABILITIES else "")

    def _scores(self, output: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if self.spec.head is Head.LOGITS:
            return _softmax(output)
        if self.spec.head is Head.SIGMOID_LOGITS:
            return np.asarray(1 / (1 + np.exp(-np.clip(output, -_FAR, _FAR))))
        return np.clip(output, 0, 1)

    def valid_outputs(self, outputs: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
        """Which images of a batch have a sound output: finite, in 0–1, summing to 1 as its head promises. (n,) bool.

        Raises:
            ModelError: the output has another shape.
        """
        return self._sound(self._checked(outputs, None))

    def _sound(self, output: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        sound = np.isfinite(output)
        if self.spec.head not in _RAW:
            sound &= np.abs(output - 0.5) <= 0.5 + PROBABILITY_SLACK
        whole = np.abs(output.sum(axis=1) - 1) <= PROBABILITY_SLACK if self.spec.head is Head.PROBABILITIES else True
        return np.asarray(sound.all(axis=1) & whole)

    def _checked(self, outputs: Sequence[npt.NDArray[Any]], images: int | None) -> npt.NDArray[np.float64]:
        """The first output as float64, (n, classes)."""
        shape = outputs[0].shape if len(outputs) else ()
        count = images if images is not None else (shape[0] if shape else "n")
        classes = len(self.spec.class_names)
        if shape != (count, classes):
            raise ModelError(
                f"a first output of shape ({count}, {classes}), as there are {classes} classes",
                found=str(shape) if len(outputs) else "no output",
                mend="give the task and the class names that the model was exported with",
            )
        return outputs[0].astype(np.float64)

    def evaluate(self, predictions: Sequence[Prediction], truths: Sequence[Prediction]) -> dict[str, float]:
        """`top1` and `top5` accuracy; see `metrics.top_accuracy` for what it raises."""
        return metrics.top_accuracy(metrics.only(Classification, predictions), metrics.only(Classification, truths))

    def evaluation_settings(self) -> Classify:
        """The same task: a classifier has no thresholds."""
        return self

    def drift_columns(
        self, predictions: Sequence[Prediction], frames: Sequence[ImageFrame]
    ) -> dict[str, npt.NDArray[Any]]:
        """How sure the model was of each image, one value an image; the frames do not matter.

        float64 columns are quantities: `prediction_confidence` (of the best class), `prediction_margin` (its lead
        over the second, or all of it where there is one class), `prediction_entropy` (in nats; with a sigmoid head,
        where each class is a yes or no of its own, the sum over the classes). int64 columns are categories:
        `prediction_class` is the class id.
        """
        rows = [prediction.probs for prediction in metrics.only(Classification, predictions)]
        probs = np.array(rows, np.float64).reshape(len(rows), len(self.spec.class_names))
        ranked = np.sort(np.pad(probs, ((0, 0), (1, 0))), axis=1)  # a class of probability 0, for models with one
        entropy = _information(probs)
        if not self.spec.head.exclusive:
            entropy = entropy + _information(1 - probs)
        return {
            "prediction_confidence": ranked[:, -1],
            "prediction_margin": ranked[:, -1] - ranked[:, -2],
            "prediction_entropy": np.abs(entropy.sum(axis=1)),
            "prediction_class": probs.argmax(axis=1),
        }


def _information(probs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Each probability times its logarithm in nats; 0 for one of 0."""
    return probs * np.log(probs, where=probs > 0, out=np.zeros_like(probs))


def _softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rows that sum to 1; shifting by the largest keeps the exponentials from overflowing."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
