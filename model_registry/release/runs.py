"""MLflow runs of a release: one for it, a nested one for each variant, with all that they hold."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from components.backends import weight_files
from components.contracts import dump
from components.errors import RegistryError
from components.files import write_json
from components.package.manifest import MANIFEST
from model_registry.artifacts.benchmark_plot import draw_latency_accuracy
from model_registry.artifacts.bundles import BUNDLE_FOLDER
from model_registry.description import (
    KEY_CHARACTERS,
    DataFacts,
    Release,
    file_hashes,
    flatten,
    metrics_of,
    params_of,
    release_metrics,
    release_params,
    run_tags,
    validation_role,
    verdict_tags,
)
from model_registry.facts import HASH_PARAM
from model_registry.failures import passing_over
from model_registry.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

REFERENCE_FOLDER, SOURCE_FOLDER, EVALUATION_FOLDER = "reference", "source", "evaluation"
PARAMETERS = "parameters.json"
TRAINING = "training/"  # metrics of a training, which MLflow's charts show as a group
NOTE_LENGTH = 8000  # characters of a note
_MODEL_NAME = re.compile(r"[^A-Za-z0-9_]+")  # what a logged model's name is better without
_PER_BATCH = 100  # parameters and tags that MLflow takes in one call
_PARAM_LENGTH = 6000  # characters of a parameter's value; all of it is in parameters.json
_PROFILE_LENGTH = 16_000_000  # characters that MLflow's schema keeps
# characters of a dataset's digest in MLflow's schema; all of it is in the version's tags
_DIGEST_LENGTH = 36


@dataclass(frozen=True)
class DatasetName:
    """Name and digest by which MLflow's metrics refer to a dataset, and its role in a run."""

    role: str
    name: str
    sha256: str
    facts: DataFacts | None = None

    @property
    def digest(self) -> str:
        return self.sha256[:_DIGEST_LENGTH]


def experiment_of(store: Store, name: str) -> str:
    """Id of the experiment of a model, made on first use below the store's artifact root.

    Raises:
        RegistryError: an experiment of that name was deleted, so MLflow keeps the name.
    """
    experiment = store.client.get_experiment_by_name(name)
    if experiment is None:
        location = f"{store.artifact_root.rstrip('/')}/{name}" if store.artifact_root else None
        # MLflow's UI opens in its GenAI view otherwise
        kind = {"mlflow.experimentKind": "custom_model_development"}
        with passing_over("RESOURCE_ALREADY_EXISTS"):
            return str(store.client.create_experiment(name, artifact_location=location, tags=kind))
        experiment = store.client.get_experiment_by_name(name)
    if experiment.lifecycle_stage != "active":
        raise RegistryError(
            f"an experiment {name}",
            found="one that was deleted and whose name MLflow still holds",
            hint=f"restore it (mlflow experiments restore -x {experiment.experiment_id}) or purge "
            "it (mlflow gc)",
        )
    return str(experiment.experiment_id)


@contextmanager
def open_run(
    store: Store, experiment: str, name: str, tags: Mapping[str, str], parent: str | None = None
) -> Iterator[str]:
    """Yield the id of a new run; it is FINISHED at the end, or FAILED when an exception passes."""
    kin = {"mlflow.parentRunId": parent} if parent else {}
    own = {"mlflow.source.name": "foveal", "mlflow.source.type": "LOCAL"}
    run_id = store.client.create_run(
        experiment, run_name=name, tags={**tags, **own, **kin}
    ).info.run_id
    try:
        yield run_id
    except BaseException:
        store.client.set_terminated(run_id, "FAILED")
        raise
    store.client.set_terminated(run_id)


@contextmanager
def open_model(
    store: Store, experiment: str, release: Release, run_id: str, *, version: int, card: str
) -> Iterator[LoggedModel]:
    """Yield a new logged model of a run, READY at the end, or FAILED when an exception passes.

    Arguments:
        store: to log to.
        experiment: its id.
        release: what the model is of.
        run_id: of the release.
        version: the number that its version will have; it is part of the name, which MLflow never
            changes.
        card: the model card.
    """
    from mlflow.entities import LoggedModelOutput

    model = store.client.create_logged_model(
        experiment,
        name=_MODEL_NAME.sub("-", f"{release.name}-v{version}-{release.chosen.variant}"),
        source_run_id=run_id,
        tags={"mlflow.note.content": card[:NOTE_LENGTH]},
        params=_cut(params_of(release.chosen)),
        model_type="vision",
    )
    store.client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    try:
        yield model
    except BaseException:
        store.client.finalize_logged_model(model.model_id, "FAILED")
        raise
    store.client.finalize_logged_model(model.model_id, "READY")


def fail_abandoned(store: Store, experiment: str, key: str) -> None:
    """Mark runs of a release that a killed process left open as FAILED."""
    open_runs = f"tags.release_key = '{key}' and attributes.status = 'RUNNING'"
    for run in store.client.search_runs([experiment], filter_string=open_runs):
        store.client.set_terminated(run.info.run_id, "FAILED")


def log_run(store: Store, run_id: str, release: Release, card: str, model_id: str) -> None:
    """Log a release's parameters, metrics, data, files, plot to its run; metrics to its model."""
    client, data = store.client, _datasets(release)
    log_inputs(client, run_id, data)
    role = validation_role(flatten(release.parameters), release.dataset_hashes)
    validation = next((d for d in data if d.role == role), None)
    hashes = {f"{HASH_PARAM}{part}": digest for part, digest in file_hashes(release).items()}
    log_params(client, run_id, {**release_params(release), **hashes})
    log_metrics(
        client,
        run_id,
        release_metrics(release),
        MetricContext(model_id=model_id, dataset=validation),
    )
    for file in (release.bundle.archive, release.bundle.folder / MANIFEST):
        client.log_artifact(run_id, str(file), BUNDLE_FOLDER)
    if release.reference is not None:
        client.log_artifact(run_id, str(release.reference), REFERENCE_FOLDER)
    if release.source is not None:
        _log_source(client, run_id, release.source)
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        folder = Path(scratch)
        (folder / "model_card.md").write_text(card, encoding="utf-8")
        write_json(folder / "benchmark.json", dump(release.report))
        write_json(
            folder / PARAMETERS, json.loads(json.dumps(dict(release.parameters), default=str))
        )
        if release.figures is not None:
            shutil.copytree(release.figures, folder / EVALUATION_FOLDER)
        draw_latency_accuracy(release.report, folder / "plots" / "latency_accuracy.png")
        client.log_artifacts(run_id, scratch)


def _log_source(client: MlflowClient, run_id: str, source: Path) -> None:
    """Keep the model file that came in, and the files beside it that hold its weights."""
    client.log_artifact(run_id, str(source), SOURCE_FOLDER)
    folder = source.parent.resolve()
    for file in weight_files(source):
        place = file.relative_to(folder).parent.as_posix()
        client.log_artifact(
            run_id, str(file), SOURCE_FOLDER if place == "." else f"{SOURCE_FOLDER}/{place}"
        )


def log_training(
    client: MlflowClient, run_id: str, parameters: Mapping[str, object], curve: Path
) -> None:
    """Log how a run's model was trained: settings, and the curve by epoch as metrics and a file.

    What the run already says stays: two champions with the same weights can start the same
    training.
    """
    said = client.get_run(run_id).data.params
    log_params(
        client,
        run_id,
        {k: v for k, v in flatten({"training": parameters}).items() if k not in said},
    )
    # of the file, so that a repeated call adds nothing
    at = datetime.fromtimestamp(curve.stat().st_mtime, UTC)
    with curve.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), start=1):
            values = {name.strip(): _finite(text) for name, text in row.items() if name}
            step = int(values.pop("epoch", None) or number)
            measured = {
                f"{TRAINING}{KEY_CHARACTERS.sub('_', name)}": value
                for name, value in values.items()
                if value is not None
            }
            log_metrics(client, run_id, measured, MetricContext(step, at))
    client.log_artifact(run_id, str(curve), "training")


def _finite(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def log_variants(store: Store, experiment: str, parent: str, release: Release) -> None:
    """Log each variant of the benchmark as a run nested in the release's, FAILED if it failed."""
    report, tags = release.report, run_tags(release)
    for measurement in report.measurements:
        own = {
            **tags,
            **verdict_tags(measurement),
            "foveal.kind": "variant",
            "chosen": str(measurement.variant == report.chosen).lower(),
            "baseline": str(measurement.variant == report.baseline).lower(),
            "model_sha256": measurement.artifact.sha256,
        }
        if measurement.error:
            own["error"] = measurement.error
        with open_run(store, experiment, measurement.variant, own, parent) as run_id:
            log_params(
                store.client, run_id, {"target": report.target.name, **params_of(measurement)}
            )
            log_metrics(store.client, run_id, metrics_of(measurement))
        if measurement.error:
            store.client.set_terminated(run_id, "FAILED")


@dataclass(frozen=True)
class MetricContext:
    """Step, time, model and dataset of metrics.

    Arguments:
        step: of a training or a series.
        at: when they were measured; None is now.
        model_id: of a logged model.
        dataset: that they were measured on.
    """

    step: int = 0
    at: datetime | None = None
    model_id: str | None = None
    dataset: DatasetName | None = None


def log_metrics(
    client: MlflowClient,
    run_id: str,
    metrics: Mapping[str, float],
    context: MetricContext | None = None,
) -> None:
    """Log one moment's metrics, tied to a logged model and to the data that they are from."""
    from mlflow.entities import Metric

    context = context or MetricContext()
    at, dataset = context.at, context.dataset
    now = int((at.timestamp() if at else time.time()) * 1000)
    named = {"dataset_name": dataset.name, "dataset_digest": dataset.digest} if dataset else {}
    step, model_id = context.step, context.model_id
    client.log_batch(
        run_id,
        metrics=[
            Metric(key, value, now, step, model_id=model_id, **named)
            for key, value in metrics.items()
        ],
    )


def _datasets(release: Release) -> list[DatasetName]:
    return [
        DatasetName(role, f"{release.name}-{role}", digest, release.data_facts.get(role))
        for role, digest in release.dataset_hashes.items()
    ]


def log_inputs(client: MlflowClient, run_id: str, datasets: list[DatasetName]) -> None:
    """Name the data that a run used; what was named before is not named twice."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = [
        DatasetInput(
            Dataset(data.name, data.digest, **_described(data)),
            [InputTag("mlflow.data.context", data.role)],
        )
        for data in datasets
    ]
    if inputs:
        client.log_inputs(run_id, inputs)


def _described(data: DatasetName) -> dict[str, str]:
    """Describe a dataset by MLflow's schema: where it is, what its rows hold, how large it is."""
    if data.facts is None:
        return {"source_type": "sha256", "source": json.dumps({"sha256": data.sha256})}
    columns = [{"name": name, "type": "string", "required": True} for name in ("image", "label")]
    size = {
        "num_rows": data.facts.images,
        "num_labels": data.facts.objects,
        "classes": list(data.facts.class_names),
    }
    return {
        "source_type": "local",
        "source": json.dumps({"uri": data.facts.location, "sha256": data.sha256}),
        "schema": json.dumps({"mlflow_colspec": columns}),
        "profile": json.dumps(size)[:_PROFILE_LENGTH],
    }


def log_params(client: MlflowClient, run_id: str, params: Mapping[str, str]) -> None:
    """Log parameters of a run; nobody can change them afterwards."""
    from mlflow.entities import Param

    rows = [Param(key, value) for key, value in _cut(params).items()]
    for start in range(0, len(rows), _PER_BATCH):
        client.log_batch(run_id, params=rows[start : start + _PER_BATCH])


def _cut(params: Mapping[str, str]) -> dict[str, str]:
    return {
        k: v if len(v) <= _PARAM_LENGTH else v[: _PARAM_LENGTH - 1] + "…" for k, v in params.items()
    }
