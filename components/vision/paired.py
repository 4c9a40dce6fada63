"""Two models' predictions of the same images, compared over any choice and for each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from components.contracts import Detections, Prediction
from components.contracts.arrays import Flags, Floats, Ints
from components.statistics.differences import Difference, ScoreDifference, ShareDifference
from components.vision.resampling import Hits, find_hits, mean_over_classes

ROUNDS = 200  # resamples; enough for a standard error (Efron and Tibshirani, 1993, section 6.4)


class Pair(Protocol):
    """Paired predictions of two models for the same n images."""

    def overall(self, chosen: Flags) -> Difference | None:
        """Compare the deciding metric on chosen images, (n,) bool; None with nothing to compare."""

    def by_class(self) -> dict[str, tuple[int, Difference | None]]:
        """Map class names to their number of objects, or a classifier's images, and difference."""


@dataclass(frozen=True, eq=False)
class TopOnePair:
    """Pair of classifiers, compared by whether the most probable class is the true one.

    Arguments:
        champion, challenger: (n,) predicted class ids.
        true: (n,) true ones.
        class_names: index is class id.
    """

    champion: Ints
    challenger: Ints
    true: Ints
    class_names: tuple[str, ...]

    def overall(self, chosen: Flags) -> Difference | None:
        if not chosen.any():
            return None
        one, other = (
            found[chosen] == self.true[chosen] for found in (self.champion, self.challenger)
        )
        return ShareDifference(
            int(chosen.sum()), int(one.sum()), int((other & ~one).sum()), int((one & ~other).sum())
        )

    def by_class(self) -> dict[str, tuple[int, Difference | None]]:
        masks = {name: self.true == k for k, name in enumerate(self.class_names)}
        return {name: (int(mask.sum()), self.overall(mask)) for name, mask in masks.items()}


@dataclass(frozen=True, eq=False)
class BoxPair:
    """Pair of detectors, compared by COCO's average precision on the same resamples of the images.

    Arguments:
        champion, challenger: detections of n images.
        true: the objects in them.
        class_names: index is class id.
        seed: of the resampling.
    """

    champion: Sequence[Detections]
    challenger: Sequence[Detections]
    true: Sequence[Detections]
    class_names: tuple[str, ...]
    seed: int = 0

    def overall(self, chosen: Flags) -> Difference | None:
        one, other = (
            hits.average_precision(chosen.astype(np.int64)).mean(axis=1) for hits in self._hits
        )
        held, objects = ~np.isnan(one), self._objects[chosen].sum(axis=0)
        if chosen.sum() < 2 or not objects.any():
            return None
        resampled = self._whole if chosen.all() else self._resampled(chosen)
        error = float(mean_over_classes(resampled).std(ddof=1))
        of_class = objects[objects > 0]
        # an object that chance picks
        least = float(np.sqrt((1 / of_class).sum() / of_class.sum())) / len(of_class)
        return ScoreDifference(
            float(one[held].mean()), float(other[held].mean()), int(chosen.sum()), error, least
        )

    def by_class(self) -> dict[str, tuple[int, Difference | None]]:
        one, other = (hits.average_precision().mean(axis=1) for hits in self._hits)
        objects, images = self._objects.sum(axis=0), (self._objects > 0).sum(axis=0)
        compared: dict[str, tuple[int, Difference | None]] = {}
        for k, name in enumerate(self.class_names):
            difference = None
            if images[k] >= 2:
                error = float(np.nanstd(self._whole[:, k], ddof=1))
                difference = ScoreDifference(
                    float(one[k]), float(other[k]), int(images[k]), error, 1 / int(objects[k])
                )
            compared[name] = int(objects[k]), difference
        return compared

    @cached_property
    def _hits(self) -> tuple[Hits, Hits]:
        classes = len(self.class_names)
        return (
            find_hits(self.champion, self.true, classes=classes),
            find_hits(self.challenger, self.true, classes=classes),
        )

    @cached_property
    def _objects(self) -> Ints:
        """Objects by image and class, (n, classes)."""
        return np.stack([of_class.objects for of_class in self._hits[0].classes], axis=1)

    @cached_property
    def _whole(self) -> Floats:
        return self._resampled(np.ones(len(self.true), np.bool_))

    def _resampled(self, chosen: Flags) -> Floats:
        """Resample challenger − champion by class, (rounds, classes); one seed, the same images."""
        one, other = (
            hits.bootstrap(chosen, rounds=ROUNDS, rng=np.random.default_rng(self.seed)).mean(axis=2)
            for hits in self._hits
        )
        return np.asarray(other - one)


def pair_up(
    champion: Sequence[Prediction],
    challenger: Sequence[Prediction],
    truths: Sequence[Prediction],
    class_names: tuple[str, ...],
) -> Pair:
    """The pair of two models' predictions.

    Arguments:
        champion: one prediction an image, made with the thresholds of evaluation.
        challenger: the other model's.
        truths: ground truth of the same images, in the same order, at least one.
        class_names: index is class id.

    Raises:
        IncompatibleError: predictions and truths are not all of one kind.
        ValueError: they differ in number.
    """
    if not len(champion) == len(challenger) == len(truths):
        raise ValueError(
            f"expected {len(truths)} predictions each, found {len(champion)} and {len(challenger)}"
        )
    from components.vision.tasks import task_kind

    return task_kind(truths[0].task).pair(champion, challenger, truths, class_names)
