"""Geometry of boxes, as pure functions on arrays."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from components.contracts import ImageFrame
from components.contracts.arrays import Array, Flags, Floats

Indices = npt.NDArray[np.intp]

MAX_CANDIDATES = 30_000  # boxes that compete in one image; Ultralytics draws the same line
FAR = 1e6  # pixels; a wild box beyond must not cost the others their precision


def xyxy_from_cxcywh(boxes: Array) -> Floats:
    """Corners from centres and sizes, (n, 4) both."""
    centres, halves = boxes[:, :2].astype(np.float64), boxes[:, 2:4].astype(np.float64) / 2
    return np.concatenate([centres - halves, centres + halves], axis=1)


def to_original(xyxy: Array, frame: ImageFrame) -> Floats:
    """Boxes of the model's input as boxes of the image, clipped to it.

    Arguments:
        xyxy: (n, 4) in pixels of the model's input.
        frame: how the image was fitted.

    Returns:
        (n, 4) in pixels of the original image, each within 0 … width or 0 … height.
    """
    offset = np.array([frame.offset_x, frame.offset_y] * 2)
    scale = np.array([frame.scale_x, frame.scale_y] * 2)
    limit = np.array([frame.width, frame.height] * 2, np.float64)
    return np.asarray(np.clip((xyxy - offset) / scale, 0, limit))


def has_area(xyxy: Array) -> Flags:
    """Mark those of (n, 4) boxes that hold anything."""
    return (xyxy[:, 2] > xyxy[:, 0]) & (xyxy[:, 3] > xyxy[:, 1])


def iou_matrix(first: Array, second: Array) -> Floats:
    """Compute intersection over union of (n, 4) and (m, 4) boxes, as (n, m); corners, in pixels."""
    a, b = first.astype(np.float64)[:, None], second.astype(np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = sides.clip(0).prod(axis=-1)
    union = (
        (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1) - shared
    )
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def non_max_suppression(
    xyxy: Array, scores: Array, class_ids: Array, *, iou: float, limit: int
) -> Indices:
    """Keep the best box of every group of overlapping boxes of one class.

    Greedy, like `torchvision.ops.batched_nms`: by falling score, ties in the order given; a box
    goes when its intersection over union with a kept one of its class exceeds `iou`. Of more than
    `MAX_CANDIDATES` boxes the best-scored compete, so the time is bounded at any threshold.

    Arguments:
        xyxy: (n, 4) finite boxes with an area, in pixels.
        scores: (n,) positive.
        class_ids: (n,) not negative.
        iou: 0–1.
        limit: how many boxes to keep at most.

    Returns:
        Indices of the kept boxes, best score first.
    """
    order = _best_first(scores, MAX_CANDIDATES)
    if not len(order):
        return order
    boxes = np.clip(xyxy[order].astype(np.float64), -FAR, FAR)
    # Classes are moved so far apart that their boxes never meet. In float64 that costs no
    # precision.
    apart = class_ids[order].astype(np.float64) * (boxes.max() - boxes.min() + 1)
    sizes = boxes[:, 2:] - boxes[:, :2]
    rectangles: Any = np.concatenate([boxes[:, :2] + apart[:, None], sizes], axis=1)
    ranked: Any = scores[order].astype(np.float32)
    # What is kept among the best k does not depend on the rest, so start small and stop when it
    # suffices: the cost is the number of candidates times the number of kept ones.
    considered = 4 * limit
    while True:
        kept = np.asarray(
            cv2.dnn.NMSBoxes(rectangles[:considered], ranked[:considered], 0.0, iou), np.intp
        )
        if len(kept) >= limit or considered >= len(order):
            return order[kept[:limit]]
        considered *= 4


def _best_first(scores: Array, limit: int) -> Indices:
    """Indices by falling score, ties in the order given, at most `limit` of them."""
    if len(scores) <= limit:
        return np.argsort(-scores, kind="stable")
    best = np.sort(np.argpartition(-scores, limit)[:limit])
    return best[np.argsort(-scores[best], kind="stable")]
