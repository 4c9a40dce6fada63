"""Average precision of any resample of the images, after a single matching of boxes.

How sure a mean average precision is can only be told by resampling, and a full COCO evaluation for
each resample takes minutes; faster-coco-eval keeps what it matched to itself. Which detection hits
which object depends on its own image alone, so here it is found once, and a resample is a weight
for each image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.contracts import Detections
from components.contracts.arrays import Flags, Floats, Ints
from components.vision.boxes import iou_matrix

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
_MAX_COUNTS = 4_000_000  # detections × resamples that are counted at once: 32 MB


@dataclass(frozen=True, eq=False)
class ClassHits:
    """Results of the detections of one class, best score first, and the numbers of objects.

    Arguments:
        images: (d,) which image each detection is in.
        hits: (d, 10) bool, whether it hits an object, by IoU threshold.
        objects: (n,) objects in each image.
    """

    images: Ints
    hits: Flags
    objects: Ints

    def average_precision(self, weights: Ints) -> Floats:
        """COCO's 101-point average precision (https://cocodataset.org/#detection-eval).

        Precision is highest, and recall grows, where a detection hits an object; the others only
        count towards it.

        Arguments:
            weights: (r, n) how often each image counts, in each of r resamples.

        Returns:
            (r, 10) by resample and IoU threshold; NaN where no weighted image holds an object.
        """
        rows = np.flatnonzero(self.hits.any(axis=1))
        step = max(1, _MAX_COUNTS // max(1, len(self.images)))
        parts = [
            self._of_resamples(weights[start : start + step], rows)
            for start in range(0, len(weights), step)
        ]
        return np.concatenate(parts)

    def _of_resamples(self, weights: Ints, rows: Ints) -> Floats:
        counts, objects = weights[:, self.images], weights @ self.objects
        found = np.full((len(weights), len(IOU_THRESHOLDS)), np.nan)
        found[objects > 0] = 0.0
        if not len(rows):
            return found
        seen = np.maximum(np.cumsum(counts, axis=1)[:, rows], 1)
        true = np.cumsum(counts[:, rows, None] * self.hits[rows], axis=1)
        envelope = np.maximum.accumulate((true / seen[:, :, None])[:, ::-1], axis=1)[:, ::-1]
        recall = true / np.maximum(objects, 1)[:, None, None]
        for r, k in np.ndindex(found.shape):
            if objects[r]:
                reached = np.searchsorted(recall[r, :, k], _RECALLS)
                found[r, k] = np.append(envelope[r, :, k], 0.0)[reached].mean()
        return found


@dataclass(frozen=True, eq=False)
class Hits:
    """The matched detections of n images: one `ClassHits` for each class id."""

    images: int
    classes: tuple[ClassHits, ...]

    def average_precision(self, weights: Ints | None = None) -> Floats:
        """Return average precision by class and IoU threshold, (classes, 10); NaN without objects.

        Arguments:
            weights: (n,) how often each image counts; by default once.
        """
        counts = np.ones(self.images, np.int64) if weights is None else weights
        return np.array([of_class.average_precision(counts[None])[0] for of_class in self.classes])

    def bootstrap(self, chosen: Flags, *, rounds: int, rng: np.random.Generator) -> Floats:
        """Resample the chosen images with replacement: average precision, (rounds, classes, 10).

        Arguments:
            chosen: (n,) which images are drawn from, at least one.
            rounds: resamples; 200 are enough for a standard error (Efron and Tibshirani, 1993,
                section 6.4).
            rng: source of chance.
        """
        which = np.flatnonzero(chosen)
        drawn = rng.multinomial(len(which), np.full(len(which), 1 / len(which)), size=rounds)
        weights = np.zeros((rounds, self.images), np.int64)
        weights[:, which] = drawn
        return np.stack([of_class.average_precision(weights) for of_class in self.classes], axis=1)


def find_hits(
    predictions: Sequence[Detections], truths: Sequence[Detections], *, classes: int
) -> Hits:
    """Match detections as COCO does: best score first, each to the free object it overlaps most.

    Arguments:
        predictions: one an image.
        truths: ground truth of the same images, in the same order.
        classes: how many classes there are; others are passed over.

    Raises:
        ValueError: the two differ in length.
    """
    pairs = list(zip(predictions, truths, strict=True))
    return Hits(len(pairs), tuple(_hits_of_class(pairs, class_id) for class_id in range(classes)))


def _hits_of_class(pairs: Sequence[tuple[Detections, Detections]], class_id: int) -> ClassHits:
    scores, images = [np.zeros(0, np.float32)], [np.zeros(0, np.int64)]
    hits = [np.zeros((0, len(IOU_THRESHOLDS)), np.bool_)]
    objects = np.zeros(len(pairs), np.int64)
    for number, (found, truth) in enumerate(pairs):
        true = truth.xyxy[truth.class_ids == class_id]
        objects[number] = len(true)
        of_class = np.flatnonzero(found.class_ids == class_id)
        if not len(of_class):
            continue
        ranked = of_class[np.argsort(-found.scores[of_class], kind="stable")]
        scores.append(found.scores[ranked])
        images.append(np.full(len(ranked), number, np.int64))
        hits.append(_match(iou_matrix(found.xyxy[ranked], true)))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return ClassHits(np.concatenate(images)[order], np.concatenate(hits)[order], objects)


def _match(overlaps: Floats) -> Flags:
    """Match d detections to m objects by their (d, m) overlaps; (d, 10) marks the hits."""
    hits = np.zeros((len(overlaps), len(IOU_THRESHOLDS)), np.bool_)
    if not overlaps.size:
        return hits
    for column, threshold in enumerate(IOU_THRESHOLDS):
        free = overlaps.copy()
        for row in np.flatnonzero((overlaps >= threshold).any(axis=1)):
            # of equal ones the last, as in COCO's own code
            best = free.shape[1] - 1 - int(free[row, ::-1].argmax())
            if free[row, best] >= threshold:
                hits[row, column] = True
                free[:, best] = -1
    return hits


def mean_over_classes(values: Floats) -> Floats:
    """Average each resample over the classes that it has (others are NaN): (r, classes) → (r,)."""
    held = ~np.isnan(values)
    return np.asarray(np.where(held, values, 0).sum(axis=1) / np.maximum(held.sum(axis=1), 1))
