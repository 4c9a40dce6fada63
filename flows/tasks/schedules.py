"""Schedules that wait for a model's first release: a night of a missing model is a failure."""

from __future__ import annotations

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleUpdate, DeploymentUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

from flows.tasks.steps import step

OURS = "made-by-foveal"  # the tag of what `deploy` made, and may remove
# the tag of a deployment whose schedule begins with the model's first release
WAITS = "waits-for-first-release"


@step("start schedules", cached=False, retries=5)
def start_waiting(name: str) -> None:
    """Start the schedules that waited for a champion of this model."""
    start(name)


def start(name: str) -> None:
    """Start the schedules that waited for a champion, without a flow."""
    waiting = DeploymentFilter(tags=DeploymentFilterTags(all_=[OURS, WAITS, name]))
    with get_client(sync_client=True) as client:
        for found in client.read_deployments(deployment_filter=waiting):
            schedules = [
                DeploymentScheduleUpdate(schedule=one.schedule, active=True)
                for one in found.schedules
            ]
            tags = [tag for tag in found.tags if tag != WAITS]
            client.update_deployment(found.id, DeploymentUpdate(tags=tags, schedules=schedules))
