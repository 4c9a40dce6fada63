"""Predictions and ground truth of one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from components.contracts.arrays import Array, Flags, Floats32, Ints
from components.contracts.views import View

TOP_CLASSES = 5  # of a classification that are listed


class Named(NamedTuple):
    """One thing that a prediction names: an object, or a probable class of the whole image.

    Arguments:
        class_id: of its class.
        score: 0–1.
        box: left, top, right, bottom in pixels of the upright image, or None.
        mask: (height, width) bool, or None.
        values: what else the task says of it, by name, such as a count.
    """

    class_id: int
    score: float
    box: tuple[float, float, float, float] | None = None
    mask: Flags | None = None
    values: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class ImageFrame:
    """Transformation of an image into the model's input, so that boxes can be mapped back.

    A point x of the image is at ``x * scale_x + offset_x`` of the input, likewise y.
    """

    width: int
    height: int
    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float


def _frozen(array: npt.ArrayLike, dtype: npt.DTypeLike) -> Array:
    copy = np.array(array, dtype=dtype)
    copy.setflags(write=False)
    return copy


class Prediction(Protocol):
    """Prediction of a model for an image, or its ground truth; each task has its own class."""

    task: ClassVar[str]  # its name in `TASKS`

    @property
    def count(self) -> int:
        """Number of things that are named: objects, or 1 for a class of the whole image."""

    @property
    def labels(self) -> list[int]:
        """Class id of each."""

    @property
    def lowest_score(self) -> float:
        """Lowest score of them, in 0–1; 0 where there is none."""

    def renumbered(self, ids: Sequence[int], classes: int) -> Prediction:
        """Replace class ids.

        Arguments:
            ids: the new id of each class; negative ones are of classes that it has nothing of.
            classes: number of classes among the new ids.
        """

    def has_labels_of(self, other: Prediction) -> bool:
        """Compare with labels of the same image."""

    def label_content(self) -> object:
        """Labels as JSON values, without scores."""

    def named(self) -> list[Named]:
        """Every object in its own order, or the most probable classes, the most probable first."""

    def placed(self, view: View) -> Prediction:
        """Bring what was predicted of a view of an image into the pixels of the image."""

    def without_masks(self) -> Prediction:
        """Leave out masks, which are large and which no metric reads."""


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

    xyxy: Floats32
    scores: Floats32
    class_ids: Ints
    masks: Flags | None = None

    task: ClassVar[str] = "detect"

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
                raise ValueError(
                    f"expected masks of shape ({n}, height, width), found {self.masks.shape}"
                )

    def __len__(self) -> int:
        return len(self.xyxy)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Detections)
            and np.array_equal(self.xyxy, other.xyxy)
            and np.array_equal(self.scores, other.scores)
            and np.array_equal(self.class_ids, other.class_ids)
        )

    @property
    def count(self) -> int:
        return len(self)

    @property
    def labels(self) -> list[int]:
        found: list[int] = self.class_ids.tolist()
        return found

    @property
    def lowest_score(self) -> float:
        """Lowest score of an object; 0 where there is none.

        That 0 is no confidence that nothing is there.
        """
        return float(self.scores.min(initial=1.0)) if len(self) else 0.0

    def renumbered(self, ids: Sequence[int], classes: int) -> Detections:
        return Detections(
            self.xyxy, self.scores, np.array(ids, np.int64)[self.class_ids], self.masks
        )

    def has_labels_of(self, other: Prediction) -> bool:
        """Compare with labels of the same image: the same boxes to a pixel, in any order."""
        if not isinstance(other, Detections):
            return self.labels == other.labels
        tables = [np.column_stack([found.class_ids, found.xyxy]) for found in (self, other)]
        first, second = (table[np.lexsort(table.round().T[::-1])] for table in tables)
        return first.shape == second.shape and bool(np.allclose(first, second, rtol=0, atol=1))

    def label_content(self) -> object:
        return [self.class_ids.tolist(), self.xyxy.tolist()]

    def named(self) -> list[Named]:
        """Every object, in its own order."""
        masks = self.masks if self.masks is not None else [None] * len(self)
        rows = zip(
            self.class_ids.tolist(), self.scores.tolist(), self.xyxy.tolist(), masks, strict=True
        )
        return [
            Named(k, score, (x1, y1, x2, y2), mask) for k, score, (x1, y1, x2, y2), mask in rows
        ]

    def placed(self, view: View) -> Detections:
        """Bring boxes and masks of a view into the pixels of the image."""
        if view.is_plain:
            return self
        masks = None if self.masks is None else view.masks_in_image(self.masks)
        return Detections(view.boxes_in_image(self.xyxy), self.scores, self.class_ids, masks)

    def subset(self, rows: Array | Flags) -> Detections:
        """Return some of the detections, by their indices in the wanted order, or by flags."""
        masks = None if self.masks is None else self.masks[rows]
        return Detections(self.xyxy[rows], self.scores[rows], self.class_ids[rows], masks)

    def without_masks(self) -> Detections:
        return Detections(self.xyxy, self.scores, self.class_ids)

    @classmethod
    def empty(cls) -> Detections:
        """Nothing found."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


@dataclass(frozen=True, eq=False)
class Classification:
    """Class probabilities of one image: `probs` (k,) float32, by class id. Ground truth is one-hot.

    Raises:
        ValueError: `probs` is not one-dimensional or is empty.
    """

    probs: Floats32

    task: ClassVar[str] = "classify"
    count: ClassVar[int] = 1  # of what is named

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

    @property
    def labels(self) -> list[int]:
        return [self.class_id]

    @property
    def lowest_score(self) -> float:
        """Score of the most probable class."""
        return self.score

    def renumbered(self, ids: Sequence[int], classes: int) -> Classification:
        probs = np.zeros(classes, np.float32)
        for old, new in enumerate(ids):
            if new >= 0:
                probs[new] = self.probs[old]
        return Classification(probs)

    def has_labels_of(self, other: Prediction) -> bool:
        """Compare with a label of the same image: the same class."""
        return self.labels == other.labels

    def label_content(self) -> object:
        return self.class_id

    def named(self) -> list[Named]:
        """The five most probable classes, the most probable first."""
        best = np.argsort(-self.probs, kind="stable")[:TOP_CLASSES]
        return [Named(int(k), float(self.probs[k])) for k in best]

    def placed(self, view: View) -> Classification:
        """Return itself: a class has no place."""
        return self

    def without_masks(self) -> Classification:
        return self


@dataclass(frozen=True)
class LabelledImage:
    """Image of a labelled dataset; `truth` is its ground truth in pixels of the upright image."""

    image_id: str
    path: Path
    truth: Prediction
