"""Heads of classifiers: (n, classes), one number a class; they differ in what the numbers are."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from components.contracts.arrays import Array, Floats
from components.errors import ModelError

SLACK = 0.05  # a probability of a quantized model may overshoot by a step
_FAR = 700.0  # beyond it an exponential overflows; the sigmoid is 0 or 1 there


class _Scores:
    """See `OutputHead`."""

    task: ClassVar[str] = "classify"
    remedy: ClassVar[str] = (
        "say what they are: output: softmax (probabilities of one class an image), sigmoid "
        "(scores, each class by "
        "itself), logits or sigmoid_logits (either of these before its softmax or sigmoid)"
    )
    ranked: ClassVar[bool] = False
    decoder: ClassVar[None] = None
    expected: ClassVar[str]  # of the numbers, for errors
    exclusive: ClassVar[bool]  # an image is one class alone, so that its scores sum to 1

    def shape(self, classes: int) -> tuple[int | str, ...]:
        return ("batch", classes)

    def checked(self, output: Array | None, images: int | None, classes: int) -> Floats:
        shape = () if output is None else output.shape
        count = images if images is not None else (shape[0] if shape else "n")
        if output is None or shape != (count, classes):
            raise ModelError(
                f"a first output of shape ({count}, {classes}), as there are {classes} classes",
                found="no output" if output is None else str(shape),
                hint="give the task and the class names that the model was exported with",
            )
        return output.astype(np.float64)

    def sound(self, output: Array, classes: int) -> npt.NDArray[np.bool_]:
        return np.asarray(np.isfinite(output).all(axis=1))

    def is_read_right(self, output: Array) -> bool:
        return True

    def finds_something(self, output: Array, confidence: float) -> bool:
        return True

    def deviation(self, expected: Array, found: Array) -> float:
        scale = np.maximum(np.abs(expected).max(keepdims=True), 1e-9)
        return float((np.abs(expected - found) / scale).max())

    def decode(self, output: Floats) -> Floats:
        """Return scores in 0–1, (n, classes)."""
        return np.clip(output, 0, 1)


class Logits(_Scores):
    """Any number; a softmax makes them probabilities."""

    expected: ClassVar[str] = "finite logits"
    exclusive: ClassVar[bool] = True

    def decode(self, output: Floats) -> Floats:
        # the shift keeps exponentials from overflowing
        powers = np.exp(output - output.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


class SigmoidLogits(_Scores):
    """Any number; a sigmoid makes each a score by itself."""

    expected: ClassVar[str] = "finite logits"
    exclusive: ClassVar[bool] = False

    def decode(self, output: Floats) -> Floats:
        return np.asarray(1 / (1 + np.exp(-np.clip(output, -_FAR, _FAR))))


class Sigmoid(_Scores):
    """Scores, each 0–1 by itself: one class does not exclude another."""

    expected: ClassVar[str] = "probabilities between 0 and 1"
    exclusive: ClassVar[bool] = False

    def sound(self, output: Array, classes: int) -> npt.NDArray[np.bool_]:
        return np.asarray((np.isfinite(output) & (np.abs(output - 0.5) <= 0.5 + SLACK)).all(axis=1))


class Probabilities(Sigmoid):
    """Scores that sum to 1."""

    expected: ClassVar[str] = "probabilities between 0 and 1 that sum to 1"
    exclusive: ClassVar[bool] = True

    def sound(self, output: Array, classes: int) -> npt.NDArray[np.bool_]:
        whole = np.abs(output.sum(axis=1) - 1) <= SLACK
        return np.asarray(super().sound(output, classes) & whole)
