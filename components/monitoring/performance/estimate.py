"""Estimates of a classifier's accuracy before any label has arrived."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.contracts.arrays import Floats
from components.errors import DatasetError
from components.monitoring.performance.accuracy import AccuracyReport
from components.statistics.intervals import effective_samples
from components.vision import task_kind
from components.vision.scores import ROUNDS, Score

METHOD = "calibrated confidence (isotonic; Zadrozny and Elkan, 2002)"
_MINIMUM_IMAGES = 100
_MINIMUM_ERRORS = 10  # fewer do not say at which confidences the model errs


@dataclass(frozen=True, eq=False)
class LabelledConfidence:
    """Reference predictions with their labels: how sure the model was, and whether it was right.

    Arguments:
        confidence: (n,) of the most probable class, in 0–1.
        correct: (n,) bool.

    Raises:
        DatasetError: the two differ in length, or a confidence is no number in 0–1.
    """

    confidence: Floats
    correct: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.confidence.shape != self.correct.shape or self.confidence.ndim != 1:
            raise DatasetError(
                "one confidence and one verdict for each reference image",
                found=f"shapes {self.confidence.shape} and {self.correct.shape}",
            )
        _check(self.confidence)


def estimate_accuracy(
    task: str, reference: LabelledConfidence, confidence: Floats, *, seed: int = 0
) -> AccuracyReport:
    """Estimate a classifier's top-1 accuracy on unlabelled images from how sure it was of them.

    Isotonic regression on the reference says how often the model is right at each confidence
    (Zadrozny and Elkan, "Transforming classifier scores into accurate multiclass probability
    estimates", KDD 2002); the estimate is the mean of that over the window. It is right as long as
    a confidence means what it meant in the reference, and the interval (bootstrap of both sides)
    says what chance does under that condition only: a drift that makes the model surer than it
    should be misleads it. So it is a hint to label images, not a measurement. Average thresholded
    confidence (Garg et al., ICLR 2022) was tried and not taken: it was 7–8 points off where only
    the mix of easy and hard images had changed.

    Arguments:
        task: of the model; a detector's misses have no confidence, so nothing is estimated for it.
        reference: labelled predictions of the same model.
        confidence: (m,) of the window's most probable classes, in 0–1.
        seed: of the bootstrap.

    Raises:
        DatasetError: a confidence is no number in 0–1.
    """
    _check(confidence)
    errors, images = int((~reference.correct).sum()), len(confidence)
    scarce = [
        f"insufficient: {count} {what}, {minimum} are needed"
        for count, what, minimum in (
            (len(reference.correct), "labelled reference images", _MINIMUM_IMAGES),
            (images, "images in the window", _MINIMUM_IMAGES),
            (errors, "wrong predictions in the reference", _MINIMUM_ERRORS),
        )
        if count < minimum
    ]
    kind = task_kind(task)
    if kind.why_no_estimate:
        return _report(kind.metric, Score.missing(images, kind.why_no_estimate), images)
    if scarce:
        return _report(kind.metric, Score.missing(images, "; ".join(scarce)), images)
    value = _calibrated(reference.confidence, reference.correct, confidence)
    rng = np.random.default_rng(seed)
    resampled = []
    for _ in range(ROUNDS):
        rows = rng.integers(0, len(reference.correct), len(reference.correct))
        drawn = confidence[rng.integers(0, images, images)]
        resampled.append(_calibrated(reference.confidence[rows], reference.correct[rows], drawn))
    effective = effective_samples(value, float(np.std(resampled)), units=images, trials=images)
    return _report(kind.metric, Score.of(value, images, effective), images)


def _calibrated(reference: Floats, correct: npt.NDArray[np.bool_], window: Floats) -> float:
    """The mean of how often the reference was right at the window's confidences."""
    from scipy.optimize import isotonic_regression

    known, place, counts = np.unique(reference, return_inverse=True, return_counts=True)
    right = np.bincount(place, weights=correct) / counts
    return float(np.interp(window, known, isotonic_regression(right, weights=counts).x).mean())


def _report(metric: str, score: Score, images: int) -> AccuracyReport:
    return AccuracyReport(
        metric, {metric: score}, {}, {}, matched=0, unmatched=(), failed=0, unlabelled=images,
        method=METHOD, estimated=True,
    )  # fmt: skip


def _check(confidence: Floats) -> None:
    if not ((confidence >= 0) & (confidence <= 1)).all():  # a NaN is neither
        raise DatasetError(
            "confidences from 0 to 1",
            found="others, or missing ones",
            hint="leave failed images out",
        )


@dataclass(frozen=True)
class ReferenceLabels:
    """Labelled results on held-out images: accuracy, and a classifier's confidences and hits."""

    accuracy: AccuracyReport
    confidence: tuple[float, ...] = ()
    correct: tuple[bool, ...] = ()
