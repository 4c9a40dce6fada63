"""Contents of `foveal.yaml`: the models that Foveal monitors, when, and where their runs happen."""

from __future__ import annotations

import os
from datetime import time
from pathlib import Path
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator, model_validator

from components.errors import ConfigError
from components.evaluation import GatePolicy
from components.settings import Parameters
from components.training import FineTuning
from flows.config.base import absolute_paths, read_config, read_values, validate_config
from flows.config.cron import check_cron
from flows.config.demo import NAME, data_folder, retrain_config
from flows.config.monitor import NightlyConfig
from flows.config.release import ReleaseConfig
from flows.config.retrain import RetrainConfig, RetrainDataInput
from flows.runtime.settings import Settings

FILE = Path("foveal.yaml")
_PATHS = (("images",), ("labels",), ("release",), ("retraining", "data", "labels"))  # of a model


def machine_timezone() -> str:
    """The name of this machine's time zone: `TZ`, what /etc/localtime points to, or UTC."""
    named = os.environ.get("TZ", "").removeprefix(":")
    _, _, linked = str(Path("/etc/localtime").resolve()).partition("zoneinfo/")
    return next((name for name in (named, linked) if name in available_timezones()), "UTC")


class RetrainingOptions(Parameters):
    """What a drift of this model, or a loss of its accuracy, leads to."""

    automatic: bool = Field(
        True, description="Start a retraining without asking; the gates decide on promotion."
    )
    event_cooldown_hours: float = Field(
        6, ge=0, description="How long after an event that started one further events do not."
    )
    cron: str | None = Field(
        None,
        description="When it is retrained whatever its nights say, as cron has it, such as 0 4 * * "
        "sun.",
    )
    cooldown_hours: float = Field(
        24,
        ge=0,
        description="How long an automatic retraining waits after a rejection; doubles with each "
        "further one.",
    )
    data: RetrainDataInput = Field(default_factory=RetrainDataInput)
    training: FineTuning = Field(default_factory=FineTuning)
    gates: GatePolicy = Field(default_factory=GatePolicy)

    _cron = field_validator("cron")(lambda value: value and check_cron(value))


class WatchedModel(NightlyConfig):
    """A model that is looked at every night: the parameters of nightly monitoring, and when."""

    cron: str = Field("0 2 * * *", description="When, as cron has it: at 02:00.")
    timezone: str = Field(
        default_factory=machine_timezone,
        description="Of cron and deadline, e.g. Europe/Zurich.",
    )
    active: bool | None = Field(
        None,
        description="Whether the schedule runs; unset: it begins active, and stays what people "
        "make it in the UI.",
    )
    deadline: time = Field(
        time(6), description="When a scheduled night must have completed; an alert otherwise."
    )
    release: Path | None = Field(
        None, description="The YAML file that it is released with; fills the form of release."
    )
    retraining: RetrainingOptions = Field(default_factory=RetrainingOptions)

    _cron = field_validator("cron")(lambda value: check_cron(value))

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("expected the name of a time zone, such as Europe/Zurich or UTC")
        return value

    @field_validator("deadline", mode="before")
    @classmethod
    def _not_base_60(cls, value: Any) -> Any:
        """YAML reads an unquoted 16:30 as the number 990."""
        return (
            time(*divmod(value, 60)) if isinstance(value, int) and 0 <= value < 24 * 60 else value
        )

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.timezone)

    def nightly(self) -> NightlyConfig:
        """The parameters of its nights."""
        return NightlyConfig(**{name: getattr(self, name) for name in NightlyConfig.model_fields})

    def retrain(self) -> RetrainConfig:
        """The parameters of its retrainings by hand."""
        options = self.retraining
        asked = {
            name: getattr(options, name) for name in ("data", "training", "gates", "cooldown_hours")
        }
        return RetrainConfig(name=self.name, **asked)


class WorkPoolInput(Parameters):
    """Where runs take place, when not on the machine that serves them."""

    name: str = Field(
        min_length=1, description="Of the work pool; it is made when it is not there."
    )
    type: Literal["process", "docker", "kubernetes"] = Field(
        description="What a worker of the pool starts for a run."
    )
    image: str | None = Field(
        None,
        description="Container image with Foveal in it; for docker and kubernetes. Unset: "
        "FOVEAL_IMAGE.",
    )
    env: dict[str, str] = Field(
        default_factory=dict,
        description="Environment of the runs, such as MLFLOW_TRACKING_URI. Prefect stores it: no "
        "secrets here, "
        "give these to the worker.",
    )

    @model_validator(mode="before")
    @classmethod
    def _image_of_environment(cls, values: Any) -> Any:
        """Take the image from the environment, named once for containers and what starts them."""
        image = os.environ.get("FOVEAL_IMAGE")
        if (
            image
            and isinstance(values, dict)
            and not values.get("image")
            and values.get("type") != "process"
        ):
            return {**values, "image": image}
        return values

    @model_validator(mode="after")
    def _image_where_needed(self) -> Self:
        if (self.image is None) != (self.type == "process"):
            raise ValueError("expected an image for docker and kubernetes, and none for process")
        return self

    @property
    def job_variables(self) -> dict[str, Any]:
        """Tell the pool's worker about a run; a `flows/` beside it must not replace ours."""
        # the images set it themselves
        safe = {"PYTHONSAFEPATH": "1"} if self.type == "process" else {}
        env = safe | dict(self.env)
        return ({"image": self.image} if self.image else {}) | ({"env": env} if env else {})


class DeploymentsConfig(Parameters):
    """Everything that `foveal deploy` needs."""

    models: list[WatchedModel] = Field(min_length=1, description="The models to watch.")
    work_pool: WorkPoolInput | None = Field(
        None, description="Unset: runs take place where they are served."
    )
    retrainings_at_once: int = Field(
        1,
        ge=1,
        le=64,
        description="Of different models; further ones wait. One model has one at most.",
    )

    @field_validator("models")
    @classmethod
    def _once_each(cls, models: list[WatchedModel]) -> list[WatchedModel]:
        names = [model.name for model in models]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"expected each model once, found {', '.join(twice)} more often")
        return models


def read_deployments(path: Path | None, settings: Settings) -> DeploymentsConfig:
    """Read deployments: a file's, those of `foveal.yaml` in the working directory, or the demo's.

    Relative paths in the file are relative to it.

    Raises:
        ConfigError: the file is missing, not YAML, or not these parameters; names the field and
            close matches.
    """
    if path is None and not FILE.exists():
        return demo_deployments(settings)
    path = path or FILE
    values = read_values(path, DeploymentsConfig)
    if isinstance(models := values.get("models"), list):
        folder = path.parent.resolve()
        values["models"] = [
            absolute_paths(one, folder, _PATHS) if isinstance(one, dict) else one for one in models
        ]
    return validate_config(values, DeploymentsConfig, source=str(path))


def retraining_of(name: str, file: Path | None) -> RetrainConfig:
    """Read the parameters of a model's retrainings.

    Arguments:
        name: of the model.
        file: a `foveal.yaml` that watches it, or the parameters themselves; None: the defaults.

    Raises:
        ConfigError: the file is missing, wrong, or about other models.
    """
    values = read_values(file, RetrainConfig) if file else {}
    if file is None or "models" not in values:
        found = validate_config({"name": name, **values}, RetrainConfig, source=str(file))
        names, retrainings = [found.name], [found]
    else:
        retrainings = [
            model.retrain() for model in read_deployments(file, Settings.from_environment()).models
        ]
        names = [one.name for one in retrainings]
    if name not in names:
        raise ConfigError(
            f"parameters to retrain {name}",
            found=f"{', '.join(names)} in {file}",
            hint="name that model",
        )
    return retrainings[names.index(name)]


def demo_deployments(settings: Settings) -> DeploymentsConfig:
    """Return the demo's model, watched over its night; ground truth stands in for human labels."""
    data = data_folder(settings)
    return DeploymentsConfig(
        models=[
            WatchedModel(
                name=NAME,
                images=str(data / "images" / "night"),
                retraining=RetrainingOptions(data=retrain_config(settings).data),
            )
        ]
    )


def require_release(config: DeploymentsConfig) -> None:
    """Make sure that the release files are there.

    Raises:
        ConfigError: one is not.
    """
    for model in config.models:
        if model.release and not model.release.is_file():
            raise ConfigError(
                f"the release file of {model.name}",
                found=f"nothing at {model.release}",
                hint="check the path",
            )


def read_served(path: Path | None, settings: Settings) -> DeploymentsConfig:
    """Read the deployments to serve here, and check them before any start; see `read_deployments`.

    Raises:
        ConfigError: the file, or the release file that it names, is missing or wrong, or a work
            pool runs everything.
    """
    config = read_deployments(path, settings)
    if pool := config.work_pool:
        raise ConfigError(
            "deployments that are served here",
            found=f"work pool {pool.name} in the configuration, whose worker runs them",
            hint=f"start prefect worker start --pool {pool.name} where runs are to take place, and "
            "foveal up "
            "--without deployments, or leave work_pool out",
        )
    require_release(config)
    for model in config.models:
        if model.release:
            read_config(model.release, ReleaseConfig)
    return config
