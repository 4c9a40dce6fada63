"""Tell by values, not name or tag, whether a deployment is from `deploy`, and so safe to run here.

Whoever can write to the Prefect server can put our tag on a deployment whose pull steps run a
shell.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeAlias

from prefect import Flow
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments.runner import RunnerDeployment
from prefect.types.entrypoint import EntrypointType

from flows.alert import alert
from flows.batch_inference import batch
from flows.nightly import nightly
from flows.promote import promotion
from flows.release import release
from flows.retrain import retrain

OwnFlow: TypeAlias = Flow[..., Any]  # of whatever it returns


@cache
def own_flows() -> dict[str, OwnFlow]:
    """Flows that deployments may run, by their entry points as `deploy` writes them."""
    flows: tuple[OwnFlow, ...] = (release, nightly, retrain, batch, promotion, alert)
    by_module = EntrypointType.MODULE_PATH
    built = [RunnerDeployment.from_flow(flow, "any", entrypoint_type=by_module) for flow in flows]
    return {str(one.entrypoint): flow for one, flow in zip(built, flows, strict=True)}


def foreign_fields(found: DeploymentResponse) -> tuple[str, ...]:
    """Return the fields of a deployment that differ from any `deploy` makes; empty for our own."""
    differs = {
        "entrypoint": found.entrypoint not in own_flows(),
        "path": found.path is not None,
        "pull_steps": bool(found.pull_steps),
        "job_variables": bool(found.job_variables),
        "storage_document_id": found.storage_document_id is not None,
        "infrastructure_document_id": found.infrastructure_document_id is not None,
        "work_pool_name": bool(found.work_pool_name),
        "enforce_parameter_schema": not found.enforce_parameter_schema,
    }
    return tuple(name for name, other in differs.items() if other)
