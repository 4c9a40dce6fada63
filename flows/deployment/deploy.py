"""Bring a Prefect server to what the configuration says, as often as one likes.

    deploy(read_deployments(None, settings), settings)

What is as it should be is not written again, a schedule that people paused stays paused, and what
was made for a model that is no longer watched is removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleUpdate, DeploymentUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.utilities.asyncutils import run_coro_as_sync
from prefect.utilities.callables import parameter_schema

from flows.config.cron import fires
from flows.config.demo import data_folder
from flows.config.deployments import DeploymentsConfig, WorkPoolInput
from flows.demo import compose
from flows.deployment.automations import Change, apply_automations, plan_automations
from flows.deployment.definitions import Plan, nightly_name, plan
from flows.deployment.work_pools import ensure_pool
from flows.runtime.settings import Settings
from flows.tasks.readiness import Readiness, readiness
from flows.tasks.schedules import OURS, WAITS

_PAGE = 200
# Attributes that Prefect names alike in what is to be made and in what is there.
_SAME = (
    "version",
    "description",
    "work_pool_name",
    "job_variables",
    "entrypoint",
    "enforce_parameter_schema",
)


@dataclass(frozen=True)
class Deployed:
    """A deployment as it is now.

    Arguments:
        id: of the deployment.
        cron: with its time zone; empty without a schedule.
        active: whether the schedule runs; None without one.
        next_run: when it runs next by itself, in its own time zone.
        pool: where its runs take place; empty: where they are served.
    """

    id: UUID
    name: str
    change: Change
    cron: str = ""
    active: bool | None = None
    next_run: datetime | None = None
    pool: str = ""


@dataclass(frozen=True)
class DeployResult:
    """Deployments and automations after a `deploy`."""

    deployments: tuple[Deployed, ...]
    automations: tuple[tuple[str, Change], ...] = ()
    notes: tuple[str, ...] = ()  # of models that are not ready for all of it

    def id_of(self, name: str) -> UUID:
        """The id of a deployment, by its full name."""
        return next(one.id for one in self.deployments if one.name == name)

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        rows = [
            {
                "name": one.name,
                "id": str(one.id),
                "state": one.change.value,
                "cron": one.cron,
                "active": one.active,
                "next_run": one.next_run.isoformat() if one.next_run else None,
                "work_pool": one.pool,
            }
            for one in self.deployments
        ]
        automations = [{"name": name, "state": change.value} for name, change in self.automations]
        return {"deployments": rows, "automations": automations, "notes": list(self.notes)}


def deploy(config: DeploymentsConfig, settings: Settings) -> DeployResult:
    """Create, update or remove deployments and automations until Prefect holds what the file says.

    The demo's dataset is composed first where a form's defaults need it and nothing is there yet.

    Raises:
        ConfigError: a release file is missing or wrong, or the work pool is there with another
            type.
    """
    ready = {model.name: readiness(model.name, settings) for model in config.models}
    plans = plan(config, settings, ready)
    compose_demo(plans, settings)
    with get_client(sync_client=True) as client:
        if config.work_pool:
            ensure_pool(client, config.work_pool)
        done = [_apply(client, one, config.work_pool) for one in plans]
        ids = {one.name: one.id for one in done}
        automations = apply_automations(client, plan_automations(config, ids, nightly_name), OURS)
        done += _remove_others(client, set(ids))
    return DeployResult(tuple(done), automations, tuple(_notes(ready)))


def _notes(ready: Mapping[str, Readiness]) -> Iterator[str]:
    for name, model in ready.items():
        if not model.released:
            yield f"{name} has no champion yet: its schedules begin with its first release"
        if model.untrainable:
            yield f"{model.untrainable}: a drift fills the labelling queue, and retrains nothing"


def compose_demo(plans: Iterable[Plan], settings: Settings) -> None:
    """Write the demo's dataset if a form is filled with it and it is not there."""
    data = data_folder(settings)
    named = any(str(data) in one.config.model_dump_json() for one in plans)
    if named and not (data / "data.yaml").exists():
        compose(settings)


def _apply(client: SyncPrefectClient, wanted: Plan, pool: WorkPoolInput | None) -> Deployed:
    built = wanted.build(pool)
    try:
        found = client.read_deployment_by_name(wanted.full_name)
    except ObjectNotFound:
        made = client.read_deployment(run_coro_as_sync(built.aapply()))
        return _describe(made, wanted, Change.CREATED)
    there = _found(found)
    changes = {
        name: value for name, value in _fields(wanted, built).items() if there[name] != value
    }
    schedules = _schedules(wanted, found)
    if not changes and schedules is None:
        return _describe(found, wanted, Change.UNCHANGED)
    if schedules is not None:
        changes["schedules"] = schedules
    client.update_deployment(found.id, DeploymentUpdate.model_validate(changes))
    return _describe(client.read_deployment(found.id), wanted, Change.UPDATED)


def _fields(wanted: Plan, built: RunnerDeployment) -> dict[str, object]:
    """Return the fields of a deployment that Foveal sets, as `DeploymentUpdate` names them."""
    options = built.concurrency_options
    return {name: getattr(built, name) for name in _SAME} | {
        "tags": sorted(built.tags),
        "parameters": built.model_dump(mode="json", include={"parameters"})["parameters"],
        "concurrency_limit": built.concurrency_limit,
        "concurrency_options": options.model_dump(mode="json") if options else None,
        "path": None,  # the flow is named by its module
        "pull_steps": [],
        "storage_document_id": None,
        "parameter_openapi_schema": parameter_schema(wanted.flow).model_dump(
            mode="json", exclude_unset=True
        ),
    }


def _found(found: DeploymentResponse) -> dict[str, object]:
    """Return the same fields of a deployment that is there."""
    limit, options = found.global_concurrency_limit, found.concurrency_options
    same = (*_SAME, "parameters", "path", "storage_document_id", "parameter_openapi_schema")
    return {name: getattr(found, name) for name in same} | {
        "tags": sorted(found.tags),
        "concurrency_limit": limit.limit if limit else None,
        "concurrency_options": options.model_dump(mode="json") if options else None,
        "pull_steps": found.pull_steps or [],
    }


def _schedules(wanted: Plan, found: DeploymentResponse) -> list[DeploymentScheduleUpdate] | None:
    """Return the schedules to set, or None to leave them.

    Unless the file says otherwise, they stay as active as people left them.
    """
    if wanted.timer is None:
        return None
    there = found.schedules[0] if len(found.schedules) == 1 else None
    asked, waited = wanted.timer.active, WAITS in found.tags
    active = asked if asked is not None else (there.active or waited if there else True)
    active = active and not wanted.timer.waits
    if there and there.schedule == wanted.timer.schedule and there.active == active:
        return None
    return [DeploymentScheduleUpdate(schedule=wanted.timer.schedule, active=active)]


def _describe(found: DeploymentResponse, wanted: Plan, change: Change) -> Deployed:
    timer, schedule = wanted.timer, found.schedules[0] if found.schedules else None
    if timer is None or schedule is None:
        return Deployed(found.id, wanted.full_name, change, pool=found.work_pool_name or "")
    active = schedule.active and not found.paused
    return Deployed(
        found.id,
        wanted.full_name,
        change,
        f"{timer.cron} {timer.timezone}",
        active,
        fires(timer.cron, timer.zone, datetime.now(UTC)).astimezone(timer.zone) if active else None,
        found.work_pool_name or "",
    )


def _remove_others(client: SyncPrefectClient, keep: set[str]) -> list[Deployed]:
    """Remove the deployments that we made and that are no longer asked for."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[OURS]))
    removed = []
    for found in client.read_deployments(deployment_filter=ours, limit=_PAGE):
        name = f"{client.read_flow(found.flow_id).name}/{found.name}"
        if name not in keep:
            client.delete_deployment(found.id)
            removed.append(Deployed(found.id, name, Change.REMOVED))
    return removed
