"""Current model status for a dashboard: last evaluated window, what was unusual, open alerts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from components.contracts import DriftDecision, load
from components.monitoring.alerts import book as alert_book
from components.monitoring.alerts.book import OF_A_SOURCE, AlertStore, latest_book
from components.monitoring.store.store import MonitoringStore, Record
from components.monitoring.store.stored import KIND, TrendPoint

QUANTILES = (0.5, 0.95)


@dataclass(frozen=True)
class LastWindow:
    """The window that was evaluated last.

    Arguments:
        version: of the model that predicted it.
        at: when it was judged, in UTC.
        decision: the drift policy's word on it.
        point: its images, share of failures, confidence and accuracy.
        latency_ms: quantile → milliseconds of the engine for an image; empty when its rows are not
            kept any more.
    """

    version: str
    at: datetime
    decision: DriftDecision
    point: TrendPoint
    latency_ms: Mapping[float, float]


@dataclass(frozen=True)
class ModelStatus:
    """Current status of a model by the monitoring store.

    Arguments:
        name: of the model.
        windows: how many are in the store.
        images: rows of images in the store.
        last: None before the first night.
        alerts: each rule that ever fired on the nights of this model or on a source of its images,
            and whether it does now.
    """

    name: str
    windows: int
    images: int
    last: LastWindow | None
    alerts: Mapping[str, bool]


def read_status(store: MonitoringStore, name: str) -> ModelStatus:
    """Read the current status of a model.

    Arguments:
        store: where.
        name: of the model.

    Raises:
        DatasetError: a file of the store was damaged.
        UnavailableError: the store cannot be reached or refuses.
    """
    windows = store.windows(name)
    judged = store.records(name, KIND)
    last = _last_window(store, name, judged[-1]) if judged else None
    images = sum(window.images for window in windows)
    return ModelStatus(name, len(windows), images, last, _alerts(store, name))


def _last_window(store: MonitoringStore, name: str, record: Record) -> LastWindow:
    decision = load(DriftDecision, record.content["decision"])
    point = load(TrendPoint, record.content["trend_point"])
    return LastWindow(record.version, record.at, decision, point, _latency(store, name, record))


def _latency(store: MonitoringStore, name: str, record: Record) -> dict[float, float]:
    import pyarrow.compute as pc

    windows = (one for one in store.windows(name, record.version) if one.key == record.key)
    tables = (store.rows_of(name, one, columns=["inference_ms"]) for one in windows)
    times = [pc.drop_null(rows["inference_ms"]).to_numpy() for rows in tables if rows is not None]
    if not times or not len(times[0]):
        return {}
    return dict(zip(QUANTILES, np.quantile(times[0], QUANTILES).tolist(), strict=True))


def _alerts(store: MonitoringStore, name: str) -> dict[str, bool]:
    """Tell by rule whether it fires; alerts of evaluations by hand are left out."""
    records = store.records(name, alert_book.KIND)
    books = [
        AlertStore.from_records(record.content[part])
        for record in records
        for part in ("sent", "firing")
    ]
    ever = {(alert.rule, alert.subject) for book in books for alert in book.firing}
    told = {(rule, subject) for rule, subject in ever if subject == name or rule in OF_A_SOURCE}
    firing = {
        (alert.rule, subject) for subject in {subject for _, subject in told}
        for alert in latest_book(records, subject).firing
    }  # fmt: skip
    return {
        rule: any((rule, subject) in firing for _, subject in told)
        for rule in sorted({rule for rule, _ in told})
    }
