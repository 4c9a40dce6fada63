import numpy as np
import pytest

from components.contracts import Verdict
from components.errors import DatasetError
from components.monitoring.alerts.rules import Health, check_alerts
from components.monitoring.performance.estimate import LabelledConfidence, estimate_accuracy


def predictions(count, seed, *, hard=0.0):
    """Draw calibrated confidences, and whether each was right; `hard` is the share of hard ones."""
    rng = np.random.default_rng(seed)
    confidence = np.where(
        rng.random(count) < hard, rng.uniform(0.3, 0.8, count), rng.beta(30, 2, count)
    )
    return LabelledConfidence(confidence, rng.random(count) < confidence)


def estimate(reference, window, task="classify"):
    return estimate_accuracy(task, reference, window.confidence)


def test_an_estimate_says_that_it_is_one_and_by_which_method():
    report = estimate(predictions(1000, 1), predictions(500, 2))
    assert report.estimated and "isotonic" in report.method
    assert (report.matched, report.unlabelled) == (0, 500)


@pytest.mark.parametrize("hard", [0.0, 0.3])
def test_the_estimate_is_near_the_truth_without_drift_and_when_more_images_are_hard(hard):
    reference, window = predictions(3000, 1, hard=0.1), predictions(1000, 2, hard=hard)
    score = estimate(reference, window).score
    assert score.value == pytest.approx(window.correct.mean(), abs=0.04)
    assert score.low < score.value < score.high


def test_on_the_reference_itself_it_gives_the_references_accuracy_however_many_values_are_equal():
    reference = predictions(500, 1, hard=0.2)
    tied = LabelledConfidence(reference.confidence.round(1), reference.correct)
    for labelled in (reference, tied):
        assert estimate(labelled, labelled).score.value == pytest.approx(
            labelled.correct.mean(), abs=1e-9
        )


@pytest.mark.parametrize(
    ("reference", "window", "reason"),
    [
        (
            predictions(50, 1, hard=0.5),
            predictions(500, 2),
            "50 labelled reference images, 100 are needed",
        ),
        (
            predictions(500, 1, hard=0.5),
            predictions(20, 2),
            "20 images in the window, 100 are needed",
        ),
        (
            LabelledConfidence(np.full(200, 0.9), np.arange(200) > 2),
            predictions(500, 2),
            "3 wrong predictions in the reference, 10 are needed",
        ),
    ],
)
def test_too_little_to_estimate_from_is_said(reference, window, reason):
    score = estimate(reference, window).score
    assert score.value is None and reason in score.reason


def test_a_detector_is_not_evaluated():
    score = estimate(predictions(500, 1), predictions(500, 2), "detect").score
    assert score.value is None and score.reason.startswith("not evaluated: what a detector misses")


def test_an_estimated_drop_never_alerts():
    reference = estimate(predictions(3000, 1), predictions(2000, 3))
    window = estimate(predictions(3000, 1), predictions(2000, 2, hard=0.9))
    none = np.zeros(0)
    check = check_alerts(Health(2000, 0, none, reference), Health(2000, 0, none, window))[0]
    assert check.value > 0.2 and check.verdict is Verdict.UNDECIDED
    assert check.reason.startswith("estimated, not measured")


@pytest.mark.parametrize("wrong", [[np.nan, 0.5], [1.2, 0.5], [-0.1, 0.5]])
def test_confidences_out_of_range_are_refused(wrong):
    with pytest.raises(DatasetError, match="confidences from 0 to 1"):
        LabelledConfidence(np.array(wrong), np.array([True, False]))
    with pytest.raises(DatasetError, match="confidences from 0 to 1"):
        estimate_accuracy("classify", predictions(500, 1), np.array(wrong))


def test_confidences_and_verdicts_of_different_length_are_refused():
    with pytest.raises(DatasetError, match=r"\(2,\) and \(1,\)"):
        LabelledConfidence(np.array([0.5, 0.6]), np.array([True]))
