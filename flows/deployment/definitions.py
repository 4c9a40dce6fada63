"""Deployments to serve: release, nights, retraining, batch inference, promotion, and alerts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as version_of
from zoneinfo import ZoneInfo

from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.types.entrypoint import EntrypointType
from pydantic import BaseModel

from flows.alert import alert
from flows.batch_inference import batch
from flows.config.alert import AlertConfig
from flows.config.base import read_config
from flows.config.batch_inference import BatchConfig
from flows.config.demo import release_config
from flows.config.deployments import DeploymentsConfig, WatchedModel, WorkPoolInput
from flows.config.promote import PromotionConfig
from flows.config.release import ReleaseConfig
from flows.deployment import descriptions as texts
from flows.deployment.ownership import OwnFlow
from flows.nightly import nightly
from flows.promote import promotion
from flows.release import release
from flows.retrain import retrain
from flows.runtime.settings import Settings
from flows.tasks.readiness import Readiness
from flows.tasks.schedules import OURS, WAITS


@dataclass(frozen=True)
class Timer:
    """Schedule on which a deployment runs by itself.

    Arguments:
        cron: as cron has it.
        timezone: its name.
        active: whether it runs; None: it begins so, and stays what people make it.
        waits: it begins with the first release of the model.
    """

    cron: str
    timezone: str
    active: bool | None = None
    waits: bool = False

    @property
    def schedule(self) -> CronSchedule:
        """As Prefect has it."""
        return CronSchedule(cron=self.cron, timezone=self.timezone)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.timezone)


@dataclass(frozen=True)
class Plan:
    """A deployment as it should be.

    Arguments:
        flow: what it runs.
        name: of the deployment; the flow has a name of its own.
        description: Markdown.
        config: what the form is filled with.
        limit: how many runs at once, and what becomes of the next one.
        timer: when it runs by itself.
        tags: besides ours.
    """

    flow: OwnFlow
    name: str
    description: str
    config: BaseModel
    limit: ConcurrencyLimitConfig | None = None
    timer: Timer | None = None
    tags: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """As Prefect has it: flow/deployment."""
        return f"{self.flow.name}/{self.name}"

    @property
    def all_tags(self) -> list[str]:
        """Its tags, ours, and the one of a schedule that waits."""
        waits = self.timer is not None and self.timer.waits and self.timer.active is not False
        return sorted((OURS, *self.tags, *((WAITS,) if waits else ())))

    def build(self, pool: WorkPoolInput | None) -> RunnerDeployment:
        """Build it for Prefect; the flow is named by module, as a path would change `sys.path`."""
        built = RunnerDeployment.from_flow(
            self.flow,
            self.name,
            parameters={"config": self.config.model_dump(mode="json")},
            description=one_line_paragraphs(self.description),
            tags=self.all_tags,
            version=version_of("foveal"),
            concurrency_limit=self.limit,
            enforce_parameter_schema=True,
            work_pool_name=pool.name if pool else None,
            job_variables=pool.job_variables if pool else None,
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        if timer := self.timer:
            begins = timer.active is not False and not timer.waits
            built.schedules = [DeploymentScheduleCreate(schedule=timer.schedule, active=begins)]
        return built


def one_line_paragraphs(text: str) -> str:
    """Markdown without the line breaks inside its paragraphs, which Prefect's pages keep."""
    return re.sub(r"(?<=\S)\n(?=[^\s#*|-])", " ", text)


def plan(
    config: DeploymentsConfig, settings: Settings, ready: Mapping[str, Readiness] | None = None
) -> tuple[Plan, ...]:
    """The deployments that the configuration asks for.

    Arguments:
        config: the models to watch.
        settings: the storage.
        ready: by model; one that is not there counts as released.

    Raises:
        ConfigError: a release file is missing or wrong.
    """
    wait = ConcurrencyLimitStrategy.ENQUEUE
    first, at_once = config.models[0], config.retrainings_at_once
    waiting = {name for name, model in (ready or {}).items() if not model.released}
    untrainable = [
        f"\n**{model.untrainable}**: there a drift fills the labelling queue.\n"
        for model in (ready or {}).values()
        if model.untrainable
    ]
    files = [model.release for model in config.models if model.release]
    released = read_config(files[0], ReleaseConfig) if files else release_config(settings)
    trial = AlertConfig(
        subject=first.name, rule="trial", reason="started by hand to try the channels out"
    )
    by_hand = PromotionConfig(
        name=first.name, version="champion", reason="by hand, in the Prefect UI"
    )
    return (
        Plan(
            release,
            "release",
            texts.RELEASE,
            released,
            ConcurrencyLimitConfig(limit=1, collision_strategy=wait),
        ),
        *(
            scheduled_nights(model, nightly_name(config, model), waits=model.name in waiting)
            for model in config.models
        ),
        Plan(
            retrain,
            "retrain",
            texts.RETRAIN.format(at_once=at_once) + "".join(untrainable),
            first.retrain(),
            ConcurrencyLimitConfig(limit=at_once, collision_strategy=wait),
        ),
        *(
            scheduled_retraining(model, cron, waits=model.name in waiting)
            for model in config.models
            if (cron := model.retraining.cron)
        ),
        Plan(batch, "batch", texts.BATCH, BatchConfig(model=first.name, images=first.images)),
        Plan(
            promotion,
            "promotion",
            texts.PROMOTION,
            by_hand,
            ConcurrencyLimitConfig(limit=1, collision_strategy=wait),
        ),
        Plan(alert, "alert", texts.ALERT, trial),
    )


def scheduled_nights(model: WatchedModel, name: str, *, waits: bool = False) -> Plan:
    """A model's nights, one at a time: one that is due while another runs is left out."""
    text = texts.NIGHTLY.format(
        name=model.name, cron=model.cron, timezone=model.timezone, deadline=model.deadline
    )
    limit = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    timer = Timer(model.cron, model.timezone, model.active, waits)
    return Plan(nightly, name, text, model.nightly(), limit, timer, (model.name,))


def scheduled_retraining(model: WatchedModel, cron: str, *, waits: bool = False) -> Plan:
    """A model's retraining whatever its nights say.

    A deployment of its own: Prefect 3.8.8 drops the parameters of a schedule that somebody pauses.
    """
    return Plan(
        retrain,
        f"scheduled-{model.name}",
        texts.SCHEDULED.format(name=model.name, cron=cron, timezone=model.timezone),
        model.retrain().model_copy(update={"trigger": "schedule"}),
        ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        Timer(cron, model.timezone, waits=waits),
        (model.name,),
    )


def nightly_name(config: DeploymentsConfig, model: WatchedModel) -> str:
    """Name a model's nightly deployment: `nightly`, plus the model's name if there are several."""
    return "nightly" if len(config.models) == 1 else f"nightly-{model.name}"
