"""YOLO's duplicate-free head: (n, k, 6), corner boxes in input pixels, score, class id."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from components.contracts.arrays import Array
from components.errors import ModelError
from components.vision.heads.detections import BOX, Candidates, Suppression, within

COLUMNS = 6
TIE = 1e-3  # scores closer than this, relative to the best, may swap places
MAX_ROWS = 300  # that are looked for among the other output's
ID_SLACK = 1e-3  # how far a class id may be from a whole number


class YoloEndToEnd:
    """See `OutputHead`."""

    task: ClassVar[str] = "detect"
    remedy: ClassVar[str] = "export a YOLOv8, 10, 11 or 26 detector"
    ranked: ClassVar[bool] = True
    exclusive: ClassVar[bool] = False
    decoder: ClassVar[None] = None

    def shape(self, classes: int) -> tuple[int | str, ...]:
        return ("batch", "detections", COLUMNS)

    def checked(
        self, output: Array | None, images: int | None, classes: int
    ) -> npt.NDArray[np.float32]:
        shape = () if output is None else output.shape
        count = images if images is not None else (shape[0] if shape else "n")
        if output is None or len(shape) != 3 or shape[2] != COLUMNS or shape[0] != count:
            raise ModelError(
                f"a first output of shape ({count}, detections, {COLUMNS})",
                found="no output" if output is None else str(shape),
                hint="give the task, head and class names that the model was exported with",
            )
        return output.astype(np.float32, copy=False)

    def sound(self, output: Array, classes: int) -> npt.NDArray[np.bool_]:
        known = within(output[:, :, 5:], classes - 1)
        return np.asarray(
            np.isfinite(output).all(axis=(1, 2)) & within(output[:, :, BOX : BOX + 1], 1) & known
        )

    def is_read_right(self, output: Array) -> bool:
        """Tell whether the class ids are whole numbers."""
        ids = output[..., 5]
        return not bool((np.abs(ids - np.rint(ids)) > ID_SLACK).any())

    def finds_something(self, output: Array, confidence: float) -> bool:
        return float(output[:, :, BOX].max(initial=0.0)) > confidence

    def deviation(self, expected: Array, found: Array) -> float:
        """Compare the rows of an image as a set, since equal scores may come in any order.

        Rows whose score is as low as the last one's are left out, since the last bit may decide
        which of them make the list.
        """
        pairs = zip(expected, found, strict=True)
        return max(
            _row_deviation(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in pairs
        )

    def decode(
        self, output: npt.NDArray[np.float32], classes: int, settings: Suppression
    ) -> list[Candidates]:
        """Return the boxes of each image, best score first, in input pixels."""
        confident = (output[:, :, BOX] > settings.confidence) & np.isfinite(output).all(axis=2)
        return [
            _ranked(rows[chosen], classes, settings)
            for rows, chosen in zip(output, confident, strict=True)
        ]


def _ranked(rows: npt.NDArray[np.float32], classes: int, settings: Suppression) -> Candidates:
    """Return the best of (m, 6) rows, best first."""
    rows = rows[np.argsort(-rows[:, BOX], kind="stable")[: settings.max_detections]]
    class_ids = np.rint(rows[:, 5])
    if len(rows) and not 0 <= class_ids.min() <= class_ids.max() < classes:
        raise ModelError(
            f"class ids 0–{classes - 1}",
            found=f"{class_ids.min():g}–{class_ids.max():g} in the output",
            hint="give the class names that the model was trained with; a quantized model may have "
            "lost its ids",
        )
    return rows[:, :BOX].astype(np.float64), rows[:, BOX], class_ids.astype(np.int64)


def _row_deviation(expected: npt.NDArray[np.float64], found: npt.NDArray[np.float64]) -> float:
    """Return how far the farthest of (k, 6) rows is from its nearest counterpart."""
    scale = np.maximum(np.abs(expected).max(axis=0), 1e-9)
    clear = expected[expected[:, BOX] > expected[:, BOX].min() + TIE * scale[BOX]][:MAX_ROWS]
    scale[BOX] = max(scale[BOX], 1.0)
    scores = np.abs(np.sort(expected[:, BOX]) - np.sort(found[:, BOX])).max()
    distances = (np.abs(clear[:, None] - found[None]) / scale).max(axis=2).min(axis=1)
    return float(max(scores, distances.max(initial=0.0)))
