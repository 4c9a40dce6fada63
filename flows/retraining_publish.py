"""How a retraining ended, for people: a page in the Prefect UI, and a message where labels are wanted."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect.artifacts import create_markdown_artifact

from components.monitoring.alert_book import Alert, AlertStatus
from components.monitoring.notify import send_alerts
from components.training.attempts import Ending
from flows.config_retraining import RetrainConfig
from flows.links import to_comparison
from flows.settings import Settings
from flows.summary_retraining import RetrainSummary


def publish_ending(config: RetrainConfig, done: RetrainSummary) -> None:
    """The state, the reason, the data and a link to both versions; nobody watches a retraining that began by itself."""
    gates = done.gates
    link = to_comparison(gates.champion, gates.challenger) if gates and gates.champion else ""
    page = "\n\n".join(filter(None, (markdown(config, done), link)))
    create_markdown_artifact(key="retraining", markdown=page, description="How the retraining ended")
    if done.state in (Ending.NEEDS_LABELS, Ending.NOT_TRAINABLE) and not done.repeated and config.trigger != "by hand":
        wanted = Alert(config.name, "labels wanted", AlertStatus.FIRING, done.reason, datetime.now(UTC))
        send_alerts([wanted], Settings.from_environment().alert_channels)


def markdown(config: RetrainConfig, done: RetrainSummary) -> str:
    """The summary as a Markdown page."""
    rows = [
        ("trigger", f"{config.trigger} {config.event}".strip()),
        ("champion", done.champion),
        ("challenger", done.challenger),
        ("challenger's bundle", f"`{done.bundle}`" if done.bundle else None),
        ("labels missing", done.missing or None),
        ("waiting to be labelled", done.queued or None),
    ]
    if done.dataset:
        rows += [(f"{name} images", count) for name, count in done.dataset.images.items()]
        rows += [(f"{source}, of all splits", count) for source, count in done.dataset.sources.items()]
        rows += [(f"left out, {reason.replace('_', ' ')}", count) for reason, count in done.dataset.dropped.items()]
    again = "; this event had been dealt with: nothing was done now" if done.repeated else ""
    table = [f"| {name} | {value} |" for name, value in rows if value is not None]
    return "\n".join([f"# {done.state}", f"{done.name}: {done.reason}{again}", "", "| | |", "| --- | --- |", *table])
