"""Alerts of automations: what Prefect has noticed goes the way of Foveal's own alerts, to the log and to Apprise.

The channels' URLs hold passwords. They stay in the environment of whoever serves this flow, where a notification
block would put them into Prefect's database.
"""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import flow, get_client
from prefect.artifacts import create_markdown_artifact

from components.errors import UnavailableError
from components.monitoring.alert_book import Alert, AlertStatus
from components.monitoring.notify import send_alerts
from flows.config_alert import AlertConfig
from flows.night_deadline import is_missed
from flows.settings import Settings


@flow(
    name="alert",
    flow_run_name="{config.subject}: {config.rule}",
    retries=3,
    retry_delay_seconds=60,
    description="Tell people what an automation has noticed: a line in the log, a message to each channel.",
)
def alert(config: AlertConfig) -> None:
    """Tell people: a line in the log, and a message to each URL in `FOVEAL_ALERT_URLS`.

    Raises:
        UnavailableError: no channel took it; it is tried again, three times.
    """
    if config.night:
        with get_client(sync_client=True) as client:
            if not is_missed(client, config, config.night, datetime.now(UTC)):
                return
    told = Alert(config.subject, config.rule, AlertStatus.FIRING, config.reason, datetime.now(UTC))
    delivery = send_alerts([told], Settings.from_environment().alert_channels)
    went = [f"- sent to {name}" for name in delivery.sent] + [f"- not taken by {name}" for name in delivery.failed]
    lines = [f"# {config.subject}: {config.rule}", config.reason, "", *(went or ["- the log; no channel is named"])]
    create_markdown_artifact(key="alert", markdown="\n".join(lines), description="What people were told, and how")
    if not delivery.reached:
        raise UnavailableError(
            "a channel of FOVEAL_ALERT_URLS to take an alert",
            found=f"none did: {', '.join(delivery.failed)}",
            mend="check their addresses and passwords",
        )
