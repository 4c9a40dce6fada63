"""Test whether a challenger is better on recent images, by as much as is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from components.contracts import Verdict
from components.statistics.differences import Difference, images_needed

CONFIDENCE = 0.975  # one-sided, of each bound of a 95 % interval
IMPROVEMENT_CONFIDENCE = 0.999  # one-sided, of all tests together


@dataclass(frozen=True)
class Improvement:
    """The verdict on a gain.

    Arguments:
        verdict: `pass`, `fail` where the deciding metric excludes the gain, else `undecided`.
        confidence: one-sided, of each single test.
        by_image: whether the score of single images showed it, and not the deciding metric.
        needed: about how many images would show it if the differences stay as they are; None where
            none would.
    """

    verdict: Verdict
    confidence: float
    by_image: bool = False
    needed: int | None = None


def evaluate_improvement(
    metric: Difference, by_image: Difference | None, min_gain: float
) -> Improvement:
    """Test for a gain of more than `min_gain`.

    A mean over classes is as uncertain as its rarest class; the mean score of an image is not.
    Where the 95 % interval of the deciding metric holds the gain but cannot show it, the score of
    single images may. Each of two tests has half of the error (Bonferroni), so that of a thousand
    challengers that are no better one passes at most.

    Arguments:
        metric: the difference in the metric that decides.
        by_image: that of the mean score of an image, or None where it is the same.
        min_gain: what the true difference must exceed.
    """
    tests = [metric] if by_image is None else [metric, by_image]
    confidence = 1 - (1 - IMPROVEMENT_CONFIDENCE) / len(tests)
    if metric.high(CONFIDENCE) <= min_gain:
        return Improvement(Verdict.FAIL, confidence)
    for test in tests:
        if test.low(confidence) > min_gain:
            return Improvement(Verdict.PASS, confidence, test is not metric)
    needed = [
        count for test in tests if (count := images_needed(test, min_gain, confidence)) is not None
    ]
    return Improvement(Verdict.UNDECIDED, confidence, needed=min(needed, default=None))
