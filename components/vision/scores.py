"""Scores of stored predictions over any choice of images: one scorer for a kind of prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from components.contracts import Detections
from components.contracts.arrays import Flags, Floats, Ints
from components.printing import counted
from components.statistics.intervals import Interval, effective_samples, wilson
from components.vision.resampling import Hits, find_hits, mean_over_classes

ROUNDS = 200  # of the bootstrap; it gives the standard error, the interval is Wilson's


@dataclass(frozen=True)
class Score:
    """A metric in 0–1 with its 95 % interval, or the reason why there is none.

    Arguments:
        value: None when `reason` says why.
        low, high: bounds of the interval.
        samples: what it rests on: images, or true objects for one class of a detector.
        effective: independent yes-or-no observations that would be as sure of it.
        reason: empty when there is a value.
    """

    value: float | None
    low: float | None
    high: float | None
    samples: int
    effective: float = 0.0
    reason: str = ""

    @classmethod
    def of(cls, value: float, samples: int, effective: float) -> Score:
        """A measured value."""
        bounds = wilson(value, effective)
        return cls(value, bounds.low, bounds.high, samples, effective)

    @classmethod
    def missing(cls, samples: int, reason: str) -> Score:
        """No value."""
        return cls(None, None, None, samples, reason=reason)

    def interval(self, confidence: float) -> Interval:
        """The interval at another confidence, two-sided.

        Raises:
            ValueError: there is no value.
        """
        if self.value is None:
            raise ValueError(f"expected a score with a value, found none: {self.reason}")
        return wilson(self.value, self.effective, confidence)


class Sampling(NamedTuple):
    """Sample size that a score needs, and the seed of its bootstrap.

    Arguments:
        minimum: images, or objects for a class, below which nothing is said; at least 1.
        seed: of the bootstrap.
    """

    minimum: int
    seed: int = 0


class Scorer(Protocol):
    """Scores any choice of n images, and each class over all of them."""

    def overall(self, chosen: Flags) -> dict[str, Score]:
        """By metric, the deciding one first; `chosen` is (n,) bool."""

    def by_class(self) -> dict[str, Score]:
        """By class name, in the deciding metric."""


@dataclass(frozen=True, eq=False)
class TopOne:
    """Scorer of a classifier: how often the most probable class is the true one.

    Arguments:
        found: (n,) predicted class ids.
        true: (n,) true ones.
        class_names: index is class id.
        minimum: images below which nothing is said.
    """

    found: Ints
    true: Ints
    class_names: tuple[str, ...]
    minimum: int

    def overall(self, chosen: Flags) -> dict[str, Score]:
        """`top1` of the chosen images."""
        images = int(chosen.sum())
        if images < self.minimum:
            return {
                "top1": Score.missing(images, _too_few(images, "labelled images", self.minimum))
            }
        return {"top1": Score.of(float((self.found == self.true)[chosen].mean()), images, images)}

    def by_class(self) -> dict[str, Score]:
        """Of the images that are truly of a class, the share that was recognised."""
        return {
            name: self.overall(self.true == k)["top1"] for k, name in enumerate(self.class_names)
        }


@dataclass(frozen=True, eq=False)
class BoxPrecision:
    """Scorer of a detector: COCO's average precision with the bootstrap over images.

    Arguments:
        found: detections of n images.
        true: the objects in them.
        class_names: index is class id.
        minimum: images, or objects for a class, below which nothing is said; at least 1.
        seed: of the bootstrap.
    """

    found: Sequence[Detections]
    true: Sequence[Detections]
    class_names: tuple[str, ...]
    minimum: int
    seed: int = 0

    @cached_property
    def _hits(self) -> Hits:
        return find_hits(self.found, self.true, classes=len(self.class_names))

    @cached_property
    def _objects(self) -> Ints:
        """Objects by image and class, (n, classes)."""
        return np.stack([of_class.objects for of_class in self._hits.classes], axis=1)

    def overall(self, chosen: Flags) -> dict[str, Score]:
        """`map50_95` and `map50` of the chosen images, the mean over the classes that they hold."""
        images, objects = int(chosen.sum()), int(self._objects[chosen].sum())
        reason = _too_few(images, "labelled images", self.minimum) if images < self.minimum else ""
        if not objects and not reason:
            reason = f"the labels of {counted(images, 'image')} hold no object"
        if reason:
            return dict.fromkeys(("map50_95", "map50"), Score.missing(images, reason))
        value, resampled = (
            self._hits.average_precision(chosen.astype(np.int64)),
            self._resampled(chosen),
        )
        held = ~np.isnan(value[:, 0])
        return {
            name: _score(
                value[held][:, which].mean(),
                mean_over_classes(resampled[..., which].mean(axis=2)),
                images,
                objects,
            )
            for name, which in (("map50_95", slice(None)), ("map50", slice(1)))
        }

    def by_class(self) -> dict[str, Score]:
        """Average precision of each class, the mean over the IoU thresholds 0.50 … 0.95."""
        value, scores = self._hits.average_precision(), {}
        for k, name in enumerate(self.class_names):
            objects, images = int(self._objects[:, k].sum()), int((self._objects[:, k] > 0).sum())
            if objects < self.minimum:
                scores[name] = Score.missing(
                    objects, _too_few(objects, "labelled objects", self.minimum)
                )
            else:
                resampled = self._resampled_whole[:, k].mean(axis=-1)
                scores[name] = _score(value[k].mean(), resampled, images, objects, objects)
        return scores

    @cached_property
    def _resampled_whole(self) -> Floats:
        return self._resample(np.ones(self._hits.images, np.bool_))

    def _resampled(self, chosen: Flags) -> Floats:
        return self._resampled_whole if chosen.all() else self._resample(chosen)

    def _resample(self, chosen: Flags) -> Floats:
        return self._hits.bootstrap(chosen, rounds=ROUNDS, rng=np.random.default_rng(self.seed))


def _score(
    value: float, resampled: Floats, images: int, objects: int, samples: int | None = None
) -> Score:
    error = float(np.nanstd(resampled))
    effective = effective_samples(float(value), error, units=images, trials=max(images, objects))
    return Score.of(float(value), images if samples is None else samples, effective)


def _too_few(found: int, what: str, minimum: int) -> str:
    return f"insufficient: {found} {what}, {minimum} are needed"
