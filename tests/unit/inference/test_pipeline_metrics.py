import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from components.contracts import Detections
from components.errors import ConfigError
from components.inference import Cause, Metrics, PredictionResult


def test_before_the_first_image_there_are_no_times():
    figures = Metrics().snapshot()
    assert (figures.processed, figures.errors, figures.samples) == (0, 0, 0)
    assert figures.mean_ms is figures.p50_ms is figures.p95_ms is figures.throughput_per_s is None


def test_times_are_those_of_the_processed_images():
    metrics = Metrics()
    metrics.record(started=10.0, finished=10.5, latencies_ms=[1, 2, 3], errors={"image": 2})
    metrics.record(started=11.0, finished=12.0, latencies_ms=[6])
    figures = metrics.snapshot()
    assert (figures.processed, figures.errors, figures.samples) == (4, 2, 4)
    assert (figures.mean_ms, figures.p50_ms) == (3, 2.5)
    assert figures.p90_ms == pytest.approx(5.1)
    assert figures.p95_ms == pytest.approx(5.55)
    assert figures.p99_ms == pytest.approx(5.91)
    assert (figures.causes, figures.total_ms) == ({"image": 2}, 12)
    assert figures.throughput_per_s == 2  # 4 images from 10.0 s to 12.0 s


def test_counts_go_on_when_the_window_is_full():
    metrics = Metrics(window=3)
    for k in range(10):
        metrics.record(started=k, finished=k + 1, latencies_ms=[k])
    figures = metrics.snapshot()
    assert (figures.processed, figures.samples) == (10, 3)
    assert figures.mean_ms == 8
    assert figures.throughput_per_s == 1


def test_errors_are_counted_by_their_cause():
    metrics = Metrics()
    failed = [
        PredictionResult("a", None, ("x",), 1.0, error="soup", cause=cause)
        for cause in (Cause.IMAGE, Cause.MODEL, Cause.IMAGE)
    ]
    metrics.count([*failed, PredictionResult("b", Detections.empty(), ("x",), 2.0)], started=0)
    figures = metrics.snapshot()
    assert (figures.processed, figures.errors) == (1, 3)
    assert figures.causes == {"image": 2, "model": 1}


def test_figures_are_read_by_prometheus():
    metrics = Metrics()
    metrics.record(
        started=10.0, finished=12.0, latencies_ms=[1000, 3000], errors={"image": 2, "model": 1}
    )
    text = metrics.snapshot().to_prometheus(model='parts "3"')
    families = {family.name: family for family in text_string_to_metric_families(text)}
    values = {
        (one.name, *(value for name, value in sorted(one.labels.items()) if name != "model")): (
            one.value
        )
        for family in families.values()
        for one in family.samples
    }
    assert values == {
        ("foveal_pipeline_images_total",): 2,
        ("foveal_pipeline_errors_total", "image"): 2,
        ("foveal_pipeline_errors_total", "model"): 1,
        ("foveal_pipeline_image_seconds", "0.5"): 2,
        ("foveal_pipeline_image_seconds", "0.9"): pytest.approx(2.8),
        ("foveal_pipeline_image_seconds", "0.95"): pytest.approx(2.9),
        ("foveal_pipeline_image_seconds", "0.99"): pytest.approx(2.98),
        ("foveal_pipeline_image_seconds_sum",): 4,
        ("foveal_pipeline_image_seconds_count",): 2,
        ("foveal_pipeline_images_per_second",): 1,
    }
    assert families["foveal_pipeline_image_seconds"].type == "summary"
    assert {one.labels["model"] for family in families.values() for one in family.samples} == {
        'parts "3"'
    }


def test_figures_before_the_first_image_are_text_too_and_taken_labels_are_refused():
    figures = Metrics().snapshot()
    assert "foveal_pipeline_images_total 0.0" in figures.to_prometheus()
    assert "quantile=" not in figures.to_prometheus()
    with pytest.raises(ConfigError, match="found cause"):
        figures.to_prometheus(cause="x")


def test_nothing_is_lost_between_threads():
    metrics = Metrics()

    def work():
        for _ in range(500):
            metrics.record(started=0, finished=1, latencies_ms=[1], errors={"model": 1})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (metrics.snapshot().processed, metrics.snapshot().errors) == (2000, 2000)
