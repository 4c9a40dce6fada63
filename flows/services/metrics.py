"""Prometheus metrics of each model: monitoring results and versions, read when asked."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from typing import Generic, TypeVar
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app
from prometheus_client.registry import Collector

from components.contracts import DriftState
from components.errors import FovealError, UnavailableError
from components.monitoring import ModelStatus, MonitoringStore, read_status
from flows.runtime.access import Access, guard_wsgi
from flows.runtime.settings import Settings
from model_registry import CHALLENGER, CHAMPION, PREVIOUS_CHAMPION, ModelSummary

CACHE_S = 15.0
PATIENCE_S = 8.0  # Prometheus waits 10 s for an answer unless told otherwise
T = TypeVar("T")
Families = Iterable[Metric]
_log = logging.getLogger(__name__)


class Source(Generic[T]):
    """Something to read that may be slow or down: asked in its own thread, remembered for a while.

    Arguments:
        name: for the log.
        read: what it is now; may raise, may take long.
        cache_s: for how long an answer is good.
        patience_s: how long to wait for one; who asks again waits for the same answer.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[], T],
        *,
        cache_s: float = CACHE_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.name, self._read, self._cache_s, self._patience_s = name, read, cache_s, patience_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._lock, self._until = threading.Lock(), 0.0
        self._asked: Future[T] | None = None

    def ask(self) -> Future[T]:
        """The answer to come: the one that is good still, or is awaited already, or a new one."""
        with self._lock:
            if self._asked is None or (self._asked.done() and time.monotonic() >= self._until):
                self._asked = self._thread.submit(self._timed)
            return self._asked

    def get(self, since: float | None = None) -> T | None:
        """Return the value now, or None when it cannot be read; the reason is a line in the log.

        Arguments:
            since: when the wait began (`time.monotonic`); by default now.
        """
        passed_s = time.monotonic() - since if since is not None else 0.0
        try:
            return self.ask().result(max(0.0, self._patience_s - passed_s))
        except TooSlow:
            _log.warning("%s: no answer in %.0f s", self.name, self._patience_s)
        except Exception as error:
            # a store or a server may fail in any way, and is to be seen as down
            _log.warning(
                "%s: %s", self.name, error if isinstance(error, FovealError) else repr(error)
            )
        return None

    def _timed(self) -> T:
        try:
            return self._read()
        finally:
            self._until = time.monotonic() + self._cache_s


class FovealCollector(Collector):
    """Metrics of a store and a registry; what is unreadable is absent, as `foveal_source_up` says.

    Arguments:
        store: the monitoring store.
        registry: the model registry.
    """

    def __init__(
        self, store: Source[tuple[ModelStatus, ...]], registry: Source[tuple[ModelSummary, ...]]
    ) -> None:
        self._store, self._registry = store, registry

    @classmethod
    def of(cls, settings: Settings) -> FovealCollector:
        """Collect from the settings' store and registry, opened anew as they may come later."""

        def read_store() -> tuple[ModelStatus, ...]:
            store = MonitoringStore(settings.store)
            return tuple(read_status(store, name) for name in store.models())

        def read_registry() -> tuple[ModelSummary, ...]:
            return settings.registry().model_summaries()

        return cls(Source("store", read_store), Source("registry", read_registry))

    def describe(self) -> Families:
        """The families without samples: registering reads nothing."""
        return [*_of_sources({}), *_of_models(()), *_of_versions(())]

    def collect(self) -> Families:
        """Collect all metrics, from both sources at once, as Prometheus waits for them together."""
        begun = time.monotonic()
        self._registry.ask()
        statuses, model_summaries = self._store.get(begun), self._registry.get(begun)
        yield from _of_sources(
            {"store": statuses is not None, "registry": model_summaries is not None}
        )
        yield from _of_models(statuses or ())
        yield from _of_versions(model_summaries or ())


def serve_metrics(settings: Settings, host: str, port: int) -> WSGIServer:
    """Answer on http://host:port/metrics in threads of their own; returns the server, to shut down.

    Raises:
        UnavailableError: the port is taken, or the address is none of this machine's.
    """
    registry = CollectorRegistry()
    registry.register(FovealCollector.of(settings))
    app = make_wsgi_app(registry)
    try:
        server = make_server(
            host, port, app, _Server6 if ":" in host else ThreadingWSGIServer, _Quiet
        )
    except OSError as error:
        raise UnavailableError(
            f"to listen on {host}:{port}", found=str(error), hint="choose another --port or --host"
        ) from error
    server.set_app(guard_wsgi(app, Access.of(host, server.server_port)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class _Server6(ThreadingWSGIServer):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    """A handler that writes no line for each request."""

    def log_message(self, *_: object) -> None:
        """Write nothing."""


def _of_sources(up: dict[str, bool]) -> Families:
    gauge = _gauge(
        "foveal_source_up", "Whether the store or the registry could be read just now.", "source"
    )
    for source, could in up.items():
        gauge.add_metric([source], float(could))
    return [gauge]


def _of_models(statuses: Sequence[ModelStatus]) -> Families:
    windows = _gauge("foveal_store_windows", "Windows of images in the monitoring store.", "model")
    images = _gauge("foveal_store_images", "Images in the monitoring store.", "model")
    alerts = _gauge(
        "foveal_alert_firing", "1 while an alert fires, 0 when it is over.", "model", "rule"
    )
    for status in statuses:
        windows.add_metric([status.name], status.windows)
        images.add_metric([status.name], status.images)
        for rule, firing in status.alerts.items():
            alerts.add_metric([status.name, rule], float(firing))
    return [windows, images, alerts, *_of_last_windows(statuses), *_of_columns(statuses)]


def _of_last_windows(statuses: Sequence[ModelStatus]) -> Families:
    at = _gauge("foveal_last_window_timestamp_seconds", "When the last window was judged.", "model")
    version = _gauge(
        "foveal_window_version", "The version that predicted the last window.", "model"
    )
    state = _gauge("foveal_window_state", "1 for the verdict on the last window.", "model", "state")
    images = _gauge("foveal_window_images", "Images of the last window with a prediction.", "model")
    failed = _gauge(
        "foveal_window_failed_ratio", "Share of the last window's images without one.", "model"
    )
    confidence = _gauge(
        "foveal_window_confidence_ratio", "Median confidence in the last window.", "model"
    )
    accuracy = _gauge(
        "foveal_window_accuracy_ratio", "Accuracy by the labels that have come.", "model"
    )
    latency = _gauge(
        "foveal_window_inference_seconds",
        "The engine's time for an image of the last window.",
        "model",
        "quantile",
    )
    for status in statuses:
        if (last := status.last) is None:
            continue
        at.add_metric([status.name], last.at.timestamp())
        version.add_metric([status.name], float(last.version))
        images.add_metric([status.name], last.point.images)
        failed.add_metric([status.name], last.point.failed_share)
        for gauge, value in ((confidence, last.point.confidence), (accuracy, last.point.accuracy)):
            if value is not None:
                gauge.add_metric([status.name], value)
        for known in DriftState:
            state.add_metric([status.name, known.value], float(known is last.decision.state))
        for quantile, value in last.latency_ms.items():
            latency.add_metric([status.name, str(quantile)], value / 1e3)
    return [at, version, state, images, failed, confidence, accuracy, latency]


def _of_columns(statuses: Sequence[ModelStatus]) -> Families:
    distance = _gauge(
        "foveal_drift_distance", "How far a column of the last window moved.", "model", "column"
    )
    limit = _gauge("foveal_drift_limit", "How far it may move.", "model", "column")
    for status in statuses:
        for column in status.last.decision.columns if status.last else ():
            distance.add_metric([status.name, column.column], column.distance)
            limit.add_metric([status.name, column.column], column.threshold)
    return [distance, limit]


def _of_versions(model_summaries: Sequence[ModelSummary]) -> Families:
    versions = _gauge("foveal_model_versions", "Registered versions.", "model")
    decisions = CounterMetricFamily(
        "foveal_decisions", "Decisions on the model.", labels=("model", "outcome")
    )
    by_alias = {
        alias: _gauge(f"foveal_{alias}_version", f"The version with the alias {alias}.", "model")
        for alias in (CHAMPION, PREVIOUS_CHAMPION, CHALLENGER)
    }
    for standing in model_summaries:
        versions.add_metric([standing.name], standing.versions)
        for outcome, count in standing.decisions.items():
            decisions.add_metric([standing.name, outcome], count)
        for alias, gauge in by_alias.items():
            if alias in standing.aliases:
                gauge.add_metric([standing.name], standing.aliases[alias])
    return [versions, decisions, *by_alias.values()]


def _gauge(name: str, about: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, labels=labels)
