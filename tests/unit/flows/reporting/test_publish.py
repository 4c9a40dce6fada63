"""Pages in Prefect hold all that the screen holds, and lead into MLflow where it has pages."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from components.contracts import (
    Check,
    ColumnDrift,
    Decided,
    Decision,
    DriftDecision,
    DriftReport,
    DriftState,
    FailedImage,
    InferenceRun,
    ModelVersion,
    Outcome,
    Verdict,
)
from components.monitoring.alerts.book import Alert, AlertStatus
from flows.cli.screens import versions as screens
from flows.cli.screens.console import write
from flows.promote import markdown
from flows.reporting import links
from flows.reporting.publish import drift_page
from flows.reporting.summary import Seen

MOVED = ColumnDrift("brightness", 0.91, 0.26, 1e-9, True)
DECISION = DriftDecision(DriftState.DRIFT, ("brightness moved | by D=0.91",), (MOVED,), 300, 118)
DECISIONS = (
    Decided(1, datetime(2026, 11, 1, 2, tzinfo=UTC), Decision(Outcome.PROMOTED, 1, None, "release", "cron@line3")),
    Decided(2, datetime(2026, 11, 2, 2, tzinfo=UTC), Decision(Outcome.REJECTED, 2, 1, "drift", "flow", ("p95 | up",))),
)


def test_a_windows_page_holds_counts_checks_and_what_was_told(tmp_path):
    report = DriftReport(tmp_path / "report.html", tmp_path / "report.json", DECISION)
    report.json.write_text(json.dumps({"pictures": {"window": [], "reference": []}}))
    run = InferenceRun(tmp_path, "parts/3", 118, (FailedImage("a.jpg", "damaged"),) * 2, 4.0, 1)
    checks = (Check("accuracy_drop", 0.8, 0.05, Verdict.FAIL, "0.83 → 0.71"),)
    alert = Alert("parts", "accuracy_drop", AlertStatus.FIRING, "0.83 → 0.71", datetime(2026, 11, 2, tzinfo=UTC))
    page = drift_page(report, run, Seen(report, checks, (alert,)), "parts/3")
    assert page.startswith("# drift\nparts/3: 120 images, 2 unreadable, 30 images/s; 118 with a prediction against 300")
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
    assert headings == ["#", "when (UTC)", "outcome", "version", "champion", "trigger", "who", "why"]
    assert screen[1].split() == " ".join(headings[:-1]).split()
    assert page[6] == r"| 2 | 2026-11-02 02:00:00 | rejected | v2 | v1 stays | drift | flow | p95 \| up |"


def test_links_lead_to_mlflow_where_it_has_pages(monkeypatch, tmp_path):
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    version = ModelVersion("parts", 3, "run")
    assert links.to_page("#/experiments/1", "report") == "report"
    assert links.to_version(version) == "parts/3" and links.to_comparison("parts/1", "parts/3") == ""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000/")
    assert links.to_page("#/experiments/1", "report") == "[report](http://mlflow.example:5000/#/experiments/1)"
    assert links.to_comparison("parts/3", "parts/3") == "" and links.to_comparison("bundle", "parts/3") == ""
    assert Path(tmp_path, "mlflow").exists() is False
