"""Prefect automations: a drift starts a retraining; a night that fails or is missing is an alert.

"No night by 06:00" is a proactive trigger that a scheduled run itself sets: from the moment at
which it is due, when somebody picks it up or, since nobody does, it goes late, it has as long as
the shortest night of the year may take. The alert that it starts waits for the deadline of that
very night (`night_deadline`). A window that only repeats every 24 hours would begin, and so end, at
the time of day at which the automation was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture

from components.contracts import DriftState
from flows.config.cron import shortest_allowed
from flows.config.deployments import DeploymentsConfig, WatchedModel
from flows.reporting.summary import GIVEN_UP, NO_IMAGES

ENDINGS = (  # of nights, as their final states
    *(state.value.replace("_", " ") for state in DriftState),
    NO_IMAGES,
    GIVEN_UP,
)
Trigger = Literal["drift", "accuracy"]
NIGHTLY_FLOW, RETRAIN_FLOW = "nightly monitoring", "retrain"
EVENTS: dict[Trigger, tuple[str, dict[str, str]]] = {
    "drift": ("foveal.drift.detected", {}),
    "accuracy": ("foveal.alert.firing", {"foveal.rule": "accuracy_drop"}),
}


class Change(StrEnum):
    """Change that was made to something on the server."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REMOVED = "removed"


def plan_automations(
    config: DeploymentsConfig,
    ids: Mapping[str, UUID],
    nightly_name: Callable[[DeploymentsConfig, WatchedModel], str],
) -> tuple[AutomationCore, ...]:
    """The automations that the configuration asks for.

    Arguments:
        config: the models to watch.
        ids: of the deployments, by full name.
        nightly_name: the name of a model's nightly deployment.
    """
    retrain, alert = ids["retrain/retrain"], ids["alert/alert"]
    planned = [failed(alert), refused(alert)]
    for model in config.models:
        if model.retraining.automatic:
            planned += [retraining(model, trigger, retrain) for trigger in EVENTS]
        own = ids[f"{NIGHTLY_FLOW}/{nightly_name(config, model)}"]
        allowed = shortest_allowed(model.cron, model.zone, model.deadline, datetime.now(UTC))
        planned.append(missing(model, own, alert, allowed))
    return tuple(planned)


def retraining(model: WatchedModel, trigger: Trigger, deployment: UUID) -> AutomationCore:
    """Have a model's event start its retraining, with its name and the event's id as parameters.

    The id makes that each event is dealt with once; the window is how long further events wait for
    the first.
    """
    event, labels = EVENTS[trigger]
    config = model.retrain().model_dump(mode="json")
    taken = {
        "name": _text("{{ event.payload.model_name }}"),
        "event": _text("{{ event.id }}"),
        "trigger": trigger,
    }
    return AutomationCore(
        name=f"foveal: {trigger} of {model.name} starts a retraining",
        description=f"{event} about {model.name} runs retrain/retrain with the event's model and "
        "id.",
        trigger=EventTrigger(
            expect={event},
            match={"prefect.resource.id": f"foveal.model.{model.name}", **labels},
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(hours=model.retraining.event_cooldown_hours),
        ),
        actions=[
            RunDeployment(
                source="selected",
                deployment_id=deployment,
                parameters={"config": {**config, **taken}},
            )
        ],
    )


def failed(alert: UUID) -> AutomationCore:
    """Alert when a nightly run or retraining fails, crashes or times out, however it started."""
    return _ending_badly(
        "a failed night or retraining",
        alert,
        ("Failed", "Crashed", "TimedOut"),
        (NIGHTLY_FLOW, RETRAIN_FLOW),
    )


def refused(alert: UUID) -> AutomationCore:
    """Alert when a night is cancelled since another of its model holds the place, not by a person.

    Such a night is neither picked up nor late, so that `missing` does not count its time.
    """
    message = {"prefect.state-message": "Deployment concurrency *"}  # what Prefect says of it
    return _ending_badly(
        "a night that finds no place", alert, ("Cancelled",), (NIGHTLY_FLOW,), message
    )


def _ending_badly(
    what: str,
    alert: UUID,
    states: Iterable[str],
    flows: Iterable[str],
    match: Mapping[str, str] | None = None,
) -> AutomationCore:
    return AutomationCore(
        name=f"foveal: {what} is an alert",
        description="Runs alert/alert with the model's name and the reason.",
        trigger=EventTrigger(
            expect={f"prefect.flow-run.{state}" for state in states},
            match={"prefect.resource.id": "prefect.flow-run.*", **(match or {})},
            match_related={"prefect.resource.role": "flow", "prefect.resource.name": list(flows)},
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[
            _alert(
                alert,
                subject="{{ flow_run.parameters.config.name }}",
                rule="{{ flow.name }}: {{ flow_run.state.name }}",
                reason="run {{ flow_run.name }}: {{ flow_run.state.message }}",
            )
        ],
    )


def missing(model: WatchedModel, nightly: UUID, alert: UUID, allowed: timedelta) -> AutomationCore:
    """Alert when a scheduled night has not completed in its time, also when nobody picked it up.

    Arguments:
        model: whose nights.
        nightly: its nightly deployment.
        alert: the deployment that looks whether the time is over, and tells.
        allowed: no night has less time than this.
    """
    deadline = f"{model.deadline:%H:%M}"
    return AutomationCore(
        name=f"foveal: no night of {model.name} by {deadline} is an alert",
        description=f"A scheduled run that takes longer than {allowed} makes alert/alert look at "
        "its deadline.",
        trigger=EventTrigger(
            after={"prefect.flow-run.Pending", "prefect.flow-run.Late"},
            expect={f"prefect.flow-run.{name}" for name in ("Completed", *ENDINGS)},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=[
                {
                    "prefect.resource.role": "deployment",
                    "prefect.resource.id": f"prefect.deployment.{nightly}",
                },
                {
                    "prefect.resource.role": "tag",
                    "prefect.resource.id": "prefect.tag.auto-scheduled",
                },
            ],
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=allowed,
        ),
        actions=[
            _alert(
                alert,
                subject=model.name,
                rule="nightly monitoring: missing",
                reason=f"by {deadline} {model.timezone} the night had not completed: "
                "run {{ flow_run.name }}, due at {{ flow_run.expected_start_time }}",
                night={
                    "run": _text("{{ flow_run.id }}"),
                    "cron": model.cron,
                    "timezone": model.timezone,
                    "deadline": deadline,
                },
            )
        ],
    )


def apply_automations(
    client: SyncPrefectClient, wanted: Iterable[AutomationCore], tag: str
) -> tuple[tuple[str, Change], ...]:
    """Create, update or remove automations; one that people have switched off stays so.

    Arguments:
        client: of the server.
        wanted: as they should be.
        tag: marks ours; others are left alone.
    """
    ours = {one.name: one for one in client.read_automations() if tag in one.tags}
    done = []
    for one in wanted:
        planned, found = one.model_copy(update={"tags": [tag]}), ours.pop(one.name, None)
        if found is None:
            client.create_automation(planned)
            done.append((one.name, Change.CREATED))
        elif _content(found) == _content(planned):
            done.append((one.name, Change.UNCHANGED))
        else:
            client.update_automation(
                found.id, planned.model_copy(update={"enabled": found.enabled})
            )
            done.append((one.name, Change.UPDATED))
    for name, left in ours.items():
        client.delete_automation(left.id)
        done.append((name, Change.REMOVED))
    return tuple(done)


def _content(automation: AutomationCore | Automation) -> dict[str, Any]:
    core = AutomationCore.model_validate(
        automation.model_dump(include=set(AutomationCore.model_fields))
    )
    content = core.model_dump(mode="json", exclude={"enabled"})
    for name in ("after", "expect", "for_each"):
        content["trigger"][name] = sorted(content["trigger"][name])
    return content


def _alert(
    deployment: UUID,
    *,
    subject: str,
    rule: str,
    reason: str,
    night: Mapping[str, object] | None = None,
) -> RunDeployment:
    told: dict[str, object] = {
        "subject": _text(subject),
        "rule": _text(rule),
        "reason": _text(reason),
    }
    parameters = {"config": told | ({"night": night} if night else {})}
    return RunDeployment(source="selected", deployment_id=deployment, parameters=parameters)


def _text(template: str) -> dict[str, str]:
    """A template whose result is text; a bare one is JSON to Prefect, which fails on an id."""
    return {"__prefect_kind": "jinja", "template": template}
