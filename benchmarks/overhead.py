"""Cost of orchestration: of a demo release, and for each of a thousand mapped shards."""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.figure import Figure, conclude
from benchmarks.subject import scratch
from components.contracts import ModelArtifact, Variant
from components.datasets.scenes import write_classification_dataset, write_detection_dataset
from components.images.sources import ImageSource, list_images
from components.inference.batch.settings import BatchSettings, Spread
from components.training import ClassifierTraining, train_classifier
from flows.runtime.server import prefect_api
from flows.runtime.settings import Settings

SHARE, PER_SHARD_MS, SHARDS = 0.10, 20.0, 1000
ROUNDS = 3  # of each way, in turns; the fastest of each counts, as others' work only adds


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _release(settings: Settings) -> tuple[float, Counter[str]]:
    """Release the demo from nothing; return the seconds of the flow and of each step's body."""
    from flows.config.demo import COUNTS, data_folder, release_config
    from flows.release import release
    from flows.reporting.progress import timing

    write_detection_dataset(data_folder(settings), counts=COUNTS)
    spent: Counter[str] = Counter()

    def note(step: str, seconds: float) -> None:
        spent[step] += seconds  # type: ignore[assignment]

    with timing(note):
        return _seconds(lambda: release(release_config(settings))), spent


def _tiny_model(folder: Path) -> ModelArtifact:
    from components.optimize import open_model

    data = write_classification_dataset(folder / "crops", size=32)
    trained = train_classifier(
        data, folder / "trained", training=ClassifierTraining(image_size=32, epochs=1)
    )
    return open_model(trained.checkpoint, workdir=folder / "model")


def _shards(folder: Path) -> dict[str, float]:
    """Measure what each shard of one image adds in ms, against one shard of all images.

    It is measured here and mapped on Dask.
    """
    from distributed import LocalCluster

    from components.inference import run_batch
    from flows.tasks.predict import on_cluster

    artifact = _tiny_model(folder)
    (folder / "shots").mkdir()
    rng = np.random.default_rng(0)
    for number in range(SHARDS):
        cv2.imwrite(
            str(folder / "shots" / f"{number:04d}.png"), rng.integers(0, 255, (32, 32, 3), np.uint8)
        )
    sources: tuple[ImageSource, ...] = list_images(folder / "shots")
    names = itertools.count()

    def run(size: int, spread: Spread | None) -> float:
        return _seconds(
            lambda: run_batch(
                sources,
                Variant("tiny/1", artifact, "onnxruntime"),
                folder / f"out-{next(names)}",
                settings=BatchSettings(
                    threads=1, batch=1, decode_threads=1, shard_images=size, spread=spread
                ),
            )
        )

    def added_ms(spread: Spread | None) -> float:
        run(SHARDS, spread)  # the first pays for what is loaded
        pairs = [(run(1, spread), run(SHARDS, spread)) for _ in range(ROUNDS)]
        return (
            (min(one for one, _ in pairs) - min(other for _, other in pairs)) * 1000 / (SHARDS - 1)
        )

    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            host="127.0.0.1",
        ) as cluster,
        on_cluster(cluster.scheduler_address) as spread,
    ):
        return {"in one process": added_ms(None), "mapped on a Dask cluster": added_ms(spread)}


def measure() -> Figure:
    """A release in an empty storage root, then shards without work of their own."""
    with scratch() as name:
        os.environ["FOVEAL_HOME"] = name
        for variable in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "FOVEAL_STORE"):
            os.environ.pop(variable, None)
        settings = Settings.from_environment()
        started = time.perf_counter()
        with prefect_api(settings):
            starting = time.perf_counter() - started
            wall, spent = _release(settings)
        added = _shards(Path(name) / "batch")
    own = sum(spent.values())
    share, slowest = 1 - own / wall, max(added.values())
    details = (
        f"flow {wall:.1f} s, bodies of its steps {own:.1f} s: "
        + ", ".join(f"{step} {seconds:.1f}" for step, seconds in spent.most_common()),
        "counted as overhead: hashing inputs, the cache, Prefect's engine and API calls, "
        "artifacts, copying results",
        f"not counted: starting the Prefect server, {starting:.1f} s, which a command does once",
        f"each of {SHARDS} shards of one image adds, against one shard of them all: "
        + ", ".join(f"{where} {ms:.1f} ms" for where, ms in added.items())
        + f"; fastest of {ROUNDS}; one worker, so that nothing is hidden by working at once",
        f"load average {os.getloadavg()[0]:.1f}",
    )
    text = f"{100 * share:.1f} % of a demo release, {slowest:.1f} ms a shard"
    bar = f"< {100 * SHARE:.0f} %, < {PER_SHARD_MS:.0f} ms"
    return Figure("overhead", text, bar, share < SHARE and slowest < PER_SHARD_MS, details)


if __name__ == "__main__":
    conclude(measure)
