import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contracts import Check, ColumnDrift, DriftDecision, DriftState, FailedImage, Verdict
from components.monitoring import TrendPoint, assess, build_reference, explain, write_report
from components.monitoring.drift.pairs import Pair
from components.monitoring.performance.accuracy import AccuracyReport
from components.monitoring.report.advice import advise
from components.monitoring.report.findings import ReportContext, Sides, find
from components.monitoring.report.quality import Quality, group_errors, read_quality
from components.monitoring.report.trends import draw_trends
from components.vision.scores import Score

START = datetime(2026, 5, 1, tzinfo=UTC)


def quality(**other):
    return Quality(**{
        "rows": 100, "failed": 0, "missing": {}, "duplicates": 0, "sizes": {}, "blank": 0,
        "first": None, "last": None,
    } | other)  # fmt: skip


def advice_for(*moved, state=DriftState.WARN, reasons=("because",), checks=(), raised=True, **rows):
    """What is advised when these columns rose (or fell, with a minus)."""
    pairs = {}
    for name in moved:
        up = 0.0 if name.startswith("-") else 9.0
        pairs[name.removeprefix("-")] = Pair(
            name.removeprefix("-"), np.full(9, 4.0), np.full(9, up)
        )
    columns = tuple(ColumnDrift(name, 0.9, 0.2, 0.0, drifted=True) for name in pairs)
    decision = DriftDecision(state, reasons, columns, 100, 90, raised=raised)
    return advise(decision, pairs, quality(**rows), checks)


@pytest.mark.parametrize(
    ("moved", "words", "others"),
    [
        (["-brightness", "-sharpness", "blue"], "exposure", "focus|white balance"),
        (["-sharpness"], "focus the lenses", "noise"),
        (["sharpness"], "noise", "focus"),
        (["blockiness"], "compressed once more", "exposure"),
        (["-blockiness"], "", "compressed"),
        (["width", "megapixels"], "resizes or crops", "exposure"),
        (["saturation"], "white balance", "exposure"),
        (["prediction_top_class"], "other or new classes", "exposure"),
        (["prediction_confidence_mean (missing)"], "nothing was found", "classes"),
        (["brightness", "prediction_top_class"], "exposure", "classes"),
    ],
)
def test_advice_follows_from_what_moved(moved, words, others):
    found = " ".join(one.what for one in advice_for(*moved))
    assert words in found
    assert not re.search(others, found)


def test_advice_gives_its_reason():
    (light, wait) = advice_for("-brightness")
    assert light.because == "brightness: median 4 → 0"
    assert "next two windows" in wait.what


def test_a_drift_asks_for_as_many_labels_as_help():
    last = advice_for("brightness", state=DriftState.DRIFT)[-1]
    assert "label about 90 of these images" in last.what
    assert last.because == "1 of 1 column moved beyond the limit"


def test_broken_or_too_few_images_are_never_to_be_retrained_on():
    (fault,) = advice_for(
        "brightness", state=DriftState.DATA_FAULT, reasons=("9 of 90 images are blank",)
    )
    assert "Do not retrain" in fault.what and fault.because == "9 of 90 images are blank"
    (few,) = advice_for(
        "brightness", state=DriftState.INSUFFICIENT_DATA, reasons=("the window has 7 images",)
    )
    assert "Wait for more images" in few.what and few.because == "the window has 7 images"


def test_nothing_is_advised_where_nothing_was_found():
    (nothing,) = advice_for(state=DriftState.OK, raised=False)
    assert nothing.what == "Nothing to do."


def test_alerts_and_repeated_files_are_advised_on_without_a_drift():
    checks = (
        Check("accuracy_drop", 0.1, 0.05, Verdict.FAIL, "a drop of 0.1"),
        Check("error_rate", 0.0, 0.02, Verdict.PASS, "none failed"),
    )
    found = advice_for(state=DriftState.OK, raised=False, checks=checks, duplicates=40)
    assert [one.because for one in found] == [
        "a drop of 0.1", "40 of 100 files are the same as another one, byte for byte"
    ]  # fmt: skip
    assert len(advice_for(state=DriftState.OK, raised=False, duplicates=1)) == 1


def test_quality_counts_gaps_repeats_sizes_blanks_and_the_time_span(write_run, ordinary):
    columns = ordinary(
        100,
        width=np.repeat([640.0, 320.0], [70, 30]),
        height=np.repeat([480.0, 240.0], [70, 30]),
        contrast=np.repeat([40.0, 0.5], [95, 5]),
        prediction_confidence_mean=np.where(np.arange(100) < 12, np.nan, 0.9),
        sha256=[f"{k // 2:064x}"[::-1] for k in range(100)],
        predicted_at=[START + timedelta(minutes=k) for k in range(100)],
        inference_ms=np.arange(101.0)[1:],
    )
    found = read_quality(write_run(columns, failed=3))
    assert found == Quality(
        103, 3, {"prediction_confidence_mean": 12}, 50, {"640 × 480": 70, "320 × 240": 30}, 5,
        START, START + timedelta(minutes=99), (50.5, pytest.approx(95.05)),
    )  # fmt: skip


def test_quality_of_a_table_without_hashes_and_times_says_so(write_run, ordinary):
    found = read_quality(write_run(ordinary(0), failed=4))
    assert (found.rows, found.failed, found.duplicates, found.first, found.latency_ms) == (
        4,
        4,
        None,
        None,
        None,
    )


def test_errors_are_grouped_by_reason_and_not_by_name():
    failures = [
        FailedImage(f"a/{k}.jpg", f"expected an image, found /data/a/{k}.jpg: cut off")
        for k in range(5)
    ]
    groups = group_errors([FailedImage("b.png", "too large"), *failures])
    assert [(group.message, group.count, group.names) for group in groups] == [
        ("expected an image, found …: cut off", 5, ("a/0.jpg", "a/1.jpg", "a/2.jpg")),
        ("too large", 1, ("b.png",)),
    ]


def points(*distances):
    return [
        TrendPoint(START + timedelta(days=k), DriftState.OK, 100, 0.01, 0.9, distance)
        for k, distance in enumerate(distances)
    ]


def test_trends_leave_a_gap_where_a_window_has_no_value():
    distance = draw_trends(points(0.5, 0.6, None, 1.2, 0.4))[0]
    assert distance.title == "Distance of the farthest column, in limits"
    assert distance.change == "1.20 → 0.40"
    assert [dot.joined for dot in distance.dots] == [False, True, False, True]
    assert distance.limit == pytest.approx(1 / 1.2)


def test_one_window_makes_no_trend():
    assert draw_trends(points(0.5)) == []
    assert "Accuracy" not in [trend.title for trend in draw_trends(points(0.5, 0.4))]


def test_unusual_and_unsure_images_are_named_with_their_values(tmp_path, write_run, ordinary):
    path = build_reference(write_run(ordinary(300, seed=1)), tmp_path / "reference.parquet")
    odd = ordinary(60, seed=2, image_id=[f"{k}.jpg" for k in range(60)])
    odd["brightness"][7] = 900.0
    odd["prediction_confidence_mean"][9] = 0.11
    run = write_run(odd)
    decision = DriftDecision(DriftState.OK, ("alike",), (), 300, 60)
    found = find(run, Sides.read(run, path, ""), decision)
    assert found.unusual[0].name == "7.jpg"
    assert re.fullmatch(
        r"brightness 900, far above the usual (99|100|101)(\.\d)?.*", found.unusual[0].why
    )
    assert (found.unsure[0].name, found.unsure[0].why) == ("9.jpg", "confidence 0.11")
    assert found.trend[-1].images == 60


def test_the_trend_remembers_measured_accuracy_and_no_estimate(tmp_path, write_run, ordinary):
    path = build_reference(write_run(ordinary(300, seed=1)), tmp_path / "reference.parquet")
    run, decision = (
        write_run(ordinary(60, seed=2)),
        DriftDecision(DriftState.OK, ("alike",), (), 300, 60),
    )
    measured = AccuracyReport("top1", {"top1": Score.of(0.8, 100, 100)}, {}, {}, 100, (), 0, 0)
    for accuracy, told in ((measured, 0.8), (replace(measured, estimated=True), None)):
        found = find(
            run, Sides.read(run, path, ""), decision, context=ReportContext(accuracy=accuracy)
        )
        assert found.trend[-1].accuracy == told and found.accuracy is accuracy


@pytest.mark.slow
def test_the_page_holds_every_part_and_needs_nothing_else(tmp_path, write_run, ordinary):
    rng, classes = np.random.default_rng(3), np.full(100, 3)
    usual = ordinary(200, seed=1, embedding=list(rng.normal(size=(200, 8))))
    reference = build_reference(write_run(usual), tmp_path / "reference.parquet")
    dark = np.full(100, 20.0)
    vectors = list(rng.normal(size=(100, 8)))
    milliseconds = np.full(100, 12.5)
    fresh = ordinary(
        100,
        seed=2,
        brightness=dark,
        prediction_top_class=classes,
        embedding=vectors,
        inference_ms=milliseconds,
    )
    run = write_run(fresh, failed=3)
    named = {"class_id": [0, 3], "class_name": ["cat", "<b>lorry"]}
    pq.write_table(pa.table(named), run.detections)
    accuracy = AccuracyReport(
        "top1", {"top1": Score.of(0.8, 100, 100)}, {"cat": Score.missing(2, "few")}, {}, 100,
        (), 0, 0,
    )  # fmt: skip
    checks = (Check("error_rate", 0.03, 0.02, Verdict.UNDECIDED, "3 of 103 images failed"),)
    decision = assess(run, reference)
    done = write_report(
        run,
        reference,
        decision,
        tmp_path / "report",
        context=ReportContext(trend=points(0.5, 0.7), checks=checks, accuracy=accuracy),
    )
    page = done.html.read_text()
    titles = re.findall(r"<h2>([^<]+)</h2>", page)
    assert titles == [
        "What to do", "Why", "Alerts", "Over time", "What moved most", "What the model said",
        "Accuracy", "Images to look at first", "Images that failed", "Data quality",
        "Every column", "Evidently's report",
    ]  # fmt: skip
    assert "&lt;b&gt;lorry" in page and "cat" in page
    assert "p50 12.5 ms, p95 12.5 ms" in page
    assert ">2026-05-01</text>" in page and "The last 3 windows" in page
    assert "@media print" in page
    for outside in ("<script", "<iframe", "<link", "http:", "https:", "url("):
        assert outside not in page


def test_a_decision_is_explained_without_writing_a_report(write_run, ordinary, tmp_path):
    reference = build_reference(write_run(ordinary(200, 1)), tmp_path / "reference.parquet")
    run = write_run(ordinary(100, 2, brightness=np.full(100, 20.0)))
    decision = assess(run, reference)
    found = explain(run, reference, decision)
    assert (
        found.drifted
        == tuple(column.column for column in decision.columns if column.drifted)
        == ("brightness",)
    )
    assert (
        np.median(found.pairs["brightness"].window)
        == 20
        < np.median(found.pairs["brightness"].reference)
    )
    assert "light" in found.advice[0].what


def test_a_night_that_reused_predictions_stands_at_its_own_time_and_not_at_theirs(
    write_run, ordinary, tmp_path
):
    old, night = datetime(2026, 5, 1, 2, tzinfo=UTC), datetime(2026, 5, 9, 2, tzinfo=UTC)
    path = build_reference(write_run(ordinary(200, seed=1)), tmp_path / "reference.parquet")
    predicted = pa.array([old] * 100, pa.timestamp("us", "UTC"))
    run = write_run(ordinary(100, seed=2, predicted_at=predicted))
    sides, decision = Sides.read(run, path, ""), assess(run, path)
    assert find(run, sides, decision).trend[-1].at == old
    assert find(run, sides, decision, ReportContext(at=night)).trend[-1].at == night
