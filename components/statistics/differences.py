"""Uncertainty of two models' difference on the same images: mean average precision or hit share.

Both kinds answer the same questions: the bounds of the true difference, the chance that it is no
better than some value, and the smallest margin that so many images could have shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil, hypot, sqrt
from statistics import NormalDist
from typing import Protocol

import numpy as np

_HALVINGS = 60  # of an interval of 2: to the last bits of a float


class Difference(Protocol):
    """Challenger − champion of a metric in 0–1 on the same images; it is never of no width."""

    @property
    def images(self) -> int:
        """Number of images it rests on."""

    @property
    def champion(self) -> float:
        """The champion's value."""

    @property
    def challenger(self) -> float:
        """The challenger's value."""

    @property
    def value(self) -> float:
        """Challenger − champion."""

    def low(self, confidence: float) -> float:
        """Return the value that the true difference exceeds with this one-sided confidence."""

    def high(self, confidence: float) -> float:
        """Return the value that the true difference stays below with this one-sided confidence."""

    def chance_above(self, bound: float) -> float:
        """Return the p-value of a true difference of `bound` or more; small says it is less."""

    def achievable(self, confidence: float) -> float:
        """Return the smallest margin that these images could have shown of two equal models.

        The two disagree as these do.
        """


@dataclass(frozen=True)
class ScoreDifference:
    """Difference of two scores with a standard error, as a paired bootstrap over images gives it.

    The interval is Student's with images − 1 degrees of freedom around the observed difference
    (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 12). A bootstrap knows
    nothing of what it has not seen: where both models gave the same answers its error is 0. One
    object more or less, found by one of them alone, is therefore always part of the error.

    Arguments:
        champion, challenger: the scores.
        images: the units that were resampled, at least 2.
        bootstrapped: standard error of the difference over resamples.
        least: what one object more or less changes the scores by, above 0.
    """

    champion: float
    challenger: float
    images: int
    bootstrapped: float
    least: float

    @property
    def value(self) -> float:
        return self.challenger - self.champion

    @property
    def error(self) -> float:
        """Standard error of the difference, never 0."""
        return hypot(self.bootstrapped, self.least)

    def low(self, confidence: float) -> float:
        return self.value - self.achievable(confidence)

    def high(self, confidence: float) -> float:
        return self.value + self.achievable(confidence)

    def chance_above(self, bound: float) -> float:
        from scipy.special import stdtr

        return float(stdtr(self.images - 1, (self.value - bound) / self.error))

    def achievable(self, confidence: float) -> float:
        from scipy.special import stdtrit

        return float(stdtrit(self.images - 1, confidence)) * self.error


@dataclass(frozen=True)
class ShareDifference:
    """Of two shares of right answers to the same questions.

    Tango's score interval (Stat. Med. 17, 1998, 891–908), which holds its confidence for few and
    for no disagreements, too: of n answers that never differ it is ± z² / (n + z²).

    Arguments:
        images: how many were asked, at least 1.
        right: how many the champion answered right.
        won: how many the challenger alone answered right.
        lost: how many the champion alone answered right.
    """

    images: int
    right: float
    won: float
    lost: float

    @property
    def champion(self) -> float:
        return self.right / self.images

    @property
    def challenger(self) -> float:
        return (self.right + self.won - self.lost) / self.images

    @property
    def value(self) -> float:
        return (self.won - self.lost) / self.images

    def low(self, confidence: float) -> float:
        z = NormalDist().inv_cdf(confidence)
        return _crossing(lambda bound: self._score(bound) - z, -1.0, self.value)

    def high(self, confidence: float) -> float:
        z = NormalDist().inv_cdf(confidence)
        return _crossing(lambda bound: self._score(bound) + z, self.value, 1.0)

    def chance_above(self, bound: float) -> float:
        return NormalDist().cdf(self._score(bound))

    def achievable(self, confidence: float) -> float:
        disagreements = (self.won + self.lost) / 2
        return -replace(self, won=disagreements, lost=disagreements).low(confidence)

    def _score(self, bound: float) -> float:
        """Tango's statistic of the hypothesis that the true difference is `bound`."""
        n, won, lost = self.images, self.won, self.lost
        linear = (2 * n - won + lost) * bound - won - lost
        constant = -lost * bound * (1 - bound)
        lost_alone = (sqrt(max(0.0, linear**2 - 8 * n * constant)) - linear) / (4 * n)
        variance = n * (2 * lost_alone + bound * (1 - bound))
        gap = won - lost - n * bound
        return (
            gap / sqrt(variance) if variance > 0 else float(np.sign(gap)) * np.inf if gap else 0.0
        )


def mean_difference(
    champion: Sequence[float], challenger: Sequence[float]
) -> ScoreDifference | None:
    """Compare two models' mean scores of the same images by the paired t interval.

    The result is None for fewer than two images.

    One image whose score is wholly another is always part of the error: scores that never differ
    show nothing more.

    Arguments:
        champion: the score of each image, in 0–1.
        challenger: the other model's, in the same order.
    """
    one, other = np.asarray(champion, np.float64), np.asarray(challenger, np.float64)
    if len(one) < 2:
        return None
    error = float((other - one).std(ddof=1)) / sqrt(len(one))
    return ScoreDifference(float(one.mean()), float(other.mean()), len(one), error, 1 / len(one))


def images_needed(difference: Difference, bound: float, confidence: float) -> int | None:
    """Estimate how many images would show that the true difference exceeds `bound`.

    The value of the difference is taken to stay as it is.

    An interval narrows with the root of the number of images. None where the value itself does not
    exceed the bound.

    Arguments:
        difference: of the images that there are.
        bound: what it is to exceed.
        confidence: one-sided.
    """
    gap = difference.value - bound
    if gap <= 0:
        return None
    return ceil(
        difference.images * max(1.0, ((difference.value - difference.low(confidence)) / gap) ** 2)
    )


def _crossing(falling: Callable[[float], float], low: float, high: float) -> float:
    """Find where a falling function of low … high crosses 0."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


def holm(chances: Sequence[float]) -> list[float]:
    """Adjust a family's p-values so that rejecting those ≤ α is wrong about any at most that often.

    Holm's step-down method (Scand. J. Stat. 6, 1979), for hypotheses that depend on each other in
    whatever way.
    """
    adjusted, largest = [0.0] * len(chances), 0.0
    for position, k in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        largest = max(largest, min(1.0, (len(chances) - position) * chances[k]))
        adjusted[k] = largest
    return adjusted
