"""Output heads: how the first output of a model is read. One file each, and one line in the table.

A head knows neither what runs a model nor how precise its arithmetic is, and not what is done with
a prediction: it checks the raw output and decodes it into what its task takes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from components.contracts.arrays import Array
from components.plugins import plugin

HEADS = {
    "yolo": "components.vision.heads.yolo:Yolo",
    "yolo_end2end": "components.vision.heads.yolo_end2end:YoloEndToEnd",
    "logits": "components.vision.heads.scores:Logits",
    "probabilities": "components.vision.heads.scores:Probabilities",
    "sigmoid": "components.vision.heads.scores:Sigmoid",
    "sigmoid_logits": "components.vision.heads.scores:SigmoidLogits",
}


class OutputHead(Protocol):
    """Reader of a model's first output.

    What `decode` gives depends on the task: the candidates of each image for a detector, the scores
    of all images for a classifier.
    """

    task: str
    remedy: str  # what to do about a model whose output is another one
    ranked: bool  # the best come first, so that a rounding may change which rows there are
    exclusive: bool  # scores of all classes sum to 1: an image is one class alone
    decoder: Path | None  # file with `decode` for bundles; None: `run_template` has it

    def shape(self, classes: int) -> tuple[int | str, ...]:
        """Return the shape of the output; strings are free axes, the first is the batch."""

    def checked(self, output: Array | None, images: int | None, classes: int) -> Array:
        """Return an output in the float type that the head computes in.

        Arguments:
            output: (n, …) of any float type, or None where the model gave none.
            images: n, where it is known.
            classes: number of the model's classes.

        Raises:
            ModelError: it has another shape.
        """

    def sound(self, output: Array, classes: int) -> npt.NDArray[np.bool_]:
        """Tell which of n images have an output that is finite and within its range, (n,) bool."""

    def is_read_right(self, output: Array) -> bool:
        """Tell whether an output of one image shows no sign of being something else."""

    def finds_something(self, output: Array, confidence: float) -> bool:
        """Tell whether an image's output says something, so that a comparison proves something."""

    def deviation(self, expected: Array, found: Array) -> float:
        """Find outputs' largest difference relative to each channel's magnitude; NaN if any is."""


def head_of(name: str) -> Any:
    """Return the head of a name, an `OutputHead` that also has the `decode` of its task.

    Raises:
        ModelError: there is none.
    """
    return plugin(HEADS, name, "an output head")()
