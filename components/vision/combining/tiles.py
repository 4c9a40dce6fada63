"""Tiles of a large image: where they are, and how what they show is joined again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.contracts import Detections, View
from components.contracts.arrays import Array, Flags, Floats
from components.vision.boxes import Indices, iou_matrix
from components.vision.combining.ensemble import Joiner
from components.vision.combining.settings import Tiling
from components.vision.metrics import only

_AT_EDGE = 0.02  # of a tile's side; a box that ends nearer to its edge may be cut
_ALL_OF_IT = 0.7  # IoU with the hull of an object's boxes, from which a box shows all of it
_Pair = tuple[float, int, int]  # agreement, and two rows of all detections


def tiles_of(height: int, width: int, tiling: Tiling) -> tuple[View, ...]:
    """Return the tiles of an image, evenly spread, and the whole image first if that is wanted.

    An image that one tile holds is seen as a whole.

    Arguments:
        height: of the image in pixels.
        width: of the image.
        tiling: size and overlap of the tiles.
    """
    tiles = tuple(
        View(left, top, min(tiling.size, width), min(tiling.size, height), (height, width))
        for top in _starts(height, tiling)
        for left in _starts(width, tiling)
    )
    whole = (View.of_whole(height, width),) if tiling.whole else ()
    return tiles if len(tiles) == 1 else (*whole, *tiles)


def join(predictions: Sequence[Any], views: Sequence[View], tiling: Tiling) -> Detections:
    """Join what the tiles of an image show, so that each object is there once and whole.

    Two boxes of a class in two tiles are of one object if they agree on the part of the image that
    both tiles show: what each tile cuts off is seen by the other one. Pairs that agree most are
    joined first; an object has at most one box in a tile. Of its boxes that no tile cuts and that
    cover their hull, the best-scored one is taken, of a tile before one of the whole image, or else
    the hull; the score is the best of all. What the whole image shows counts only where it is
    larger than the overlap of tiles: what is smaller lies whole in a tile, which shows it better.

    Arguments:
        predictions: `Detections` of each view, in pixels of the image.
        views: where the tiles are.
        tiling: `iou` says from which overlap boxes agree.

    Raises:
        IncompatibleError: a prediction is not of a detector.
    """
    found = [
        _large(one, view, tiling)
        for one, view in zip(only(Detections, predictions), views, strict=True)
    ]
    tiles = [_Tile.of(*pair) for pair in zip(found, views, strict=True)]
    starts = np.cumsum([0, *map(len, found)])
    pairs: list[_Pair] = []
    for one, other in _neighbours(tiles):
        pairs += [
            (overlap, int(starts[one]) + row, int(starts[other]) + column)
            for overlap, row, column in _agreeing(tiles[one], tiles[other], tiling.iou)
        ]
    view_of = np.repeat(np.arange(len(views)), np.diff(starts))
    groups = _groups(sorted(pairs, reverse=True), view_of)
    return _once_each(found, tiles, groups)


JOINERS: dict[str, Joiner] = {"join": join}


def _large(found: Detections, view: View, tiling: Tiling) -> Detections:
    """Drop what a tile shows better than the view, which is larger than a tile."""
    if max(view.width, view.height) <= tiling.size:
        return found
    sides = (found.xyxy[:, 2:] - found.xyxy[:, :2]).max(axis=1, initial=0)
    return found.subset(sides > tiling.overlap * tiling.size)


def _starts(length: int, tiling: Tiling) -> list[int]:
    """Return where tiles begin along a side, so that they overlap by at least what is asked."""
    if length <= tiling.size:
        return [0]
    stride = max(int(tiling.size * (1 - tiling.overlap)), 1)
    count = -(-(length - tiling.size) // stride) + 1
    starts: list[int] = np.linspace(0, length - tiling.size, count).round().astype(int).tolist()
    return starts


@dataclass(frozen=True, eq=False)
class _Tile:
    """What a tile shows: its corners, boxes (n, 4), class ids (n,), and which boxes are cut."""

    corners: Floats
    boxes: Floats
    class_ids: Array
    cut: Flags

    @classmethod
    def of(cls, found: Detections, view: View) -> _Tile:
        return cls(
            _corners(view), found.xyxy.astype(np.float64), found.class_ids, _is_cut(found, view)
        )


def _corners(view: View) -> Floats:
    right, bottom = view.left + view.width, view.top + view.height
    return np.array([view.left, view.top, right, bottom], np.float64)


def _is_cut(found: Detections, view: View) -> Flags:
    """Tell which boxes end at an edge of the tile that is not an edge of the image."""
    height, width = view.image_size
    corners = _corners(view)
    inner = corners != [0, 0, width, height]
    margin = _AT_EDGE * np.array([view.width, view.height] * 2)
    return np.asarray(((np.abs(found.xyxy - corners) <= margin) & inner).any(axis=1))


def _neighbours(tiles: Sequence[_Tile]) -> list[tuple[int, int]]:
    """List the pairs of tiles that share a part of the image."""
    corners = np.stack([tile.corners for tile in tiles])
    low, high = corners[:, :2], corners[:, 2:]
    shared = np.maximum(low[:, None], low[None]) < np.minimum(high[:, None], high[None])
    one, other = np.nonzero(np.triu(shared.all(axis=2), 1))
    return list(zip(one.tolist(), other.tolist(), strict=True))


def _agreeing(one: _Tile, other: _Tile, iou: float) -> list[_Pair]:
    """List the pairs of boxes of two tiles that are of one object, with how much they agree.

    What an edge cuts may be so narrow that its overlap says little: it belongs to a box that it
    lies in, but only after all pairs that do overlap, so its agreement is below 0.
    """
    low = np.maximum(one.corners[:2], other.corners[:2])
    high = np.minimum(one.corners[2:], other.corners[2:])
    a, b = (np.clip(tile.boxes, [*low, *low], [*high, *high]) for tile in (one, other))
    agreement = iou_matrix(a, b)
    chosen = agreement >= iou
    shared = np.concatenate([low, high])
    if not (np.array_equal(shared, one.corners) or np.array_equal(shared, other.corners)):
        inside = _share_inside(one.boxes, other.boxes)
        narrow = ~chosen & (one.cut[:, None] | other.cut[None]) & (inside >= iou)
        agreement[narrow] = inside[narrow] - 1
        chosen |= narrow
    rows, columns = np.nonzero(chosen & (one.class_ids[:, None] == other.class_ids[None]))
    return list(
        zip(agreement[rows, columns].tolist(), rows.tolist(), columns.tolist(), strict=True)
    )


def _share_inside(first: Floats, second: Floats) -> Floats:
    """Compute the intersection over the smaller of (n, 4) and (m, 4) boxes, as (n, m)."""
    a, b = first.T[:, :, None], second.T[:, None]
    width = np.minimum(a[2], b[2]) - np.maximum(a[0], b[0])
    height = np.minimum(a[3], b[3]) - np.maximum(a[1], b[1])
    smaller = np.minimum((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    shared = width.clip(0) * height.clip(0)
    return np.asarray(np.divide(shared, smaller, out=np.zeros_like(shared), where=smaller > 0))


def _groups(pairs: Sequence[_Pair], view_of: Indices) -> list[list[int]]:
    """Join rows by their pairs, the first first; no group has two rows of one view."""
    groups = {row: [row] for row in range(len(view_of))}
    for _, one, other in pairs:
        first, second = groups[one], groups[other]
        views = {int(view_of[row]) for row in first}
        if first is second or any(int(view_of[row]) in views for row in second):
            continue
        first += second
        for row in second:
            groups[row] = first
    return list({id(group): group for group in groups.values()}.values())


def _once_each(
    found: Sequence[Detections], tiles: Sequence[_Tile], groups: Sequence[Sequence[int]]
) -> Detections:
    xyxy = np.concatenate([one.xyxy for one in found])
    scores = np.concatenate([one.scores for one in found])
    class_ids = np.concatenate([one.class_ids for one in found])
    cut = np.concatenate([tile.cut for tile in tiles])
    sizes = np.repeat(
        [float(np.ptp(tile.corners.reshape(2, 2), axis=0).prod()) for tile in tiles],
        [len(one) for one in found],
    )
    order = np.lexsort((-scores, sizes))  # a tile before the whole image, then by score
    rank = np.argsort(order)
    boxes = [_box_of(np.array(group), xyxy, rank, cut) for group in groups]
    best = [scores[group].max() for group in groups]
    masks = [one.masks for one in found if one.masks is not None]
    joined = Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(best, np.float32),
        np.array([class_ids[group[0]] for group in groups], np.int64),
        _masks(np.concatenate(masks), groups) if len(masks) == len(found) else None,
    )
    return joined.subset(np.argsort(-joined.scores, kind="stable"))


def _box_of(group: Indices, xyxy: Array, rank: Indices, cut: Flags) -> Array:
    """Return the box of an object from its boxes in several tiles; the lowest rank is the best."""
    hull = np.concatenate([xyxy[group, :2].min(axis=0), xyxy[group, 2:].max(axis=0)])
    whole = group[~cut[group] & (iou_matrix(hull[None], xyxy[group])[0] >= _ALL_OF_IT)]
    best: Array = xyxy[whole[rank[whole].argmin()]] if len(whole) else hull
    return best


def _masks(masks: Flags, groups: Sequence[Sequence[int]]) -> Flags:
    """Return of each object what any of its masks covers."""
    joined = np.zeros((len(groups), *masks.shape[1:]), bool)
    for mask, group in zip(joined, groups, strict=True):
        masks[group].any(axis=0, out=mask)
    return joined
