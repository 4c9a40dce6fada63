"""Pages in Prefect hold all that the screen holds, and lead into MLflow where it has pages."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from components.contracts import (
    BenchmarkReport,
    Budget,
    Check,
    ColumnDrift,
    Decided,
    Decision,
    DriftDecision,
    DriftReport,
    DriftState,
    FailedImage,
    Fit,
    Format,
    InferenceRun,
    Latency,
    Measurement,
    ModelArtifact,
    ModelVersion,
    Outcome,
    Precision,
    Target,
    Verdict,
    VisionSpec,
)
from components.monitoring.alerts.book import Alert, AlertStatus
from flows.batch_inference import markdown as batch_page
from flows.cli.screens import versions as screens
from flows.cli.screens.console import write
from flows.promote import markdown
from flows.reporting import links
from flows.reporting.publish import drift_page, variant_rows
from flows.reporting.summary import Seen

SPEC = VisionSpec("detect", ("cat", "dog"), (64, 64), Fit.LETTERBOX, "yolo")
TARGET = Target("desk", "a desk", ("onnxruntime",), "cpu", 1, (Precision.FP32,), Budget())
MOVED = ColumnDrift("brightness", 0.91, 0.26, 1e-9, True)
DECISION = DriftDecision(DriftState.DRIFT, ("brightness moved | by D=0.91",), (MOVED,), 300, 118)
DECISIONS = (
    Decided(
        1,
        datetime(2026, 11, 1, 2, tzinfo=UTC),
        Decision(Outcome.PROMOTED, 1, None, "release", "cron@line3"),
    ),
    Decided(
        2,
        datetime(2026, 11, 2, 2, tzinfo=UTC),
        Decision(Outcome.REJECTED, 2, 1, "drift", "flow", ("p95 | up",)),
    ),
)


def test_a_windows_page_holds_counts_checks_and_what_was_told(tmp_path):
    report = DriftReport(tmp_path / "report.html", tmp_path / "report.json", DECISION)
    report.json.write_text(json.dumps({"pictures": {"window": [], "reference": []}}))
    run = InferenceRun(tmp_path, "parts/3", 118, (FailedImage("a.jpg", "damaged"),) * 2, 4.0, 1)
    checks = (Check("accuracy_drop", 0.8, 0.05, Verdict.FAIL, "0.83 → 0.71"),)
    alert = Alert(
        "parts",
        "accuracy_drop",
        AlertStatus.FIRING,
        "0.83 → 0.71",
        datetime(2026, 11, 2, tzinfo=UTC),
    )
    page = drift_page(report, run, Seen(report, checks, (alert,)), "parts/3")
    assert page.startswith(
        "# drift\nparts/3: 120 images, 2 unreadable, 30 images/s; 118 with a prediction against 300"
    )
    for line in (
        "- **told**: firing: accuracy_drop: 0.83 → 0.71",
        "| accuracy_drop | fail | 0.83 → 0.71 |",
        "| brightness | 0.910 | 0.260 | yes |",
    ):
        assert line in page.splitlines(), line


def test_decisions_have_the_columns_of_the_screen(capsys):
    write(screens.decisions("parts", DECISIONS))
    screen = capsys.readouterr().out.splitlines()
    page = markdown(ModelVersion("parts", 1, "run"), DECISIONS, "parts/1").splitlines()
    headings = [cell.strip() for cell in page[4].strip("|").split("|")]
    assert headings == [
        "#",
        "when (UTC)",
        "outcome",
        "version",
        "champion",
        "trigger",
        "who",
        "why",
    ]
    assert screen[1].split() == " ".join(headings[:-1]).split()
    assert (
        page[6]
        == r"| 2 | 2026-11-02 02:00:00 | rejected | v2 | v1 stays | drift | flow | p95 \| up |"
    )


def test_links_lead_to_mlflow_where_it_has_pages(monkeypatch, tmp_path):
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    version = ModelVersion("parts", 3, "run")
    assert links.to_page("#/experiments/1", "report") == "report"
    assert (
        links.to_version(version) == "parts/3" and links.to_comparison("parts/1", "parts/3") == ""
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000/")
    assert (
        links.to_page("#/experiments/1", "report")
        == "[report](http://mlflow.example:5000/#/experiments/1)"
    )
    assert (
        links.to_comparison("parts/3", "parts/3") == ""
        and links.to_comparison("bundle", "parts/3") == ""
    )
    assert Path(tmp_path, "mlflow").exists() is False


def test_the_table_of_variants_holds_peak_memory_and_a_batch_its_model(monkeypatch, tmp_path):
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    artifact = ModelArtifact(Path("m.onnx"), Format.ONNX, Precision.FP32, "a" * 64, SPEC, (), ())
    latency = Latency(140, 5.0, 4.9, 5.1, 6.0)
    measured = Measurement(
        "fp32", artifact, "onnxruntime", latency, 90.0, 8, 2.0, 311.6, {"map50_95": 0.8}, 30
    )
    report = BenchmarkReport(
        TARGET, (measured,), "fp32", "fp32", ("the fastest",), 0.01, "map50_95", {}
    )
    (row,) = variant_rows(report)
    assert (row["peak memory MB"], row["MB"], row["ships"]) == ("312", "2.00", "yes")
    run = InferenceRun(tmp_path, "parts/3", 118, (), 4.0, 1)
    assert "| model | parts/3 |" in batch_page(run)
    summed_up = batch_page(replace(run, summary="9 objects on 4 of 118 images"))
    assert "| predicted | 9 objects on 4 of 118 images |" in summed_up
    assert links.to_model("bundle") == "bundle"
