import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from components.contracts import Verdict
from components.errors import ConfigError, IncompatibleError
from components.monitoring.alerts.rules import AlertPolicy, Health, check_alerts, read_health
from components.monitoring.performance.accuracy import AccuracyReport
from components.vision.scores import Score


def top1(value, images, metric="top1"):
    score = Score.of(value, images, images)
    return AccuracyReport(metric, {metric: score}, {}, {}, images, (), 0, 0)


def health(*, images=1000, failed=0, ms=(), accuracy=None):
    return Health(images, failed, np.array(ms, np.float64), accuracy)


def calls(count, seed, *, slower=1.0):
    return np.random.default_rng(seed).lognormal(2.5, 0.1, count) * slower


def check(rule, reference, window, policy=None):
    return next(found for found in check_alerts(reference, window, policy) if found.name == rule)


@pytest.mark.parametrize(
    ("after", "images", "verdict"),
    [
        (0.80, 500, Verdict.FAIL),
        (0.88, 500, Verdict.UNDECIDED),  # beyond the limit, but chance alone might do that
        (0.70, 60, Verdict.FAIL),
        (0.92, 500, Verdict.PASS),
        (1.00, 500, Verdict.PASS),
        (0.10, 49, Verdict.NOT_EVALUATED),
    ],
)
def test_a_drop_of_accuracy_alerts_when_its_lower_bound_is_beyond_the_limit(after, images, verdict):
    found = check(
        "accuracy_drop", health(accuracy=top1(0.95, 1000)), health(accuracy=top1(after, images))
    )
    assert found.verdict is verdict
    assert found.limit == 0.05


def test_an_alert_of_accuracy_says_what_was_measured_and_how_sure_it_is():
    found = check(
        "accuracy_drop", health(accuracy=top1(0.95, 1000)), health(accuracy=top1(0.80, 500))
    )
    assert found.value == pytest.approx(0.15)
    assert found.reason.startswith("top1 0.950 → 0.800: a drop of 0.150, at least 0.10")
    assert found.reason.endswith("at 99% confidence (limit 0.05)")


def test_a_small_reference_makes_the_same_drop_undecided():
    window = health(accuracy=top1(0.85, 500))
    assert check("accuracy_drop", health(accuracy=top1(0.95, 5000)), window).verdict is Verdict.FAIL
    assert (
        check("accuracy_drop", health(accuracy=top1(0.95, 60)), window).verdict is Verdict.UNDECIDED
    )


@pytest.mark.parametrize(
    ("reference", "window", "reason"),
    [
        (None, top1(0.9, 500), "accuracy of the reference: no labels"),
        (top1(0.9, 500), None, "accuracy of the window: no labels"),
        (top1(0.9, 500), top1(0.9, 20), "accuracy of the window: 20 images, 50 are needed"),
    ],
)
def test_accuracy_that_is_not_known_is_not_evaluated_and_says_why(reference, window, reason):
    found = check("accuracy_drop", health(accuracy=reference), health(accuracy=window))
    assert (found.verdict, found.value, found.reason) == (Verdict.NOT_EVALUATED, None, reason)


def test_accuracies_in_different_metrics_are_refused():
    with pytest.raises(IncompatibleError, match="map50_95"):
        check_alerts(health(accuracy=top1(0.9, 500)), health(accuracy=top1(0.9, 500, "map50_95")))


@pytest.mark.parametrize(
    ("slower", "count", "verdict"),
    [
        (2.0, 300, Verdict.FAIL),
        (2.0, 25, Verdict.FAIL),
        (1.35, 40, Verdict.UNDECIDED),
        (1.1, 300, Verdict.PASS),
        (0.5, 300, Verdict.PASS),
        (9.0, 19, Verdict.NOT_EVALUATED),
    ],
)
def test_a_longer_p95_alerts_when_its_lower_bound_is_beyond_the_limit(slower, count, verdict):
    found = check(
        "latency_p95_increase", health(ms=calls(400, 1)), health(ms=calls(count, 2, slower=slower))
    )
    assert found.verdict is verdict


def test_images_of_one_batch_count_as_one_engine_call():
    """Eight images share a measurement: 400 rows are 50 calls, too few for the bound of a p95."""
    reference, window = np.repeat(calls(50, 1), 8), np.repeat(calls(19, 2), 8)
    found = check("latency_p95_increase", health(ms=reference), health(ms=calls(200, 2)))
    assert (found.verdict, found.reason) == (
        Verdict.NOT_EVALUATED, "50 engine calls in the reference are too few for its p95",
    )  # fmt: skip
    found = check("latency_p95_increase", health(ms=calls(400, 1)), health(ms=window))
    assert found.reason == "19 engine calls in the window, 20 are needed"


def test_a_window_without_a_single_prediction_has_no_latency():
    found = check("latency_p95_increase", health(ms=calls(400, 1)), health(failed=1000))
    assert found.verdict is Verdict.NOT_EVALUATED


@pytest.mark.parametrize(
    ("failed", "images", "verdict"),
    [
        (0, 100, Verdict.PASS),
        (20, 1000, Verdict.PASS),
        (3, 100, Verdict.UNDECIDED),
        (50, 1000, Verdict.FAIL),
        (50, 50, Verdict.FAIL),
        (49, 49, Verdict.NOT_EVALUATED),
        (0, 0, Verdict.NOT_EVALUATED),
    ],
)
def test_failed_images_alert_when_the_lower_bound_of_their_share_is_beyond_the_limit(
    failed, images, verdict
):
    found = check("error_rate", health(), health(failed=failed, images=images))
    assert found.verdict is verdict


def test_limits_are_the_policys():
    window = health(failed=50, images=1000)
    assert (
        check("error_rate", health(), window, AlertPolicy(error_rate=0.1)).verdict is Verdict.PASS
    )
    strict = AlertPolicy(minimum_images=2000)
    assert check("error_rate", health(), window, strict).verdict is Verdict.NOT_EVALUATED


@pytest.mark.parametrize("setting", [*AlertPolicy.model_fields, "minimum_calls", "confidence"])
def test_a_limit_out_of_range_is_refused(setting):
    with pytest.raises(ConfigError, match=setting):
        AlertPolicy(**{setting: 0})


def test_health_is_read_from_the_table_of_images():
    table = pa.table({"status": ["ok", "error", "ok", "ok"], "inference_ms": [3.0, None, 3.0, 4.0]})
    found = read_health(table, top1(0.9, 3))
    assert (found.images, found.failed, found.accuracy.score.value) == (4, 1, 0.9)
    assert found.inference_ms.tolist() == [3, 3, 4]


WINDOWS = 500


def share_of_alerts(checks):
    return np.mean([found.verdict is Verdict.FAIL for found in checks])


@pytest.mark.parametrize("images", [50, 200])
def test_accuracy_that_only_chance_moved_hardly_ever_alerts(images):
    """The point rule fires in several of a hundred such windows."""
    rng = np.random.default_rng(0)
    reference = health(accuracy=top1(0.9, 300))
    values = rng.binomial(images, 0.9, WINDOWS) / images
    checks = [
        check("accuracy_drop", reference, health(accuracy=top1(value, images))) for value in values
    ]
    assert np.mean(values < 0.9 - 0.05 - 1e-9) >= 0.005
    assert share_of_alerts(checks) <= 0.004


def test_accuracy_that_is_exactly_at_the_limit_alerts_in_a_hundredth_at_most():
    rng = np.random.default_rng(1)
    checks = [
        check("accuracy_drop", health(accuracy=top1(a, 1000)), health(accuracy=top1(b, 300)))
        for a, b in zip(
            rng.binomial(1000, 0.92, WINDOWS) / 1000,
            rng.binomial(300, 0.87, WINDOWS) / 300,
            strict=True,
        )
    ]
    assert share_of_alerts(checks) <= 0.01


def test_error_rates_at_the_limit_alert_in_two_hundredths_at_most():
    rng = np.random.default_rng(2)
    for images in (50, 200, 1000):
        checks = [check("error_rate", health(), health(failed=f, images=images))
                  for f in rng.binomial(images, 0.02, WINDOWS).tolist()]  # fmt: skip
        assert share_of_alerts(checks) <= 0.02


def test_latency_exactly_at_the_limit_hardly_ever_alerts():
    for count in (25, 100):
        checks = [
            check(
                "latency_p95_increase",
                health(ms=calls(150, k)),
                health(ms=calls(count, k + WINDOWS, slower=1.3)),
            )
            for k in range(200)
        ]
        assert share_of_alerts(checks) <= 0.015


def test_real_changes_are_found():
    rng = np.random.default_rng(3)
    worse = [
        check("accuracy_drop", health(accuracy=top1(0.95, 1000)), health(accuracy=top1(value, 400)))
        for value in rng.binomial(400, 0.80, 200) / 400
    ]
    slower = [
        check(
            "latency_p95_increase",
            health(ms=calls(400, k)),
            health(ms=calls(200, k + 999, slower=2)),
        )
        for k in range(100)
    ]
    assert share_of_alerts(worse) >= 0.95
    assert share_of_alerts(slower) >= 0.95


def test_labels_that_fit_more_than_one_image_are_told_with_the_accuracy():
    unclear = dataclasses.replace(top1(0.9, 500), ambiguous=("7", "8"))
    found = check("accuracy_drop", health(accuracy=top1(0.9, 500)), health(accuracy=unclear))
    assert (
        found.verdict is Verdict.PASS
        and "2 labels fit more than one image and are left out" in found.reason
    )
    few = dataclasses.replace(top1(0.9, 20), ambiguous=("7", "8"))
    found = check("accuracy_drop", health(accuracy=top1(0.9, 500)), health(accuracy=few))
    assert (
        found.reason
        == "accuracy of the window: 20 images, 50 are needed; 2 labels fit more than one image"
    )
