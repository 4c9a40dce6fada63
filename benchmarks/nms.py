"""NMS of 10,000 boxes against a plain loop and torchvision, and weighted boxes fusion as published.

The loops below are written from the papers, one box after the other, and share no code with what
is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchmarks.figure import Figure, conclude
from components.contracts import Detections
from components.vision.boxes import non_max_suppression
from components.vision.combining.detections import wbf
from components.vision.combining.ensemble import Ensemble
from components.vision.combining.settings import Combining

Floats = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]

BOXES, BAR, TOLERANCE, IOU = 10_000, 100, 1e-6, 0.5
WEIGHTS = (2.0, 1.0, 1.5)
FUSION_IOU, LOOPED_BOXES = 0.55, 1500
ROUNDS = 5


def overlap(a: Box, b: Box) -> float:
    """Compute intersection over union; 0 where a box has no area."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def plain_nms(boxes: Floats, scores: Floats, iou: float) -> list[int]:
    """Suppress one box after the other."""
    rows = [(x1, y1, x2, y2) for x1, y1, x2, y2 in boxes.tolist()]
    kept: list[int] = []
    for k in np.argsort(-scores, kind="stable").tolist():
        if all(overlap(rows[k], rows[other]) <= iou for other in kept):
            kept.append(k)
    return kept


def plain_wbf(
    models: list[list[tuple[Box, float]]], weights: tuple[float, ...], iou: float
) -> list[tuple[Box, float]]:
    """Fuse the boxes of one class as the paper says, one after the other."""
    pool = [
        (score * weight, box)
        for found, weight in zip(models, weights, strict=True)
        for box, score in found
    ]
    clusters: list[list[tuple[float, Box]]] = []
    fused: list[Box] = []
    for count, box in sorted(pool, reverse=True):
        overlaps = [overlap(box, other) for other in fused]
        best = max(range(len(fused)), key=overlaps.__getitem__, default=-1)
        if best >= 0 and overlaps[best] > iou:
            clusters[best].append((count, box))
            fused[best] = _mean(clusters[best])
        else:
            clusters.append([(count, box)])
            fused.append(box)
    scores = [
        sum(count for count, _ in own) / len(own) * min(len(own), len(models)) / sum(weights)
        for own in clusters
    ]
    pairs = zip(fused, (min(score, 1.0) for score in scores), strict=True)
    return sorted(pairs, key=lambda pair: -pair[1])


def _mean(own: list[tuple[float, Box]]) -> Box:
    total = sum(count for count, _ in own)
    x1, y1, x2, y2 = (sum(count * box[side] for count, box in own) / total for side in range(4))
    return x1, y1, x2, y2


def scattered(rng: np.random.Generator, boxes: int, side: float = 1000.0) -> Floats:
    """Draw boxes of 5 to 120 pixels that are anywhere in an image."""
    centres, halves = rng.uniform(0, side, (boxes, 2)), rng.uniform(2.5, 60, (boxes, 2))
    return np.hstack([centres - halves, centres + halves])


def degenerate(rng: np.random.Generator) -> dict[str, Floats]:
    """Return boxes that are hard: alike, without an area, turned round, nested, huge, touching."""
    some = scattered(rng, 300)
    flat, turned = some.copy(), some.copy()
    flat[::2, 2], flat[1::3, 3] = flat[::2, 0], flat[1::3, 1]
    turned[::3] = turned[::3][:, [2, 1, 0, 3]]
    turned[1::3] = turned[1::3][:, [2, 3, 0, 1]]
    k = np.arange(300.0)
    grid = np.stack([10 * (k % 20), 10 * (k // 20)], axis=1)
    return {
        "alike": np.repeat(some[:10], 30, axis=0),
        "without an area": flat,
        "turned round": turned,
        "nested": np.stack([k, k, 1000 - k, 1000 - k], axis=1),
        "touching": np.hstack([grid, grid + 10]),
        "huge": some * 1e9,
        "a chain": np.stack([k * 4, 0 * k, k * 4 + 10, 0 * k + 10], axis=1),
    }


def _same_as_torchvision(boxes: Floats, scores: Floats, iou: float) -> bool:
    import torch
    from torchvision.ops import nms

    theirs = nms(torch.from_numpy(boxes), torch.from_numpy(scores), iou).numpy()
    ids = np.zeros(len(boxes), np.int64)
    ours = non_max_suppression(boxes, scores, ids, iou=iou, limit=len(boxes))
    return np.array_equal(ours, theirs)


def _fastest(function: Callable[[], object]) -> float:
    """Seconds of processor time of the fastest of some rounds."""
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
    return min(times)


def _speed(rng: np.random.Generator) -> tuple[float, str, bool]:
    boxes, scores = scattered(rng, BOXES), rng.permutation(BOXES) / BOXES + 1e-4
    ids = np.zeros(BOXES, np.int64)
    ours_s = _fastest(lambda: non_max_suppression(boxes, scores, ids, iou=IOU, limit=BOXES))
    started = time.process_time()
    kept = plain_nms(boxes, scores, IOU)
    plain_s = time.process_time() - started
    same = kept == non_max_suppression(boxes, scores, ids, iou=IOU, limit=BOXES).tolist()
    text = (
        f"NMS of {BOXES:,} boxes, {len(kept):,} kept: {1e3 * ours_s:.0f} ms, "
        f"plain loop {plain_s:.1f} s"
    )
    return plain_s / ours_s, text, same


def _differing(rng: np.random.Generator) -> list[str]:
    """Name the sets of boxes that torchvision suppresses otherwise."""
    found = []
    sets = {f"random {k}": scattered(rng, 1000, 300.0 + 50 * k) for k in range(10)}
    for name, boxes in {**sets, **degenerate(rng)}.items():
        distinct = rng.permutation(len(boxes)) / len(boxes) + 1e-3
        # 0.301…: no overlap of whole pixels is exactly that
        if not all(_same_as_torchvision(boxes, distinct, iou) for iou in (0.0, 0.3013, 0.7011)):
            found.append(name)
    return found


def _found_by_models(rng: np.random.Generator, boxes: int) -> list[Detections]:
    """Draw what three models find of the same objects of one class."""
    objects = scattered(rng, boxes // len(WEIGHTS))
    return [
        Detections(
            (objects + rng.normal(0, 2, objects.shape)).astype(np.float32),
            rng.uniform(0.05, 0.6, len(objects)).astype(np.float32),
            np.zeros(len(objects), np.int64),
        )
        for _ in WEIGHTS
    ]


def _fused(found: list[Detections]) -> Detections:
    boxes = sum(map(len, found))
    settings = Combining(method="wbf", iou=FUSION_IOU, confidence=0, max_detections=boxes)
    return wbf(found, Ensemble.of(WEIGHTS, 1), settings)


def _fusion_error(rng: np.random.Generator) -> float:
    """Return the largest deviation from the plain loop, relative to 1 or the number itself."""
    found = _found_by_models(rng, LOOPED_BOXES)
    theirs = plain_wbf([_rows(one) for one in found], WEIGHTS, FUSION_IOU)
    ours = _rows(_fused(found))
    if len(theirs) != len(ours):
        return float("inf")
    mine, plain = (np.array([[*box, score] for box, score in rows]) for rows in (ours, theirs))
    return float((np.abs(plain - mine) / np.maximum(1, np.abs(plain))).max())


def _rows(found: Detections) -> list[tuple[Box, float]]:
    boxes = [(x1, y1, x2, y2) for x1, y1, x2, y2 in found.xyxy.tolist()]
    return list(zip(boxes, found.scores.tolist(), strict=True))


def measure() -> Figure:
    """Compare speed, then results."""
    rng = np.random.default_rng(0)
    ratio, text, same = _speed(rng)
    differing = _differing(rng)
    error = _fusion_error(rng)
    many = _found_by_models(rng, BOXES)
    fusion_s = _fastest(lambda: _fused(many))
    details = (
        text,
        "torchvision's NMS on random and degenerate boxes: "
        + (f"another result on {', '.join(differing)}" if differing else "the same"),
        f"weighted boxes fusion of {LOOPED_BOXES:,} boxes: {error:.1e} from the plain loop",
        f"weighted boxes fusion of {BOXES:,} boxes of one class: {1e3 * fusion_s:.0f} ms",
    )
    ok = ratio >= BAR and same and not differing and error <= TOLERANCE
    bar = f"≥ {BAR}×, as torchvision, fusion within {TOLERANCE:g}"
    return Figure("nms", f"{ratio:.0f}× a plain loop", bar, ok, details)


if __name__ == "__main__":
    conclude(measure)
