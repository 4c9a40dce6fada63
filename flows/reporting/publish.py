"""Artifacts of a flow in the Prefect UI: tables, the decision, links."""

from __future__ import annotations

import tempfile
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.events import emit_event

from components.contracts import (
    BenchmarkReport,
    DriftReport,
    GateReport,
    InferenceRun,
    ModelVersion,
)
from components.monitoring.alerts.book import Alert, AlertStatus
from components.monitoring.alerts.notify import send_alerts
from components.monitoring.report.report import read_pictures
from components.printing import counted
from components.tables import Table, number
from components.training.attempts import Ending
from components.vision.input_shape import InputShape
from flows.config.retrain import RetrainConfig
from flows.reporting import retraining as retrainings
from flows.reporting.evidence import gates_page
from flows.reporting.links import mlflow_pages, to_page, to_version, with_comparison
from flows.reporting.summary import (
    ReleaseSummary,
    Seen,
    VariantRow,
    measured_on,
    reasons_of,
    variants_table,
)
from flows.runtime.settings import Settings
from model_registry import draw_latency_accuracy


def variants(
    report: BenchmarkReport, shape: InputShape | None = None, version: ModelVersion | None = None
) -> None:
    """Show the table of variants, why one was chosen, and what the shape of the input costs.

    Arguments:
        report: the measurements and the choice.
        shape: of the input, and what it costs.
        version: that was made of the choice, once it is registered.
    """
    remarks = [*reasons_of(report), *([shape.text] if shape else []), measured_on(report)]
    remarks += [f"registered as {to_version(version)}"] if version else []
    create_table_artifact(
        key="variants",
        table=variant_rows(report),
        description="\n".join(f"- {line}" for line in remarks),
    )


def variant_rows(report: BenchmarkReport) -> list[dict[str, str]]:
    """Return the table of variants, with all that was measured."""
    rows = [VariantRow.of(measured, report) for measured in report.measurements]
    listed = variants_table(rows, report.metric, errors=True).to_json()
    return [
        {
            **cells,
            "peak memory MB": number(measured.peak_rss_mb, 0),
            "ships": "yes" if row.chosen else "",
        }
        for cells, row, measured in zip(listed, rows, report.measurements, strict=True)
    ]


def plot(report: BenchmarkReport) -> None:
    """Show the plot of latency and accuracy."""
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        file = Path(scratch) / "plot.png"
        if draw_latency_accuracy(report, file):
            source = f"data:image/png;base64,{b64encode(file.read_bytes()).decode()}"
            create_markdown_artifact(
                key="latency-and-accuracy",
                markdown=f"![Median latency and accuracy of the variants]({source})",
                description="What each variant costs, what it keeps, and which one ships",
            )


def drift(
    report: DriftReport,
    version: ModelVersion,
    page: str,
    run: InferenceRun,
    seen: Seen | None = None,
) -> None:
    """Show the decision on a window, with its reasons, checks, pictures, and a link to the report.

    Arguments:
        report: of the window.
        version: that it judges.
        page: where MLflow's pages show the report, below their address.
        run: the window's predictions.
        seen: the checks of the model's health and what was told, where they were made.
    """
    markdown = drift_page(
        report, run, seen, f"{to_version(version)}, {to_page(page, 'the report')}"
    )
    create_markdown_artifact(
        key="drift-decision", markdown=markdown, description="The drift policy's decision"
    )
    server = mlflow_pages()  # browsers open no file from the page of a server
    link = f"{server}/{page}" if server else report.html.resolve().as_uri()
    create_link_artifact(key="drift-report", link=link, link_text="Drift report")


def drift_page(report: DriftReport, run: InferenceRun, seen: Seen | None, about: str) -> str:
    """Write a decision as a Markdown page; `about` says of which version, with links."""
    decision, total = report.decision, run.processed + len(run.failures)
    speed = f", {total / run.seconds:.0f} images/s" if run.seconds else ""
    lines = [
        f"# {decision.state.value}",
        f"{about}: {counted(total, 'image')}, {len(run.failures)} unreadable{speed}; "
        f"{decision.window_samples} with a prediction against {decision.reference_samples} of the "
        "reference.",
        "",
    ]
    lines += [f"- {reason}" for reason in decision.reasons]
    if seen:
        lines += [f"- **told**: {line}" for line in seen.told]
        checks = [(check.name, check.verdict.value, check.reason) for check in seen.checks]
        lines += ["", Table(("check", "verdict", "why"), checks).to_markdown()]
    columns = [
        (one.column, f"{one.distance:.3f}", f"{one.threshold:.3f}", "yes" if one.drifted else "")
        for one in decision.columns
    ]
    lines += ["", Table(("column", "distance", "limit", "drifted"), columns).to_markdown()]
    lines += _beside(report)
    return "\n".join(lines)


def nothing_new(version: ModelVersion, source: str) -> None:
    """Show that a night found no image that an earlier one had not."""
    create_markdown_artifact(
        key="nothing-new",
        markdown="# nothing new\n\n"
        f"No image has come to `{source}` since the last night of {version.name}; version "
        f"{version.version} waits.",
        description="A night without images",
    )


def given_up(lines: Sequence[str]) -> None:
    """Show that windows were given up, which an earlier night had planned."""
    if lines:
        create_markdown_artifact(
            key="given-up",
            markdown="\n".join(f"- {line}" for line in lines),
            description="Windows that were given up",
        )


def _beside(report: DriftReport) -> list[str]:
    """The images that stand for the window over those of the reference, as Markdown."""
    lines = []
    titles = ("Images that represent this window", "Images of the reference")
    for title, pictures in zip(titles, read_pictures(report), strict=True):
        if pictures:
            images = (
                f"![image {number}]({picture.source})"
                for number, picture in enumerate(pictures, start=1)
            )
            lines += ["", f"## {title}", "", " ".join(images)]
    return lines


def summary(done: ReleaseSummary, version: ModelVersion, page: str = "") -> None:
    """Show where everything is.

    Arguments:
        done: the release.
        version: that was registered.
        page: where MLflow's pages show the drift report, below their address; empty without one.
    """
    rows = [
        ("version", f"{to_version(version)} ({', '.join(done.aliases)})"),
        ("folder", f"`{done.folder}`"),
        ("bundle", f"`{done.bundle}`"),
    ]
    if done.window:
        report = to_page(page, f"`{done.window.report}`")
        rows += [("predictions", f"`{done.window.predictions}`"), ("drift report", report)]
    table = Table(("what", "where"), rows).to_markdown()
    create_markdown_artifact(key="release", markdown=table, description="Where everything is")


def gates(report: GateReport) -> None:
    """Show the table of all gates, the reasons and a link to both versions."""
    page = with_comparison(gates_page(report), report.champion, report.challenger)
    create_markdown_artifact(key="gates", markdown=page, description="Challenger against champion")


def retraining(config: RetrainConfig, done: retrainings.RetrainSummary) -> None:
    """Show how a retraining ended; one that began by itself sends a message where it wants labels.

    Arguments:
        config: its parameters.
        done: the state, the reason, the data and the gates.
    """
    page = retrainings.markdown(config, done)
    if done.gates:
        page = with_comparison(page, done.gates.champion, done.gates.challenger)
    create_markdown_artifact(
        key="retraining", markdown=page, description="How the retraining ended"
    )
    if (
        done.state in (Ending.NEEDS_LABELS, Ending.NOT_TRAINABLE)
        and not done.repeated
        and config.trigger != "by hand"
    ):
        wanted = Alert(
            config.name, "labels wanted", AlertStatus.FIRING, done.reason, datetime.now(UTC)
        )
        send_alerts([wanted], Settings.from_environment().alert_channels)


def announce(version: ModelVersion, window: str, seen: Seen) -> None:
    """Tell Prefect, for automations to act, of drift that is news, and alerts that begin or end.

    An event's id follows from the window, so one that a resumed run emits again is the same event.
    """
    decision = seen.report.decision
    if decision.fires:
        payload = {**_about(version, window), "reasons": list(decision.reasons[:10])}
        _emit("foveal.drift.detected", version, f"{window} drift", payload)
    announce_alerts(version, window, seen.alerts)


def announce_alerts(version: ModelVersion, window: str, alerts: Sequence[Alert]) -> None:
    """Tell Prefect of alerts that begin or end; `window` names the night, with images or not."""
    for alert in alerts:
        told = {"rule": alert.rule, "reason": alert.reason, "since": alert.since.isoformat()}
        payload = {**_about(version, window), **told}
        identity = f"{window} {alert.rule} {alert.status.value}"
        _emit(
            f"foveal.alert.{alert.status.value}",
            version,
            identity,
            payload,
            {"foveal.rule": alert.rule},
        )


def _about(version: ModelVersion, window: str) -> dict[str, Any]:
    return {"model_name": version.name, "model_version": version.version, "window": window}


def _emit(
    event: str,
    version: ModelVersion,
    identity: str,
    payload: dict[str, Any],
    labels: dict[str, str] | None = None,
) -> None:
    """Labels are what a trigger can match on, beside the model."""
    name = version.name
    emit_event(
        event,
        resource={
            "prefect.resource.id": f"foveal.model.{name}",
            "prefect.resource.name": name,
            **(labels or {}),
        },
        payload=payload,
        id=uuid5(NAMESPACE_URL, f"foveal:{version.name}:{identity}"),
    )
