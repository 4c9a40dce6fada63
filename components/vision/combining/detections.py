"""Methods that combine detections of one image, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from components.contracts import Detections, Prediction
from components.contracts.arrays import Flags, Floats, Ints
from components.vision.boxes import Indices, non_max_suppression
from components.vision.combining.ensemble import Combiner, Ensemble
from components.vision.combining.fusion import fuse
from components.vision.combining.settings import Combining
from components.vision.combining.soft import gaussian, linear, soften
from components.vision.metrics import only


@dataclass(frozen=True, eq=False)
class _Pool:
    """All voters' detections, those that count most first.

    Ties are in the order of the boxes, so that the order of the voters does not matter.
    """

    xyxy: Floats
    scores: Floats
    class_ids: Ints
    weights: Floats
    masks: Flags | None

    @classmethod
    def of(cls, predictions: Sequence[Prediction], ensemble: Ensemble) -> _Pool:
        found = only(Detections, predictions)
        xyxy = np.concatenate([one.xyxy for one in found]).astype(np.float64)
        scores = np.concatenate([one.scores for one in found]).astype(np.float64)
        class_ids = np.concatenate([one.class_ids for one in found])
        weights = ensemble.weights.repeat([len(one) for one in found])
        masks = [one.masks for one in found if one.masks is not None]
        joined = np.concatenate(masks) if len(masks) == len(found) else None
        order = np.lexsort((*xyxy.T, class_ids, -scores, -scores * weights))
        order = order[scores[order] > 0]
        pool = cls(xyxy, scores, class_ids, weights, joined)
        return pool.taken(order)

    def taken(self, rows: Indices) -> _Pool:
        masks = None if self.masks is None else self.masks[rows]
        return _Pool(
            self.xyxy[rows], self.scores[rows], self.class_ids[rows], self.weights[rows], masks
        )

    def finished(self, settings: Combining) -> Detections:
        """Return the best-scored detections, best first."""
        order = np.argsort(-self.scores, kind="stable")
        order = order[self.scores[order] > settings.confidence][: settings.max_detections]
        best = self.taken(order)
        return Detections(
            best.xyxy.astype(np.float32),
            best.scores.astype(np.float32),
            best.class_ids,
            best.masks,
        )


def nms(predictions: Sequence[Prediction], ensemble: Ensemble, settings: Combining) -> Detections:
    """Keep the best of every group of detections of a class that overlaps.

    Confidence times weight decides which one is best; what is kept has its model's own confidence,
    so thresholds go on meaning what they meant. Masks are kept if every model gives them.

    Arguments:
        predictions: one `Detections` of each voter.
        ensemble: the voters.
        settings: `iou`, `confidence` and `max_detections` are used.

    Raises:
        IncompatibleError: a prediction is not of a detector.
    """
    pool = _Pool.of(predictions, ensemble)
    kept = non_max_suppression(
        pool.xyxy,
        pool.scores * pool.weights,
        pool.class_ids,
        iou=settings.iou,
        limit=settings.max_detections,
    )
    return pool.taken(kept).finished(settings)


def soft_nms(
    predictions: Sequence[Prediction], ensemble: Ensemble, settings: Combining
) -> Detections:
    """Lower the confidence of detections that overlap a better one of their class; see `soften`.

    Arguments:
        predictions: one `Detections` of each voter.
        ensemble: the voters.
        settings: `decay` with `iou` or `sigma`, `confidence` and `max_detections` are used.

    Raises:
        IncompatibleError: a prediction is not of a detector.
    """
    pool = _Pool.of(predictions, ensemble)
    decays = {"linear": linear(settings.iou), "gaussian": gaussian(settings.sigma)}
    scores = np.zeros_like(pool.scores)
    for class_id in np.unique(pool.class_ids):
        own = np.flatnonzero(pool.class_ids == class_id)
        scores[own] = soften(
            pool.xyxy[own],
            pool.scores[own],
            pool.weights[own],
            decay=decays[settings.decay],
            floor=settings.confidence,
            limit=settings.max_detections,
        )
    return replace(pool, scores=scores).finished(settings)


def wbf(predictions: Sequence[Prediction], ensemble: Ensemble, settings: Combining) -> Detections:
    """Fuse detections of a class that overlap into their weighted mean; see `fuse`.

    As published, the mean confidence of T fused boxes is multiplied by min(T, N) / N, where N
    models know the class, or by min(T, N) / (sum of weights) where models have weights; it is cut
    off at 1. Of masks, if every model gives them, the weighted majority of each pixel is taken.

    Arguments:
        predictions: one `Detections` of each voter.
        ensemble: the voters.
        settings: `iou`, `confidence` and `max_detections` are used.

    Raises:
        IncompatibleError: a prediction is not of a detector.
    """
    pool = _Pool.of(predictions, ensemble)
    known, totals = ensemble.known.sum(axis=0), ensemble.weights @ ensemble.known
    parts = [pool.taken(np.zeros(0, np.intp))]
    for class_id in np.unique(pool.class_ids):
        own = pool.taken(np.flatnonzero(pool.class_ids == class_id))
        counts = own.scores * own.weights
        found = fuse(own.xyxy, counts, settings.iou)
        share = np.minimum(found.sizes, known[class_id]) / totals[class_id]
        scores = np.minimum(found.scores * share, 1.0)
        masks = _majority(own.masks, counts, found.cluster_of) if own.masks is not None else None
        ids = np.full(len(scores), class_id, np.int64)
        parts.append(_Pool(found.xyxy, scores, ids, np.ones(len(scores)), masks))
    return _joined(parts).finished(settings)


def _joined(parts: Sequence[_Pool]) -> _Pool:
    masks = [part.masks for part in parts if part.masks is not None]
    return _Pool(
        np.concatenate([part.xyxy for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.class_ids for part in parts]),
        np.concatenate([part.weights for part in parts]),
        np.concatenate(masks) if len(masks) == len(parts) else None,
    )


def _majority(masks: Flags, counts: Floats, cluster_of: Indices) -> Flags:
    """Return of each cluster the pixels that at least half of its masks, by their counts, have."""
    clusters = [np.flatnonzero(cluster_of == number) for number in range(cluster_of.max() + 1)]
    return np.stack(
        [np.average(masks[rows], axis=0, weights=counts[rows]) >= 0.5 for rows in clusters]
    )


DETECTION_COMBINERS: dict[str, Combiner] = {"nms": nms, "soft_nms": soft_nms, "wbf": wbf}
