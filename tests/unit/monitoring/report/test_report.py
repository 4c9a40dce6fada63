import json
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contracts import (
    Check,
    ColumnDrift,
    DriftDecision,
    DriftState,
    FailedImage,
    InferenceRun,
    Verdict,
)
from components.errors import DatasetError
from components.monitoring import TrendPoint, assess, build_reference, write_report
from components.monitoring.drift.pairs import Pair
from components.monitoring.performance.accuracy import AccuracyReport
from components.monitoring.report.advice import Advice
from components.monitoring.report.charts import draw
from components.monitoring.report.findings import Findings, Worst
from components.monitoring.report.page import render_page
from components.monitoring.report.quality import Quality, group_errors
from components.monitoring.store.pictures import Picture
from components.printing import printed, steers
from components.vision.scores import Score

QUALITY = Quality(60, 0, {}, 0, {}, 0, None, None)
POINT = TrendPoint(datetime(2026, 5, 1, tzinfo=UTC), DriftState.OK, 60, 0.0, 0.9, 0.5)


class Page(HTMLParser):
    """Collects a page's words and links, and insists that every tag is closed in its turn."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.sections: dict[str, list[str]] = {"": []}
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value for name, value in attrs if name in {"href", "src"}]
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style" and data.strip():
            self.words.append(data.strip())
            if self.open[-1] == "h2":
                self.sections[data.strip()] = []
            self.sections[list(self.sections)[-1]].append(data.strip())


@pytest.fixture
def report(tmp_path, write_run, ordinary):
    """Judge and report columns against ordinary ones."""

    def write(window, *, failed=0):
        path = build_reference(write_run(ordinary(200, seed=1)), tmp_path / "reference.parquet")
        run = write_run(window, failed=failed)
        return write_report(run, path, assess(run, path), tmp_path / "report")

    return write


@pytest.mark.slow
def test_a_drift_report_has_our_page_evidentlys_page_and_both_results(report, ordinary):
    done = report(
        ordinary(100, seed=2, brightness=np.full(100, 20.0), prediction_top_class=np.full(100, 9)),
        failed=3,
    )
    folder = done.html.parent
    assert sorted(path.name for path in folder.iterdir()) == [
        "evidently.html",
        "report.html",
        "report.json",
    ]
    page = Page(done.html.read_text())
    assert page.words[1:3] == [
        "Drift",
        "2 of 18 columns moved beyond the limit: these images are unlike the accepted ones.",
    ]
    for reason in done.decision.reasons:
        assert reason in page.words
    assert set(page.links) == {"evidently.html"}
    assert "script" not in page.tags
    assert "<broken>/0.jpg" in page.words and "expected an image & found a text" in page.words
    assert len((folder / "evidently.html").read_text()) > 1_000_000

    results = json.loads(done.json.read_text(), parse_constant=pytest.fail)
    assert results["decision"]["state"] == "drift"
    assert results["run"]["model"] == "digits/3"
    scores = {
        metric["config"]["column"]: (metric["value"], metric["config"]["threshold"])
        for metric in results["evidently"]["metrics"]
        if metric["config"]["type"].endswith("ValueDrift")
    }
    assert [test["name"].partition(":")[0] for test in results["evidently"]["tests"]] == [
        "Duplicated row count in dataset",
        "Count of empty rows in dataset",
        "Count of empty columns in dataset",
    ]
    ours = {column.column: column.distance / column.threshold for column in done.decision.columns}
    assert list(scores) == sorted(ours)
    for column, share in ours.items():
        assert scores[column] == pytest.approx((share, 1))


@pytest.mark.slow
def test_gaps_constants_and_many_rows_are_reported(tmp_path, write_run, ordinary):
    many = 12_000
    gaps = np.where(np.arange(many) % 10 < 7, np.nan, 0.9)
    reference = build_reference(
        write_run(ordinary(200, seed=1, width=np.full(200, 640.0))), tmp_path / "reference.parquet"
    )
    run = write_run(
        ordinary(many, seed=2, width=np.full(many, 640.0), prediction_confidence_mean=gaps)
    )
    done = write_report(run, reference, assess(run, reference), tmp_path / "report")
    page = Page(done.html.read_text())
    assert {
        "confidence mean (missing)",
        "no value: 0% → 70%",
        "width",
        "always the same",
        "12,000",
    } <= set(page.words)
    metrics = json.loads(done.json.read_text())["evidently"]["metrics"]
    (rows,) = [
        metric["value"] for metric in metrics if metric["metric_name"].startswith("RowCount")
    ]
    assert rows == 10_000  # Evidently sees a sample; the decision rests on all


def test_too_few_images_give_a_page_without_evidently(report, ordinary):
    done = report(ordinary(7))
    assert sorted(path.name for path in done.html.parent.iterdir()) == [
        "report.html",
        "report.json",
    ]
    page = Page(done.html.read_text())
    assert "Too few images to tell" in page.words
    assert "the window has 7 images with a prediction, 50 are needed" in page.words
    assert page.links == []
    assert json.loads(done.json.read_text())["evidently"] is None


def test_a_window_without_any_prediction_has_a_report_too(report, ordinary):
    done = report(ordinary(0), failed=60)
    assert done.decision.state is DriftState.DATA_FAULT
    words = Page(done.html.read_text()).words
    place = words.index("expected an image & found a text")
    assert words[place - 1] == "60"
    assert "and 57 more" in words


def test_a_failing_report_leaves_the_last_one_untouched(tmp_path, write_run, ordinary):
    reference = build_reference(write_run(ordinary(60)), tmp_path / "reference.parquet")
    run = write_run(ordinary(10))
    decision = assess(run, reference)
    write_report(run, reference, decision, tmp_path / "report")
    before = {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    run.images.write_bytes(b"torn")
    with pytest.raises(DatasetError, match="finished run"):
        write_report(run, reference, decision, tmp_path / "report")
    assert {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()} == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_hostile_names_are_shown_and_never_executed_in_any_section(tmp_path):
    nasty = '<script>x()</script>" on=1 &amp;{{7}}\x1b\u202e'
    run = InferenceRun(tmp_path, nasty, 1, (FailedImage(nasty, nasty),), 1.0, 1)
    column = ColumnDrift(nasty, 0.5, 0.2, 0.001, drifted=True)
    picture, score = Picture(nasty, nasty), Score.missing(1, nasty)
    findings = Findings(
        run,
        DriftDecision(DriftState.DRIFT, (nasty,), (column,), 2, 2),
        {
            name: Pair(name, np.array(["a", nasty]), np.array([nasty, "b"]))
            for name in (nasty, "prediction_class")
        },
        replace(QUALITY, sizes={nasty: 1}, missing={nasty: 1}),
        errors=group_errors([FailedImage("other", nasty), FailedImage(nasty, "other")]),
        representative=(picture,),
        ordinary=(picture,),
        unusual=(Worst(nasty, nasty, picture),),
        unsure=(Worst(nasty, nasty, None),),
        advice=(Advice(nasty, nasty),),
        trend=(POINT, POINT),
        checks=(Check(nasty, 1.0, 1.0, Verdict.FAIL, nasty),),
        accuracy=AccuracyReport(
            "top1", {nasty: score}, {nasty: score}, {nasty: score}, 1, (), 0, 0, nasty, True
        ),
    )
    html = render_page(findings, evidently=nasty)
    assert not steers(html.replace("\n", ""))
    page = Page(html)
    assert "script" not in page.tags and "on" not in page.attributes
    shown = printed(nasty)
    words = {title: " ".join(text) for title, text in page.sections.items()}
    assert {title for title, text in words.items() if shown not in text} == {"Over time"}


@pytest.mark.parametrize("state", list(DriftState))
def test_every_state_has_a_page_that_starts_with_its_verdict(tmp_path, state):
    run = InferenceRun(tmp_path, "digits/3", 60, (), 1.0, 1)
    decision = DriftDecision(state, ("because",), (), 60, 60)
    page = Page(render_page(Findings(run, decision, {}, QUALITY), evidently=None))
    assert page.words[0].startswith(page.words[1])
    assert "because" in page.words


def test_a_chart_shows_shares_so_that_sizes_do_not_matter():
    values = np.arange(24.0)
    assert draw(Pair("x", values, values)) == draw(Pair("x", np.tile(values, 5), values))


def test_a_chart_of_many_classes_shows_the_most_frequent_and_the_rest():
    names = np.repeat([f"class number {k:02d}" for k in range(30)], np.arange(1, 31))
    chart = draw(Pair("x", names, names))
    assert chart.ticks[-1].text == "other"
    assert len(chart.ticks) == len(chart.before) == len(chart.after) == 11
    assert max(chart.before) == 1


def test_a_chart_keeps_an_outlier_from_squeezing_the_rest():
    chart = draw(Pair("x", np.append(np.linspace(0, 1, 1000), 1e9), np.linspace(0, 1, 1000)))
    assert float(chart.ticks[-1].text) == pytest.approx(1, abs=0.01)


def test_the_table_of_a_run_is_not_changed(tmp_path, write_run, ordinary):
    run = write_run(ordinary(30))
    before = pq.read_table(run.images)
    reference = build_reference(run, tmp_path / "reference.parquet")
    write_report(run, reference, assess(run, reference), tmp_path / "report")
    assert pq.read_table(run.images).equals(before)


@pytest.mark.slow
def test_images_in_which_nothing_was_found_are_not_called_as_a_count_of_none(report, ordinary):
    """`Without a prediction: none` beside `none 74.6 %` would contradict itself."""
    empty = pa.array([None] * 75 + [3] * 25, pa.int64())
    done = report(ordinary(100, seed=2, prediction_top_class=empty))
    words = Page(done.html.read_text()).words
    assert words[words.index("Without a prediction") + 1] == "0"
    assert "nothing found" in words and "none" not in words
    assert any(word.endswith("nothing found: 0% → 75%") for word in words), words
