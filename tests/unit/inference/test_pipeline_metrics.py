import threading

import pytest

from components.inference import Metrics


def test_before_the_first_image_there_are_no_times():
    figures = Metrics().snapshot()
    assert (figures.processed, figures.errors, figures.samples) == (0, 0, 0)
    assert figures.mean_ms is figures.p50_ms is figures.p95_ms is figures.throughput_per_s is None


def test_times_are_those_of_the_processed_images():
    metrics = Metrics()
    metrics.record(started=10.0, finished=10.5, latencies_ms=[1, 2, 3], errors=2)
    metrics.record(started=11.0, finished=12.0, latencies_ms=[6])
    figures = metrics.snapshot()
    assert (figures.processed, figures.errors, figures.samples) == (4, 2, 4)
    assert (figures.mean_ms, figures.p50_ms) == (3, 2.5)
    assert figures.p95_ms == pytest.approx(5.55)
    assert figures.throughput_per_s == 2  # 4 images from 10.0 s to 12.0 s


def test_counts_go_on_when_the_window_is_full():
    metrics = Metrics(window=3)
    for k in range(10):
        metrics.record(started=k, finished=k + 1, latencies_ms=[k])
    figures = metrics.snapshot()
    assert (figures.processed, figures.samples) == (10, 3)
    assert figures.mean_ms == 8
    assert figures.throughput_per_s == 1


def test_nothing_is_lost_between_threads():
    metrics = Metrics()

    def work():
        for _ in range(500):
            metrics.record(started=0, finished=1, latencies_ms=[1], errors=1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (metrics.snapshot().processed, metrics.snapshot().errors) == (2000, 2000)
