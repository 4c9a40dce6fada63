"""Tasks of a retraining: fetch the champion, learn, and record the decision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from components.backends.yolo import require_ultralytics
from components.contracts import (
    DatasetVersion,
    GateReport,
    LoadedModel,
    ModelVersion,
    Outcome,
    TrainedModel,
    VisionSpec,
    dump,
    load,
)
from components.errors import ConfigError
from components.files import sha256_json
from components.inference.lock import exclusive
from components.training import FineTuning, OriginalData, SplitNames
from components.training.attempts import OPEN, Attempt, Ending, earliest_next
from flows.config.base import validate_config
from flows.config.release import ReleaseConfig
from flows.config.retrain import RetrainConfig
from flows.reporting.progress import advance
from flows.reporting.retraining import RetrainSummary
from flows.runtime.settings import Settings
from flows.runtime.trusted_checkpoints import require_trusted
from flows.tasks.predict import Served, served_as
from flows.tasks.readiness import NOT_KEPT, why_untrainable
from flows.tasks.steps import Split, step, working_folder
from flows.tasks.stores import load_model, registry, store
from model_registry import CHAMPION, Rationale


@dataclass(frozen=True)
class Champion:
    """The version in production, with all that training can go on from.

    Arguments:
        model: with its bundle and reference.
        source: the file that it was made from; a checkpoint where it can be trained further.
        released: the parameters that it was released with.
        served: how it runs.
    """

    model: LoadedModel
    source: Path
    released: ReleaseConfig
    served: Served

    @property
    def version(self) -> ModelVersion:
        """Its version in the registry."""
        return self.model.version

    @property
    def untrainable(self) -> str:
        """Why it cannot be trained further; empty when it can."""
        return why_untrainable(self.version, self.source, self.spec.task)

    @property
    def spec(self) -> VisionSpec:
        """Meaning of its input and output."""
        return self.model.spec

    @property
    def original(self) -> OriginalData:
        """The labelled data that it was released with."""
        data = self.released.data
        splits = SplitNames(
            data.train_split, data.validation_split, data.calibration_split, data.golden_split
        )
        return OriginalData(
            data.labelled, splits, conditions=tuple(data.conditions or [data.validation_split])
        )

    @property
    def golden(self) -> Split:
        """The frozen set among them."""
        return Split(self.original.data, self.original.splits.golden)

    def released_again(self, dataset: DatasetVersion, checkpoint: Path) -> ReleaseConfig:
        """Return a challenger's release parameters: the champion's on new checkpoint and data."""
        original = self.released.model.original or self.released.model.path
        changed = {"path": checkpoint, "trust_pickle": True, "original": original}
        model = self.released.model.model_copy(update=changed)
        known = sorted(name for name in dataset.images if name.startswith("known_"))
        data = self.released.data.model_copy(
            update={
                "labelled": dataset.data,
                "images": None,
                "train_split": "train",
                "validation_split": "val",
                "calibration_split": "calibration"
                if dataset.images.get("calibration")
                else "train",
                "golden_split": "golden",
                "conditions": [*known, *(["recent"] if dataset.images.get("recent") else [])],
            }
        )
        return self.released.model_copy(
            update={"model": model, "data": data, "promote": "never", "accept_baseline": True}
        )


@step("fetch champion", cached=False, retries=5)
def fetch_champion(name: str, output: Path, trust: bool) -> Champion:
    """The champion, its bundle, its reference, and the checkpoint that it came from.

    Arguments:
        name: of the model.
        output: folder for its files.
        trust: the checkpoint may be unpickled although nobody has trusted it on this storage root.
    """
    store = registry()
    version = store.get(name, CHAMPION)
    label = f"{version.name}/{version.version}"
    source = store.download_source(version, output) or NOT_KEPT
    require_ultralytics(source)
    released = validate_config(
        store.parameters(version), ReleaseConfig, source=f"the parameters of {label}"
    )
    model = load_model(
        store, version, output / "champion", store.download_reference(version, output)
    )
    untrainable = why_untrainable(version, source, model.spec.task)
    if released.model.trust_pickle and not untrainable:
        require_trusted(source, label, asked=trust)
    if not untrainable and not released.data.labelled.exists():
        raise ConfigError(
            f"the labelled data that {label} was released with",
            found=f"nothing at {released.data.labelled}",
            hint="put it back, or release the model again from where it is now",
        )
    return Champion(model, source, released, served_as(model))


def on_this_machine(config: RetrainConfig) -> RetrainConfig:
    """Name the device that trains here, so that the step's key and the record in MLflow hold it."""
    from components.training import training_device

    training = config.training.model_copy(
        update={"device": training_device(config.training.device)}
    )
    return config.model_copy(update={"training": training})


@step("log dataset", cached=False, retries=5)
def log_dataset(name: str, dataset: DatasetVersion, challenger: ModelVersion | None = None) -> None:
    """Keep in MLflow what a challenger is trained on; once it exists, also as its run's input."""
    registry().log_dataset(name, dataset, challenger.run_id if challenger else None)


@step("log training", cached=False, retries=5)
def log_training(
    challenger: ModelVersion, champion: Champion, trained: TrainedModel, config: RetrainConfig
) -> None:
    """Keep with a challenger how it was trained: from what, settings, blend taken, curve."""
    parameters = {
        "started_from": champion.model.label,
        **config.training.model_dump(),
        "blend": trained.blend,
    }
    registry().log_training(challenger, parameters, trained.curve)


@step("fine-tune")
def learn(
    source: Path, dataset: DatasetVersion, spec: VisionSpec, training: FineTuning, trust: bool
) -> TrainedModel:
    """Train on from the champion's checkpoint, trusted as at its release."""
    from components.training import StartingPoint, fine_tune

    return fine_tune(
        StartingPoint(source, max(spec.input_size), trust, spec.task),
        dataset.data,
        working_folder(),
        training=training,
        progress=lambda epoch, epochs: advance("training epochs", epoch, epochs),
    )


def rationale_of(report: GateReport, config: RetrainConfig, dataset: DatasetVersion) -> Rationale:
    """Return what the decision record keeps of the decision on a challenger."""
    return Rationale(
        trigger=config.trigger,
        who=Settings.from_environment().user,
        reasons=report.reasons,
        event=config.event,
        gates=report,
        hashes={"dataset": dataset.sha256},
    )


KIND = "retraining"  # of the records


@contextmanager
def in_flight(name: str) -> Iterator[bool]:
    """Hold the one place that a model has for a retraining; False when it is taken.

    The place is free when this process ends, in whatever way.
    """
    with ExitStack() as held:
        try:
            held.enter_context(exclusive(Settings.from_environment().root / "retraining" / name))
        except ConfigError:
            yield False
            return
        yield True


def known_answer(config: RetrainConfig) -> RetrainSummary | None:
    """Find what came of an event dealt with; None for no event, a new one or an open one."""
    if not config.event:
        return None
    for record in store().records(config.name, KIND):
        if (
            record.content["event"] == config.event
            and record.content["summary"]["state"] not in OPEN
        ):
            return replace(load(RetrainSummary, record.content["summary"]), repeated=True)
    for made in registry().decisions(config.name):  # one that was killed after it had decided
        if made.decision.event == config.event:
            return replace(RetrainSummary.decided(config, made.decision), repeated=True)
    return None


def cooling_down(config: RetrainConfig) -> str:
    """Say why an automatic retraining must wait, if it must; a rollback is a late rejection."""
    if config.trigger == "by hand":
        return ""
    records = store().records(config.name, KIND)
    ended = [
        Attempt(one.content["event"], one.at, Ending(one.content["summary"]["state"]))
        for one in records
    ]
    rollbacks = [
        Attempt(made.decision.event, made.at, Ending.REJECTED)
        for made in registry().decisions(config.name)
        if made.decision.outcome is Outcome.ROLLED_BACK
    ]
    ended = sorted(ended + rollbacks, key=lambda attempt: attempt.at)
    until = earliest_next(ended, timedelta(hours=config.cooldown_hours))
    if until is None or datetime.now(UTC) >= until:
        return ""
    last = next(one for one in reversed(ended) if one.ending is Ending.REJECTED)
    undone = "rolled back" if last in rollbacks else "rejected"
    return (
        f"cooling down until {until:%Y-%m-%d %H:%M} UTC; the last challenger was {undone}, "
        "and a retraining can be started by hand"
    )


def remember(config: RetrainConfig, champion: ModelVersion, done: RetrainSummary) -> None:
    """Keep a retraining's result once an event; lacking labels or a quiet machine it stays open."""
    at = datetime.now(UTC)
    ended = config.event and done.state not in OPEN
    key = sha256_json([config.event if ended else at.isoformat()])[:32]
    content = {"event": config.event, "trigger": config.trigger, "summary": dump(done)}
    store().put_record(config.name, champion.version, KIND, key, content, at=at)
