"""Hits of a model on labelled images, against those on images that are not theirs.

The labels are dealt out to the images anew, many times (a permutation test; Good, Permutation,
Parametric and Bootstrap Tests of Hypotheses, 3rd ed., 2005). A model that always says the same,
that says anything at random, or whose outputs are read as what they are not, hits as often then as
before. That holds for any number of classes and however rare some are, so neither 1 / classes nor
the share of the most frequent class has to be assumed. A model is called no better than chance only
where its hits also rule out that it is a useful one: a few images decide nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.contracts import Detections, Prediction
from components.contracts.arrays import Floats, Ints
from components.vision import boxes

RESAMPLES = 999
LEVEL = 0.05  # a hit rate that one in twenty deals of the labels reaches is not above chance
USEFUL_DETECTOR = 0.3  # share of the objects; what is below may be chance
SAME_OBJECT = 0.5  # IoU
# images or objects: one that is right half of the time misses all of them in one case of thirty
FEW = 5
_SEED = 0


@dataclass(frozen=True)
class HitsByChance:
    """The hits of a model, and those that chance gives.

    Arguments:
        hits: images of which the best class is right, or objects that were found.
        of: how many there are.
        expected: mean hits when the labels are dealt out anew.
        p: share of the deals with as many hits or more.
        highest: upper bound of the hit rate, one-sided at 97.5 %.
        useful: the hit rate below which a model could be at chance.
    """

    hits: int
    of: int
    expected: float
    p: float
    highest: float
    useful: float

    @property
    def at_chance(self) -> bool:
        """Tell whether hits are not above chance, and surely not useful.

        A model that hits none of a few is not useful either.
        """
        return self.p > LEVEL and (
            self.highest < self.useful or (self.hits == 0 and self.of >= FEW)
        )


def compare_with_chance(
    predictions: Sequence[Prediction], truths: Sequence[Prediction], *, classes: int
) -> HitsByChance:
    """Compare a model's hits with those that chance gives.

    Arguments:
        predictions: a prediction for each image; detections down to a low confidence.
        truths: the ground truth of the same images.
        classes: how many classes the model knows.

    Raises:
        IncompatibleError: predictions or truths are of several kinds.
    """
    from components.vision.tasks import task_kind

    return task_kind(truths[0].task).compare_with_chance(predictions, truths, classes)


def object_hits_by_chance(
    predictions: Sequence[Detections], truths: Sequence[Detections]
) -> HitsByChance:
    """Count objects that were found; see `compare_with_chance`."""
    table = _objects_found(predictions, truths)
    return _compare(int(table.trace()), sum(map(len, truths)), _dealt(table), USEFUL_DETECTOR)


def class_hits_by_chance(said: Ints, true: Ints, classes: int) -> HitsByChance:
    """Count images classified right, by class ids (n,) int64; see `compare_with_chance`."""
    if len(set(true.tolist())) == 1:  # dealing out equal labels changes nothing
        by_chance = (
            np.random.default_rng(_SEED)
            .binomial(len(true), 1 / max(classes, 2), RESAMPLES)
            .astype(np.float64)
        )
    else:
        by_chance = _dealt(said[:, None] == true[None])
    useful = (1 + by_chance.mean() / len(true)) / 2  # half way from chance to always right
    return _compare(int((said == true).sum()), len(true), by_chance, useful)


def _compare(hits: int, total: int, by_chance: Floats, useful: float) -> HitsByChance:
    from scipy.special import betaincinv

    p = (1 + int((by_chance >= hits).sum())) / (1 + len(by_chance))
    # Clopper and Pearson, 1934
    highest = 1.0 if hits >= total else float(betaincinv(hits + 1, total - hits, 0.975))
    return HitsByChance(hits, total, float(by_chance.mean()), p, highest, float(useful))


def _dealt(table: npt.NDArray[np.generic]) -> Floats:
    """Sum one entry a row and column of (images, images): the hits when labels are dealt anew."""
    numbers, rows = np.random.default_rng(_SEED), np.arange(len(table))
    return np.array(
        [float(table[rows, numbers.permutation(len(table))].sum()) for _ in range(RESAMPLES)]
    )


def _objects_found(predictions: Sequence[Detections], truths: Sequence[Detections]) -> Ints:
    """Count the objects of each truth that each image's best detections find, (images, images).

    Twice as many detections an image count as it holds objects on average, the best first: a
    thousand guesses hit something anywhere.
    """
    limit = max(5, 2 * int(np.ceil(np.mean([len(truth) for truth in truths]))))
    table = np.zeros((len(predictions), len(truths)), np.int64)
    for row, found in enumerate(predictions):
        best = np.argsort(-found.scores, kind="stable")[:limit]
        corners, ids = found.xyxy[best], found.class_ids[best]
        for column, truth in enumerate(truths):
            if len(best) and len(truth):
                near = boxes.iou_matrix(corners, truth.xyxy) >= SAME_OBJECT
                table[row, column] = int(
                    (near & (ids[:, None] == truth.class_ids[None])).any(axis=0).sum()
                )
    return table
