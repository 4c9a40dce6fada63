"""Alerts of automations: what Prefect has noticed goes Foveal's own way, to the log and Apprise.

An automation of Prefect has one fixed time for all nights, and those in which the clocks change are
an hour shorter or longer. So it calls after the shortest time that a night may have, and here it is
seen whether the time is over.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from prefect import flow, get_client
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled

from components.errors import UnavailableError
from components.monitoring.alerts.book import Alert, AlertStatus
from components.monitoring.alerts.notify import send_alerts
from flows.config.alert import AlertConfig, NightInput
from flows.config.cron import deadline_of
from flows.runtime.settings import Settings

ALERT = "alert/alert"


def is_missed(
    client: SyncPrefectClient, config: AlertConfig, night: NightInput, now: datetime
) -> bool:
    """Tell whether a night has missed its deadline; before it, schedule another look for then.

    Arguments:
        client: of the server that knows the run.
        config: the alert; it is run again with the same parameters.
        night: which run, and its schedule.
        now: the moment of the look.
    """
    try:
        run = client.read_flow_run(night.run)
    except ObjectNotFound:
        return True
    zone = ZoneInfo(night.timezone)
    deadline = deadline_of(night.cron, zone, night.deadline, run.expected_start_time or now)
    if _completed(run, deadline):
        return False
    if now.astimezone(UTC) < deadline:
        deployment = client.read_deployment_by_name(ALERT)
        parameters = {"config": config.model_dump(mode="json")}
        again: State[Any] = Scheduled(
            scheduled_time=deadline, message=f"looks at {run.name} when its time is over"
        )
        client.create_flow_run_from_deployment(deployment.id, parameters=parameters, state=again)
        return False
    return True


def _completed(run: FlowRun, deadline: datetime) -> bool:
    """Tell whether a run completed by its deadline."""
    state = run.state
    if state is None or not state.is_completed():
        return False
    ended = state.timestamp if state.timestamp.tzinfo else state.timestamp.replace(tzinfo=UTC)
    return ended <= deadline


@flow(
    name="alert",
    flow_run_name="{config.subject}: {config.rule}",
    retries=3,
    retry_delay_seconds=60,
    description="Tell people what an automation has noticed: a line in the log, a message to each "
    "channel.",
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
    went = [f"- sent to {name}" for name in delivery.sent] + [
        f"- not taken by {name}" for name in delivery.failed
    ]
    lines = [
        f"# {config.subject}: {config.rule}",
        config.reason,
        "",
        *(went or ["- the log; no channel is named"]),
    ]
    create_markdown_artifact(
        key="alert", markdown="\n".join(lines), description="What people were told, and how"
    )
    if not delivery.reached:
        raise UnavailableError(
            "a channel of FOVEAL_ALERT_URLS to take an alert",
            found=f"none did: {', '.join(delivery.failed)}",
            hint="check their addresses and passwords",
        )
