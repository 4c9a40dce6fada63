"""What does orchestration cost: of a demo release, and for each of a thousand mapped shards?"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.figure import Figure, conclude
from benchmarks.subject import scratch
from components.contracts import ModelArtifact
from components.images.digits import write_classification_dataset, write_detection_dataset
from components.images.sources import ImageSource, list_images
from components.training import ClassifierTraining, train_classifier
from flows.server import prefect_api
from flows.settings import Settings

SHARE, PER_SHARD_MS, SHARDS = 0.10, 20.0, 1000
ROUNDS = 3  # of each way, in turns; the fastest of each counts, as others' work only adds


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _release(settings: Settings) -> tuple[float, Counter[str]]:
    """The demo's release from nothing: seconds of the flow, and of the body of each of its steps."""
    from flows.demo import COUNTS, data_folder, release_config
    from flows.pipeline import release
    from flows.progress import timing

    write_detection_dataset(data_folder(settings), counts=COUNTS)
    spent: Counter[str] = Counter()

    def note(step: str, seconds: float) -> None:
        spent[step] += seconds  # type: ignore[assignment]

    with timing(note):
        return _seconds(lambda: release(release_config(settings))), spent


def _mapped_ms() -> float:
    """What a step that is mapped over shards adds to each, against a loop over the same function."""
    from prefect import flow
    from prefect.futures import wait

    from flows.steps import step

    def work(number: int) -> int:
        return sum(range(number))

    shard = step("shard", cached=False)(work)

    @flow(name="a thousand shards")
    def mapped() -> None:
        wait(shard.map(list(range(SHARDS))))

    @flow(name="no shards")
    def plain() -> None:
        for number in range(SHARDS):
            work(number)

    pairs = [(_seconds(mapped), _seconds(plain)) for _ in range(ROUNDS)]
    return (min(one for one, _ in pairs) - min(other for _, other in pairs)) * 1000 / SHARDS


def _tiny_model(folder: Path) -> ModelArtifact:
    from components.optimize import open_model

    data = write_classification_dataset(folder / "crops", size=32)
    trained = train_classifier(data, folder / "trained", training=ClassifierTraining(image_size=32, epochs=1))
    return open_model(trained.checkpoint, workdir=folder / "model")


def _batch_ms(folder: Path) -> float:
    """What a shard of batch inference adds, one image in each, against one shard of them all."""
    from components.inference import run_batch

    artifact = _tiny_model(folder)
    (folder / "shots").mkdir()
    rng = np.random.default_rng(0)
    for number in range(SHARDS):
        cv2.imwrite(str(folder / "shots" / f"{number:04d}.png"), rng.integers(0, 255, (32, 32, 3), np.uint8))
    sources: tuple[ImageSource, ...] = list_images(folder / "shots")

    def run(size: int, number: int) -> float:
        return _seconds(
            lambda: run_batch(
                sources, artifact=artifact, backend="onnxruntime", model="tiny/1", batch=1, shard_images=size,
                output=folder / f"out-{size}-{number}",
            )
        )  # fmt: skip

    run(SHARDS, ROUNDS)  # the first pays for what is loaded
    pairs = [(run(1, number), run(SHARDS, number)) for number in range(ROUNDS)]
    return (min(one for one, _ in pairs) - min(other for _, other in pairs)) * 1000 / (SHARDS - 1)


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
            mapped = _mapped_ms()
        batch = _batch_ms(Path(name) / "batch")
    own = sum(spent.values())
    share, slowest = 1 - own / wall, max(mapped, batch)
    details = (
        f"flow {wall:.1f} s, bodies of its steps {own:.1f} s: "
        + ", ".join(f"{step} {seconds:.1f}" for step, seconds in spent.most_common()),
        "counted as overhead: hashing inputs, the cache, Prefect's engine and API calls, artifacts, copying results",
        f"not counted: starting the Prefect server, {starting:.1f} s, which a command does once",
        f"a mapped Prefect task adds {mapped:.1f} ms, a shard of batch inference {batch:.1f} ms; {SHARDS} each, "
        f"fastest of {ROUNDS}",
        f"load average {os.getloadavg()[0]:.1f}",
    )
    text = f"{100 * share:.1f} % of a demo release, {slowest:.1f} ms a shard"
    bar = f"< {100 * SHARE:.0f} %, < {PER_SHARD_MS:.0f} ms"
    return Figure("overhead", text, bar, share < SHARE and slowest < PER_SHARD_MS, details)


if __name__ == "__main__":
    conclude(measure)
