"""Verdict of an A/B test by the scores of two versions: A, B, no difference ≥ δ, or undecided."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.contracts import AbResult, AbVerdict
from components.errors import ConfigError
from components.statistics.fixed_size import PILOT, fixed_interval, planned_samples
from components.statistics.sequential import difference_of_sequences, paired_sequence
from components.statistics.timings import Estimate

FIXED, SEQUENTIAL = "fixed sample size", "always-valid sequential"


@dataclass(frozen=True)
class AbPlan:
    """Plan of the evaluation of an A/B test, settled before its first look.

    Arguments:
        delta: δ, the smallest difference of mean scores that matters, in 0–1.
        share: of the images that B sees; None if both versions see all.
        sequential: look at any time; otherwise once, at a fixed number of images.
        samples: that number; None plans it by δ and the spread of the first scores.

    Raises:
        ConfigError: a number is out of range, or a sequential test has a fixed number of images.
    """

    delta: float
    share: float | None = None
    sequential: bool = False
    samples: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.delta < 1:
            raise ConfigError("a difference δ between 0 and 1", found=str(self.delta))
        if self.share is not None and not 0 < self.share < 1:
            raise ConfigError("a share of B between 0 and 1", found=str(self.share))
        if self.samples is not None and (self.sequential or self.samples < PILOT):
            raise ConfigError(
                f"a fixed number of at least {PILOT} images, or a sequential test",
                found=f"{self.samples} images"
                + (" and a sequential test" if self.sequential else ""),
            )

    @property
    def method(self) -> str:
        """Its name for people."""
        return SEQUENTIAL if self.sequential else FIXED


def evaluate_ab(scores: npt.NDArray[np.float64], plan: AbPlan) -> AbResult:
    """Judge all scores that there are.

    A test of a fixed size looks at the first images of that number, and at nothing before it has
    them. A sequential one may be judged after every image: over all these looks together the chance
    of calling one of two equal versions the better, or a difference of δ and more none, is at most
    5 % each.

    Arguments:
        scores: (n, 2) of A and B in 0–1, in the order in which they came; NaN where a version did
            not see the image.
        plan: how; settled before the first look.
    """
    if missing := _missing(scores, plan):
        return undecided(plan, missing, samples=len(scores))
    if plan.sequential:
        return _result(_sequence(scores, plan), plan, len(scores), None)
    planned = plan.samples
    if planned is None:
        if len(scores) < PILOT:
            reason = (
                f"the plan needs {PILOT} scored images to learn their spread; "
                f"{PILOT - len(scores)} are missing"
            )
            return undecided(plan, reason, samples=len(scores))
        planned = planned_samples(scores[:PILOT], delta=plan.delta, share=plan.share)
    if len(scores) < planned:
        reason = (
            f"{len(scores)} of {planned} planned images are scored; {planned - len(scores)} "
            "are missing"
        )
        return undecided(plan, reason, samples=len(scores), planned=planned)
    if missing := _missing(scores[:planned], plan):
        return undecided(plan, missing, samples=len(scores), planned=planned)
    return _result(
        fixed_interval(scores[:planned], paired=plan.share is None), plan, planned, planned
    )


def undecided(
    plan: AbPlan, reason: str, *, samples: int = 0, planned: int | None = None
) -> AbResult:
    """There is not enough to look at."""
    return AbResult(
        AbVerdict.UNDECIDED, None, None, samples, planned, plan.delta, plan.method, reason
    )


def decide(low: float, high: float, delta: float) -> AbVerdict:
    """The verdict of an interval of mean(B) − mean(A)."""
    if low > high:
        return AbVerdict.UNDECIDED
    if low > 0:
        return AbVerdict.B
    if high < 0:
        return AbVerdict.A
    return AbVerdict.NO_DIFFERENCE if -delta < low and high < delta else AbVerdict.UNDECIDED


def _missing(scores: npt.NDArray[np.float64], plan: AbPlan) -> str:
    if not len(scores):
        return "no image is scored"
    unseen = [arm for arm, column in zip("AB", scores.T, strict=True) if np.isnan(column).all()]
    return f"version {unseen[0]} has no scored image" if unseen else ""


def _sequence(scores: npt.NDArray[np.float64], plan: AbPlan) -> Estimate:
    if plan.share is None:
        return paired_sequence(scores[:, 1] - scores[:, 0], delta=plan.delta)
    a, b = (column[~np.isnan(column)] for column in scores.T)
    return difference_of_sequences(a, b, delta=plan.delta)


def _result(found: Estimate, plan: AbPlan, samples: int, planned: int | None) -> AbResult:
    verdict = decide(found.low, found.high, plan.delta)
    if found.low > found.high:
        reason = "no single difference fits all images: it has changed on the way"
        return AbResult(
            verdict, found.value, None, samples, planned, plan.delta, plan.method, reason
        )
    reason = f"B − A = {found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}], δ = {plan.delta:g}"
    if verdict in (AbVerdict.A, AbVerdict.B) and max(abs(found.low), abs(found.high)) < plan.delta:
        reason += "; the difference is smaller than δ"
    interval = (found.low, found.high)
    return AbResult(
        verdict, found.value, interval, samples, planned, plan.delta, plan.method, reason
    )
