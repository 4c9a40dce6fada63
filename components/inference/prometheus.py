"""Figures of a pipeline as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from components.errors import ConfigError
from components.inference.metrics import QUANTILES, MetricsSnapshot

_TAKEN = ("cause", "quantile")


def text_of(figures: MetricsSnapshot, labels: Mapping[str, str]) -> str:
    """Return figures in the text format 0.0.4.

    Arguments:
        figures: of a pipeline.
        labels: that all lines have.

    Raises:
        ConfigError: a label is named `cause` or `quantile`, which lines have of their own.
    """
    if taken := [name for name in _TAKEN if name in labels]:
        raise ConfigError(f"labels other than {' and '.join(_TAKEN)}", found=", ".join(taken))
    registry = CollectorRegistry()
    registry.register(_Figures(figures, labels))
    return generate_latest(registry).decode()


class _Figures(Collector):
    def __init__(self, figures: MetricsSnapshot, labels: Mapping[str, str]) -> None:
        self._figures, self._labels = figures, dict(labels)

    def collect(self) -> Iterable[Metric]:
        figures, names, values = self._figures, list(self._labels), list(self._labels.values())
        images = CounterMetricFamily(
            "foveal_pipeline_images", "Images with a prediction.", labels=names
        )
        images.add_metric(values, figures.processed)
        errors = CounterMetricFamily(
            "foveal_pipeline_errors", "Images without one, by step.", labels=[*names, "cause"]
        )
        for cause, count in sorted(figures.causes.items()):
            errors.add_metric([*values, cause], count)
        yield from (images, errors, self._latency())
        if figures.throughput_per_s is not None:
            rate = GaugeMetricFamily(
                "foveal_pipeline_images_per_second", "Throughput of the latest.", labels=names
            )
            rate.add_metric(values, figures.throughput_per_s)
            yield rate

    def _latency(self) -> Metric:
        figures, name = self._figures, "foveal_pipeline_image_seconds"
        latency = Metric(name, "Processing time of an image; quantiles of the latest.", "summary")
        times = (figures.p50_ms, figures.p90_ms, figures.p95_ms, figures.p99_ms)
        for quantile, ms in zip(QUANTILES, times, strict=True):
            if ms is not None:
                latency.add_sample(name, {**self._labels, "quantile": f"{quantile:g}"}, ms / 1e3)
        latency.add_sample(f"{name}_sum", self._labels, figures.total_ms / 1e3)
        latency.add_sample(f"{name}_count", self._labels, figures.processed)
        return latency
