"""Alerts are told once and ended once, whatever checks say; intervals hold their promise."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contracts import Check, Detections, Verdict
from components.errors import ConfigError
from components.monitoring.alerts.book import AlertStatus, AlertStore
from components.statistics.intervals import difference, effective_samples, quantile_bounds, wilson
from components.vision.scores import BoxPrecision

LIGHT = settings(max_examples=60, deadline=None)
START = datetime(2026, 1, 1, tzinfo=UTC)
SHARES, SIZES = st.floats(0, 1), st.floats(1, 1e6)
CHECKS = st.dictionaries(st.sampled_from("abc"), st.sampled_from(Verdict), max_size=3)
NIGHTS = st.lists(st.tuples(st.sampled_from(["digits", "birds"]), CHECKS), max_size=25)


def _checks(verdicts):
    return [Check(name, 0.1, 0.05, verdict, "because") for name, verdict in verdicts.items()]


@LIGHT
@given(NIGHTS)
def test_alerts_begin_and_end_in_turn_and_the_book_holds_those_whose_last_word_was_fail(nights):
    book, told, last_word = AlertStore(), {}, {}
    for night, (subject, verdicts) in enumerate(nights):
        book, alerts = book.update(subject, _checks(verdicts), now=START + timedelta(days=night))
        for alert in alerts:
            told.setdefault((alert.subject, alert.rule), []).append(alert)
        for rule, verdict in verdicts.items():
            if verdict in (Verdict.FAIL, Verdict.PASS):
                last_word[subject, rule] = verdict
    for alerts in told.values():
        turns = [alert.status for alert in alerts]
        assert (
            turns
            == [AlertStatus.FIRING, AlertStatus.RESOLVED] * (len(turns) // 2)
            + turns[len(turns) // 2 * 2 :]
        )
        assert turns[0] is AlertStatus.FIRING
        for begun, ended in zip(alerts[::2], alerts[1::2], strict=False):
            assert ended.since == begun.since
    firing = {key for key, verdict in last_word.items() if verdict is Verdict.FAIL}
    assert {(alert.subject, alert.rule) for alert in book.firing} == firing
    assert {
        key for key, alerts in told.items() if alerts[-1].status is AlertStatus.FIRING
    } == firing


def test_a_book_survives_json():
    book, _ = AlertStore().update(
        "digits", _checks({"a": Verdict.FAIL, "b": Verdict.FAIL}), now=START
    )
    assert AlertStore.from_records(json.loads(json.dumps(book.to_records()))) == book


def test_an_alert_that_goes_on_keeps_its_beginning_and_takes_the_newest_reason():
    fail = [Check("error_rate", 0.1, 0.02, Verdict.FAIL, "10 % failed")]
    worse = [Check("error_rate", 0.3, 0.02, Verdict.FAIL, "30 % failed")]
    book, sent = AlertStore().update("digits", fail, now=START)
    book, nothing = book.update("digits", worse, now=START + timedelta(days=1))
    assert [alert.reason for alert in sent] == ["10 % failed"] and nothing == ()
    assert [(alert.reason, alert.since) for alert in book.firing] == [("30 % failed", START)]


def test_an_old_book_tells_again_what_reached_nobody():
    fail = [Check("error_rate", 0.1, 0.02, Verdict.FAIL, "10 % failed")]
    old = AlertStore()
    assert (
        old.update("digits", fail, now=START)[1] == old.update("digits", fail, now=START)[1] != ()
    )


def test_records_that_are_no_alerts_are_refused():
    with pytest.raises(ConfigError, match="records of open alerts"):
        AlertStore.from_records([{"subject": "digits"}])


def test_a_rule_that_comes_twice_is_refused():
    twice = [Check("a", None, None, verdict) for verdict in (Verdict.PASS, Verdict.FAIL)]
    with pytest.raises(ValueError, match="each rule once"):
        AlertStore().update("digits", twice, now=START)


@LIGHT
@given(SHARES, SIZES, st.floats(0.5, 0.999))
def test_wilsons_interval_holds_the_share_within_0_and_1_and_has_a_width(
    share, samples, confidence
):
    found = wilson(share, samples, confidence)
    assert 0 <= found.low <= share <= found.high <= 1
    assert found.low < found.high
    mirrored = wilson(1 - share, samples, confidence)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((found.low, found.high), abs=1e-9)


@LIGHT
@given(SHARES, SIZES)
def test_more_confidence_is_wider_and_more_samples_are_narrower(share, samples):
    usual, sure, many = (
        wilson(share, samples),
        wilson(share, samples, 0.99),
        wilson(share, samples * 10),
    )
    assert sure.low - 1e-12 <= usual.low <= usual.high <= sure.high + 1e-12
    assert many.high - many.low < usual.high - usual.low


@LIGHT
@given(SHARES, SIZES, SHARES, SIZES)
def test_a_difference_is_wider_than_either_side_and_turns_its_sign(a, n, b, m):
    first, second = wilson(a, n), wilson(b, m)
    there, back = difference(first, second), difference(second, first)
    assert (back.low, back.value, back.high) == pytest.approx(
        (-there.high, -there.value, -there.low), abs=1e-12
    )
    assert there.high - there.low >= max(first.high - first.low, second.high - second.low) - 1e-12


def test_wilsons_interval_is_the_published_one():
    """81 of 263: Newcombe, Stat. Med. 17, 1998, table I."""
    found = wilson(81 / 263, 263)
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_a_difference_is_the_published_one():
    """56 of 70 and 48 of 80: Newcombe, Stat. Med. 17, 1998, method 10, contrast (a)."""
    found = difference(wilson(56 / 70, 70), wilson(48 / 80, 80))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


@pytest.mark.parametrize(("share", "images"), [(0.5, 30), (0.9, 50), (0.97, 300)])
def test_wilsons_interval_covers_as_often_as_it_says(share, images):
    hits = np.random.default_rng(0).binomial(images, share, 4000)
    intervals = [wilson(count / images, images) for count in hits.tolist()]
    covered = np.mean([one.low <= share <= one.high for one in intervals])
    assert 0.92 <= covered <= 0.985


@pytest.mark.parametrize(("quantile", "count"), [(0.95, 150), (0.5, 20), (0.95, 500)])
def test_bounds_of_a_quantile_miss_it_rarely_on_either_side(quantile, count):
    rng, true = np.random.default_rng(0), -np.log(1 - quantile)  # of the exponential distribution
    bounds = [quantile_bounds(rng.exponential(size=count), quantile, 0.95) for _ in range(1000)]
    assert np.mean([low > true for low, _ in bounds]) <= 0.025 + 0.01
    assert np.mean([high < true for _, high in bounds]) <= 0.025 + 0.01


def test_too_few_samples_have_no_upper_bound_of_a_high_quantile():
    few, enough = (quantile_bounds(np.arange(count, dtype=float), 0.95, 0.95) for count in (71, 72))
    assert few[0] is not None and few[1] is None
    assert enough[1] == 71
    assert quantile_bounds(np.zeros(0), 0.95, 0.95) == (None, None)


def test_a_value_that_does_not_vary_is_worth_as_many_samples_as_there_are_units():
    assert effective_samples(0.8, 0.0, units=40, trials=200) == 40
    assert effective_samples(1.0, 0.1, units=40, trials=200) == 40
    assert effective_samples(0.8, 0.04, units=40, trials=200) == pytest.approx(100)
    assert effective_samples(0.8, 0.001, units=40, trials=200) == 200


def _scene(rng):
    objects = int(rng.integers(1, 4))
    corner = rng.uniform(0, 200, (objects, 2))
    xyxy, class_ids = np.hstack([corner, corner + 40]), rng.integers(0, 2, objects)
    kept = rng.random(objects) < rng.beta(6, 1)  # images differ in how hard they are
    found = Detections(
        (xyxy + rng.normal(0, 2, xyxy.shape))[kept], rng.beta(5, 2, kept.sum()), class_ids[kept]
    )
    return found, Detections(xyxy, np.ones(objects), class_ids)


@pytest.mark.slow
def test_the_interval_of_a_map_covers_the_map_of_all_images():
    rng = np.random.default_rng(5)
    scenes = [_scene(rng) for _ in range(300)]

    def judge(chosen):
        return BoxPrecision(
            [scenes[k][0] for k in chosen], [scenes[k][1] for k in chosen], ("a", "b"), 1
        )

    true = float(judge(range(300))._hits.average_precision().mean())
    windows = [rng.integers(0, 300, 40) for _ in range(20)]
    scores = [judge(window).overall(np.ones(40, np.bool_))["map50_95"] for window in windows]
    assert sum(score.low <= true <= score.high for score in scores) >= 16  # 19 are expected
    assert np.mean([score.high - score.low for score in scores]) < 0.3
