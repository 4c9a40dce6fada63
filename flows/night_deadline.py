"""A night that may be late: whether it has completed by its deadline, which is worked out for each night.

An automation of Prefect has one fixed time for all nights, and those in which the clocks change are an hour shorter or
longer. So it calls after the shortest time that a night may have, and here it is seen whether the time is over.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled

from flows.config_alert import AlertConfig, NightInput
from flows.times import deadline_of

ALERT = "alert/alert"


def is_missed(client: SyncPrefectClient, config: AlertConfig, night: NightInput, now: datetime) -> bool:
    """Tell whether a night has missed its deadline; before the deadline another look is scheduled for then.

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
        again: State[Any] = Scheduled(scheduled_time=deadline, message=f"looks at {run.name} when its time is over")
        client.create_flow_run_from_deployment(deployment.id, parameters=parameters, state=again)
        return False
    return True


def _completed(run: FlowRun, deadline: datetime) -> bool:
    """Whether a run completed in time."""
    state = run.state
    if state is None or not state.is_completed():
        return False
    ended = state.timestamp if state.timestamp.tzinfo else state.timestamp.replace(tzinfo=UTC)
    return ended <= deadline
