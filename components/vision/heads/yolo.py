"""YOLO's head before non-maximum suppression: (n, 4 + classes, anchors).

It has centre boxes in input pixels, and scores in 0–1.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from components.contracts.arrays import Array
from components.errors import ModelError
from components.vision import boxes
from components.vision.heads.detections import BOX, Candidates, Suppression, within

REMEDY = "give the task, head and class names that the model was exported with"


class Yolo:
    """See `OutputHead`; duplicates are removed by `Suppression`."""

    task: ClassVar[str] = "detect"
    remedy: ClassVar[str] = "export a YOLOv8, 10, 11 or 26 detector"
    ranked: ClassVar[bool] = False
    exclusive: ClassVar[bool] = False
    decoder: ClassVar[None] = None

    def shape(self, classes: int) -> tuple[int | str, ...]:
        return ("batch", BOX + classes, "anchors")

    def checked(
        self, output: Array | None, images: int | None, classes: int
    ) -> npt.NDArray[np.float32]:
        shape = () if output is None else output.shape
        count = images if images is not None else (shape[0] if shape else "n")
        if output is None or len(shape) != 3 or shape[1] != 4 + classes or shape[0] != count:
            raise ModelError(
                f"a first output of shape ({count}, {4 + classes}, anchors), as {classes} classes "
                "and 4 box sides make",
                found="no output" if output is None else str(shape),
                hint=REMEDY,
            )
        return output.astype(np.float32, copy=False)

    def sound(self, output: Array, classes: int) -> npt.NDArray[np.bool_]:
        return np.asarray(
            np.isfinite(output[:, :BOX]).all(axis=(1, 2)) & within(output[:, BOX:], 1)
        )

    def is_read_right(self, output: Array) -> bool:
        return True

    def finds_something(self, output: Array, confidence: float) -> bool:
        return float(output[:, BOX:].max(initial=0.0)) > confidence

    def deviation(self, expected: Array, found: Array) -> float:
        """Compare channel by channel.

        Scores count as they are, in 0–1: a well-trained model gives random pixels scores of a
        millionth, whose last digits say nothing.
        """
        scale = np.maximum(np.abs(expected).max(axis=(0, 2), keepdims=True), 1e-9)
        scale[:, BOX:] = np.maximum(scale[:, BOX:], 1.0)
        return float((np.abs(expected - found) / scale).max())

    def decode(
        self, output: npt.NDArray[np.float32], classes: int, settings: Suppression
    ) -> list[Candidates]:
        """Return the boxes of each image, best score first, in input pixels."""
        # (n, anchors); NaN where any class is, which no threshold lets pass
        best = output[:, BOX:].max(axis=1)
        return [
            _suppressed(image[:, np.flatnonzero(confident)].T, settings)
            for image, confident in zip(output, best > settings.confidence, strict=True)
        ]


def _suppressed(rows: npt.NDArray[np.float32], settings: Suppression) -> Candidates:
    """Remove duplicates from (m, 4 + classes) rows."""
    rows = rows[np.isfinite(rows).all(axis=1)]
    xyxy = boxes.xyxy_from_cxcywh(rows)
    real = boxes.has_area(xyxy)
    xyxy, class_scores = xyxy[real], rows[real, BOX:]
    if settings.multi_label:
        which, class_ids = np.nonzero(class_scores > settings.confidence)
    else:
        which, class_ids = np.arange(len(xyxy)), class_scores.argmax(axis=1)
    xyxy, scores = xyxy[which], class_scores[which, class_ids]
    kept = boxes.non_max_suppression(
        xyxy, scores, class_ids, iou=settings.iou, limit=settings.max_detections
    )
    return xyxy[kept], scores[kept], class_ids[kept]
