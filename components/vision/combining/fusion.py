"""Weighted boxes fusion, on arrays.

R. Solovyev, W. Wang, T. Gabruseva: Weighted boxes fusion: Ensembling boxes from different object
detection models. Image and Vision Computing 107, 2021. https://arxiv.org/abs/1910.13302
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.contracts.arrays import Floats
from components.vision.boxes import Indices


@dataclass(frozen=True, eq=False)
class Clusters:
    """Boxes of one class that were fused.

    Arguments:
        xyxy: (m, 4) float64: mean of the corners of each cluster's boxes, weighted by their scores.
        scores: (m,) float64: mean of their scores.
        sizes: (m,): how many boxes each has.
        cluster_of: (n,): the cluster of each given box.
    """

    xyxy: Floats
    scores: Floats
    sizes: Indices
    cluster_of: Indices


def fuse(xyxy: Floats, scores: Floats, iou: float) -> Clusters:
    """Put each box into the cluster whose fused box it overlaps most, if by more than `iou`.

    One box after the other, as each may move a fused box; its overlaps with all fused boxes are
    computed at once.

    Arguments:
        xyxy: (n, 4) float64 boxes of one class, best score first.
        scores: (n,) float64 positive, times the weights of the models.
        iou: 0–1.
    """
    fused = _FusedBoxes(len(xyxy))
    cluster_of: list[int] = []
    sums = np.zeros((len(xyxy), 5))  # of scores times corners, and of scores, by cluster
    weighted = np.column_stack([xyxy * scores[:, None], scores])
    for box, added in zip(xyxy, weighted, strict=True):
        best, overlap = fused.nearest(box)
        if overlap > iou:
            total = sums[best]
            total += added
            fused.put(best, total[:4] / total[4])
        else:
            best = fused.count
            sums[best] = added
            fused.put(best, box)
        cluster_of.append(best)
    found = np.array(cluster_of, np.intp)
    sizes = np.bincount(found, minlength=fused.count)
    return Clusters(fused.boxes(), sums[: fused.count, 4] / sizes, sizes, found)


class _FusedBoxes:
    """Fused boxes so far, with room for as many as there are boxes."""

    def __init__(self, room: int) -> None:
        self.count = 0
        self._low, self._high, self._areas = (
            np.empty((2, room)),
            np.empty((2, room)),
            np.empty(room),
        )
        self._buffers = np.empty((2, 2, room))

    def put(self, number: int, box: Floats) -> None:
        """Set a fused box; the next number adds one."""
        self._low[:, number], self._high[:, number] = box[:2], box[2:]
        self._areas[number] = _area(box)
        self.count = max(self.count, number + 1)

    def nearest(self, box: Floats) -> tuple[int, float]:
        """Find the fused box that overlaps a box most, and by how much; 0.0 where none does."""
        n, area = self.count, _area(box)
        if not n or not area:
            return 0, 0.0
        sides, buffer = self._buffers[:, :, :n]
        np.minimum(self._high[:, :n], box[2:, None], out=sides)
        np.maximum(self._low[:, :n], box[:2, None], out=buffer)
        np.subtract(sides, buffer, out=sides)
        np.maximum(sides, 0.0, out=sides)
        shared, union = sides[0], buffer[0]
        np.multiply(shared, sides[1], out=shared)
        np.add(self._areas[:n], area, out=union)
        np.subtract(union, shared, out=union)
        np.divide(shared, union, out=shared)
        best = int(shared.argmax())
        return best, float(shared[best])

    def boxes(self) -> Floats:
        """Return them, (m, 4)."""
        return np.concatenate([self._low[:, : self.count], self._high[:, : self.count]]).T


def _area(box: Floats) -> float:
    x1, y1, x2, y2 = box.tolist()
    area: float = max(x2 - x1, 0.0) * max(y2 - y1, 0.0)
    return area
