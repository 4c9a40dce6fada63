"""Fixed-size test of two versions: plan the number of images, wait for them, look once.

Plain normal intervals fail where scores hardly vary: of 100 images with equal scores on both sides
the standard error is 0. So one imaginary image is added for each end of the scores' range, as
Agresti and Caffo do for two proportions (Am. Stat. 54, 2000), and Bonett and Price for paired ones
(J. Educ. Behav. Stat. 37, 2012).
"""

from __future__ import annotations

from math import ceil, sqrt
from statistics import NormalDist

import numpy as np

from components.contracts.arrays import Floats
from components.statistics.timings import Estimate

POWER = 0.8
PILOT = 100  # images that the plan learns the spread of scores from


def planned_samples(
    pilot: Floats, *, delta: float, share: float | None, alpha: float = 0.05
) -> int:
    """Plan the number of images with which 80 % of all tests see a true difference of δ.

    Only the spread of the pilot's scores is used, not which version scored higher: an internal
    pilot study (Wittes and Brittain, Stat. Med. 9, 1990), whose images count in the test.

    Arguments:
        pilot: (n, 2) scores of A and B in 0–1; NaN where a version did not see the image.
        delta: the smallest difference that matters.
        share: of the images that B sees; None if both see all.
        alpha: two-sided chance of a difference between equals.
    """
    if share is None:
        variance = _moments(pilot[:, 1] - pilot[:, 0], -1.0)[1]
    else:
        variance = (
            _moments(_known(pilot[:, 0]), 0.0)[1] / (1 - share)
            + _moments(_known(pilot[:, 1]), 0.0)[1] / share
        )
    normal = NormalDist()
    z = normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(POWER)
    return max(PILOT, ceil(z**2 * variance / delta**2))


def fixed_interval(scores: Floats, *, paired: bool, alpha: float = 0.05) -> Estimate:
    """mean(B) − mean(A) with its interval, for a number of images that was fixed beforehand.

    Arguments:
        scores: (n, 2) scores of A and B in 0–1, each seen by one image at least; NaN where a
            version did not see it.
        paired: both saw all images.
        alpha: the chance that the difference lies outside.
    """
    z = NormalDist().inv_cdf(1 - alpha / 2)
    if paired:
        differences = scores[:, 1] - scores[:, 0]
        centre, variance, n = _moments(differences, -1.0)
        value, error = float(differences.mean()), sqrt(variance / n)
    else:
        a, b = _known(scores[:, 0]), _known(scores[:, 1])
        (mean_a, variance_a, n_a), (mean_b, variance_b, n_b) = _moments(a, 0.0), _moments(b, 0.0)
        value, centre = float(b.mean() - a.mean()), mean_b - mean_a
        error = sqrt(variance_a / n_a + variance_b / n_b)
    return Estimate(value, centre - z * error, centre + z * error)


def _known(column: Floats) -> Floats:
    return column[~np.isnan(column)]


def _moments(values: Floats, least: float) -> tuple[float, float, int]:
    """Mean, variance and number, with a value of `least` and one of 1 added."""
    more = np.concatenate([values, [least, 1.0]])
    return float(more.mean()), float(more.var()), len(more)
