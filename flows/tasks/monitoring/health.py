"""Accuracy of a window by the labels that have come, and the alerts that it begins and ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from components.contracts import (
    Check,
    DriftDecision,
    DriftState,
    InferenceRun,
    LoadedModel,
    ModelVersion,
)
from components.datasets.dataset import load_dataset
from components.errors import DatasetError, IncompatibleError
from components.monitoring.alerts.book import KIND as ALERTS
from components.monitoring.alerts.book import Alert, AlertStore, book_record, latest_book
from components.monitoring.performance.accuracy import (
    AccuracyReport,
    image_columns,
    measure_accuracy,
)
from components.monitoring.store.stored import EvaluatedWindow
from components.runs.by_day import TIME
from flows.config.monitor import WatchConfig
from flows.reporting.progress import note
from flows.runtime.settings import Settings
from flows.tasks.stores import store


@dataclass(frozen=True)
class Occasion:
    """Time and name under which a window is evaluated.

    Arguments:
        key: names the window wherever it is kept.
        at: when it is judged.
        subject: what its alerts are about: the model, or what of it was looked at by hand, so that
            a look at other images ends no alert of the nights.
        alone: judged without those before it, and no part of what those after it remember.
    """

    key: str
    at: datetime
    subject: str
    alone: bool = False


def sound_nights(
    earlier: Sequence[EvaluatedWindow], occasion: Occasion, decision: DriftDecision
) -> frozenset[str]:
    """Return nights whose images may tell of accuracy: broken ones would tell of the breakage."""
    told = [(past.key, past.decision) for past in earlier] + [(occasion.key, decision)]
    return frozenset(key for key, said in told if said.state is not DriftState.DATA_FAULT)


def accuracy_of(
    config: WatchConfig, model: LoadedModel, of: InferenceRun | frozenset[str]
) -> AccuracyReport | None:
    """Measure accuracy of a run, or of the newest of these nights that labels have come for.

    A night does not wait for its labels: what is wrong with them is noted, and its accuracy is not
    measured.

    Raises:
        DatasetError: labels for a run by hand cannot be read.
        IncompatibleError: they are of another task or of classes that the model does not know.
    """
    if config.labels is None:
        return None
    try:
        return _measured(config, config.labels, model, of)
    except (DatasetError, IncompatibleError) as error:
        if isinstance(of, InferenceRun):
            raise
        note((f"accuracy is not measured: {error}",), str(config.labels))
        return None


def _measured(
    config: WatchConfig, place: Path, model: LoadedModel, of: InferenceRun | frozenset[str]
) -> AccuracyReport | None:
    from components.monitoring.store.recent import labelled_rows

    split, task = config.labels_split, model.spec.task
    labels = load_dataset(place, split, task=task, objects=False, only_labelled=True)
    note(labels.remarks, str(place))
    if isinstance(of, InferenceRun):
        return measure_accuracy(of.images, of.detections, labels, model.spec, slices=config.slices)
    wanted = [*image_columns(model.spec, config.slices), TIME]
    ids = [image.image_id for image in labels.images]
    rows = labelled_rows(
        store(), model.version.name, model.version.version, ids, keys=of, columns=wanted
    )
    return measure_accuracy(*rows, labels, model.spec, slices=config.slices) if rows else None


def tell(version: ModelVersion, occasion: Occasion, checks: Sequence[Check]) -> tuple[Alert, ...]:
    """Tell once what began and ended with this window; a resumed run finds that it was told."""
    from components.monitoring.alerts.notify import send_alerts

    records = store().records(version.name, ALERTS)
    if told := [record for record in records if record.key == occasion.key]:
        return AlertStore.from_records(told[0].content["sent"]).firing
    before = latest_book(records, occasion.subject)
    book, alerts = before.update(occasion.subject, checks, now=occasion.at)
    if book == before and not alerts:
        return ()
    delivery = send_alerts(alerts, Settings.from_environment().alert_channels)
    content = book_record(occasion.subject, book if delivery.reached else before, alerts)
    store().put_record(
        version.name, version.version, ALERTS, occasion.key, content, at=datetime.now(UTC)
    )
    return alerts
