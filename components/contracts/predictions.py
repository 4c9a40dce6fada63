"""Predictions and ground truth of one image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class ImageFrame:
    """How an image was fitted into the model's input, so that boxes find their way back.

    A point x of the image is at ``x * scale_x + offset_x`` of the input, likewise y.
    """

    width: int
    height: int
    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float


def _frozen(array: npt.ArrayLike, dtype: Any) -> npt.NDArray[Any]:
    copy = np.array(array, dtype=dtype)
    copy.setflags(write=False)
    return copy


@dataclass(frozen=True, eq=False)
class Detections:
    """The objects found in one image, or the true ones.

    Arguments:
        xyxy: (n, 4) float32, left, top, right, bottom in pixels of the original image.
        scores: (n,) float32 in 0–1; ones for ground truth.
        class_ids: (n,) int64.
        masks: (n, height, width) bool, or None.

    Arrays are copied and read-only.

    Raises:
        ValueError: the shapes do not agree.
    """

    xyxy: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int64]
    masks: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        for name, dtype in (("xyxy", np.float32), ("scores", np.float32), ("class_ids", np.int64)):
            object.__setattr__(self, name, _frozen(getattr(self, name), dtype))
        n = len(self.xyxy)
        if self.xyxy.shape != (n, 4):
            raise ValueError(f"expected xyxy of shape (n, 4), found {self.xyxy.shape}")
        if self.scores.shape != (n,) or self.class_ids.shape != (n,):
            raise ValueError(
                f"expected scores and class_ids of shape ({n},) as xyxy has {n} rows, "
                f"found {self.scores.shape} and {self.class_ids.shape}"
            )
        if self.masks is not None:
            object.__setattr__(self, "masks", _frozen(self.masks, np.bool_))
            if self.masks.ndim != 3 or len(self.masks) != n:
                raise ValueError(f"expected masks of shape ({n}, height, width), found {self.masks.shape}")

    def __len__(self) -> int:
        return len(self.xyxy)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Detections)
            and np.array_equal(self.xyxy, other.xyxy)
            and np.array_equal(self.scores, other.scores)
            and np.array_equal(self.class_ids, other.class_ids)
        )

    @classmethod
    def empty(cls) -> Detections:
        """Nothing found."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


@dataclass(frozen=True, eq=False)
class Classification:
    """What one image shows: `probs` (k,) float32, in the order of the class names. Ground truth is one-hot.

    Raises:
        ValueError: `probs` is not one-dimensional or is empty.
    """

    probs: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "probs", _frozen(self.probs, np.float32))
        if self.probs.ndim != 1 or not len(self.probs):
            raise ValueError(f"expected probs of shape (k,) with k ≥ 1, found {self.probs.shape}")

    @property
    def class_id(self) -> int:
        """The most probable class."""
        return int(self.probs.argmax())

    @property
    def score(self) -> float:
        """Its probability."""
        return float(self.probs.max())


Prediction = Detections | Classification


@dataclass(frozen=True)
class LabelledImage:
    """One image of a labelled dataset; `truth` is its ground truth in pixels of the upright image."""

    image_id: str
    path: Path
    truth: Prediction
