"""Geometry of boxes, as pure functions on arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from components.contracts import ImageFrame
from components.contracts.arrays import Array, Flags, Floats

Indices = npt.NDArray[np.intp]

MAX_CANDIDATES = 30_000  # boxes that compete in one image; Ultralytics draws the same line
_MAX_PAIRS = 1_000_000  # overlapping pairs that are held at once
_CHUNK = 100_000  # pairs whose overlap is computed at once
_BLOCK = 64  # kept boxes that are compared with the others of a crowd at once


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
    a = first.astype(np.float64).T[:, :, None]
    b = second.astype(np.float64).T[:, None]
    width = np.minimum(a[2], b[2]) - np.maximum(a[0], b[0])
    height = np.minimum(a[3], b[3]) - np.maximum(a[1], b[1])
    shared = width.clip(0) * height.clip(0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def non_max_suppression(
    xyxy: Array, scores: Array, class_ids: Array, *, iou: float, limit: int
) -> Indices:
    """Keep the best box of every group of overlapping boxes of one class.

    Greedy, like `torchvision.ops.batched_nms`: by falling score, ties in the order given; a box
    goes when its intersection over union with a kept one of its class exceeds `iou`. A box without
    an area overlaps nothing. Of more than `MAX_CANDIDATES` boxes the best-scored compete, so the
    time is bounded at any threshold.

    Arguments:
        xyxy: (n, 4) finite boxes, in pixels.
        scores: (n,) finite.
        class_ids: (n,).
        iou: 0–1.
        limit: how many boxes to keep at most.

    Returns:
        Indices of the kept boxes, best score first.
    """
    order = _best_first(scores, MAX_CANDIDATES)
    boxes, classes = xyxy[order].astype(np.float64), class_ids[order]
    # What is kept among the best k does not depend on the rest, so start small and stop when it
    # suffices.
    considered = 4 * limit
    while True:
        kept = _greedy(boxes[:considered], classes[:considered], iou)
        if len(kept) >= limit or considered >= len(order):
            return order[kept[:limit]]
        considered *= 4


def _best_first(scores: Array, limit: int) -> Indices:
    """Indices by falling score, ties in the order given, at most `limit` of them."""
    if len(scores) <= limit:
        return np.argsort(-scores, kind="stable")
    best = np.sort(np.argpartition(-scores, limit)[:limit])
    return best[np.argsort(-scores[best], kind="stable")]


def _greedy(boxes: Floats, classes: Array, iou: float) -> Indices:
    """Return the kept of some boxes that are in the order of their rank."""
    if not len(boxes):
        return np.zeros(0, np.intp)
    better, worse = _overlapping_pairs(boxes, classes, iou)
    if len(better) <= _MAX_PAIRS:
        return _without_overlaps(len(boxes), better, worse)
    # In a crowd the better half removes most of the other one.
    half = len(boxes) // 2
    kept = _greedy(boxes[:half], classes[:half], iou)
    rest = np.arange(half, len(boxes))
    for start in range(0, len(kept), _BLOCK):
        block = kept[start : start + _BLOCK]
        overlaps = iou_matrix(boxes[block], boxes[rest]) > iou
        rest = rest[~(overlaps & (classes[block][:, None] == classes[rest])).any(axis=0)]
    return np.concatenate([kept, rest[_greedy(boxes[rest], classes[rest], iou)]])


def _without_overlaps(count: int, better: Indices, worse: Indices) -> Indices:
    """Keep each of `count` ranked boxes that overlaps no kept box of a better rank.

    In each round every box without a better neighbour that is still there is kept, and its
    neighbours go.
    """
    gone = np.zeros(count, bool)
    while len(better):
        contested = np.zeros(count, bool)
        contested[worse] = True
        gone[worse[~contested[better]]] = True
        open_ = ~(gone[better] | gone[worse])
        better, worse = better[open_], worse[open_]
    return np.flatnonzero(~gone)


def _overlapping_pairs(boxes: Floats, classes: Array, iou: float) -> tuple[Indices, Indices]:
    """Find the pairs of boxes of one class whose intersection over union exceeds `iou`.

    A sweep from left to right: boxes that overlap by more than `iou` do so along each axis, too,
    so only a few of those that begin to the right of a box can overlap it.

    Returns:
        The smaller and the larger index of each pair; where there are more than `_MAX_PAIRS`, some
        of them, but more than that.
    """
    order = np.lexsort((boxes[:, 0], classes))
    x1, y1, x2, y2 = boxes[order].T.copy()
    last = _last_neighbours(classes[order], x1, x1 + (1 - iou) * (x2 - x1))
    own, least = np.arange(len(order)), (iou - 1e-9) * (y2 - y1)
    pairs: list[tuple[Indices, Indices]] = []
    waiting: list[tuple[Indices, int]] = []
    found = held = 0
    for step in range(1, int((last - own).max(initial=0)) + 1):
        shared = np.minimum(y2[step:], y2[:-step])
        shared -= np.maximum(y1[step:], y1[:-step])
        near = (last[:-step] >= own[step:]) & (shared > least[step:]) & (shared > least[:-step])
        waiting.append((np.flatnonzero(near), step))
        held += len(waiting[-1][0])
        if held > _CHUNK:
            pairs.append(_overlaps(boxes, order, waiting, iou))
            found += len(pairs[-1][0])
            waiting, held = [], 0
            if found > _MAX_PAIRS:
                break
    pairs.append(_overlaps(boxes, order, waiting, iou))
    one, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return np.minimum(one, other), np.maximum(one, other)


def _last_neighbours(classes: Array, x1: Floats, limit: Floats) -> Indices:
    """Find for each sorted box the last one of its class that begins left of its limit, or there.

    Arguments:
        classes: (n,) rising.
        x1: (n,) rising within a class.
        limit: (n,) in pixels.
    """
    starts = np.flatnonzero(np.diff(classes, prepend=classes[:1] - 1))
    last = np.empty(len(classes), np.intp)
    margin = 1e-9 * (1 + np.abs(limit))  # for roundings
    for start, stop in zip(starts, [*starts[1:], len(classes)], strict=True):
        part = slice(start, stop)
        last[part] = start - 1 + np.searchsorted(x1[part], (limit + margin)[part], side="right")
    return last


def _overlaps(
    boxes: Floats, order: Indices, near: list[tuple[Indices, int]], iou: float
) -> tuple[Indices, Indices]:
    """Return those of the pairs (k, k + step) of sorted boxes that overlap by more than `iou`."""
    if not near:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    one = order[np.concatenate([rows for rows, _ in near])]
    other = order[np.concatenate([rows + step for rows, step in near])]
    a, b = boxes[one].T, boxes[other].T
    width = np.minimum(a[2], b[2]) - np.maximum(a[0], b[0])
    height = np.minimum(a[3], b[3]) - np.maximum(a[1], b[1])
    touching = np.flatnonzero((width > 0) & (height > 0))
    shared = (width * height)[touching]
    areas = ((a[2] - a[0]) * (a[3] - a[1]))[touching], ((b[2] - b[0]) * (b[3] - b[1]))[touching]
    chosen = touching[shared / (areas[0] + areas[1] - shared) > iou]
    return one[chosen], other[chosen]
