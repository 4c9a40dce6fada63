"""Batches at scale: the time to plan a million images, and the memory that a hundred thousand take.

The images are those of a Parquet list, small files that exist. `python -m benchmarks.manifest
IMAGES PLANNED` measures with fewer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.figure import Figure, conclude

FEW, MANY, PLANNED = 1_000, 100_000, 1_000_000
FILES, SIDE = 1_000, 32  # pictures, which the lists name again and again, and their size in pixels
MEMORY_BAR, SECONDS_BAR, LINEAR_BAR = 1.2, 60.0, 1.5
STEPS = 10  # the list whose planning is compared with that of the whole is so many times shorter


@dataclass(frozen=True)
class Planning:
    """Time that a process took to plan a run, before its first image is read."""

    images: int
    seconds: float
    processor_s: float

    @property
    def processor_us(self) -> float:
        """Processor time of one image, in microseconds."""
        return self.processor_s / self.images * 1e6


def write_pictures(folder: Path) -> None:
    """Write the small pictures, each of another content."""
    import cv2
    import numpy as np

    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(FILES):
        picture = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number:04d}.png"), picture)


def write_list(folder: Path, images: int) -> Path:
    """Write a list of so many images, with a column of its own, as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = range(images)
    table = pa.table(
        {
            "path": [f"pictures/{number % FILES:04d}.png" for number in numbers],
            "image_id": [f"{number:08d}" for number in numbers],
            "site": pa.array((number % 7 for number in numbers), pa.int8()),
        }
    )
    pq.write_table(table, path := folder / f"{images}.parquet")
    return path


def write_model(path: Path) -> None:
    """Write a classifier of the brightest channel, the smallest model that there is."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    from components.backends import save_onnx
    from components.contracts import Fit, VisionSpec

    spec = VisionSpec("classify", ("blue", "green", "red"), (SIDE, SIDE), Fit.STRETCH, "logits")
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels", "axes"], ["output"], keepdims=0),
        ],
        "brightest",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(np.array([1, 2], np.int64), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    save_onnx(model, path, spec, ())


def prepare(folder: Path, *sizes: int) -> None:
    """Write pictures, the model and the lists."""
    write_pictures(folder / "pictures")
    write_model(folder / "model.onnx")
    for images in sizes:
        write_list(folder, images)


def run(folder: Path, images: int) -> None:
    """Predict a list, as `foveal predict` does, and print how many images have a prediction."""
    from components.backends import describe_onnx
    from components.contracts import Variant
    from components.images.lists.image_table import list_with_columns
    from components.inference import BatchSettings, run_batch

    sources = list_with_columns(folder / f"{images}.parquet")
    model = Variant("brightest/1", describe_onnx(folder / "model.onnx"), "onnxruntime")
    done = run_batch(
        sources,
        model,
        folder / f"{images}-run",
        settings=BatchSettings(threads=1, decode_threads=2),
    )
    sys.stdout.write(f"{done.processed}\n")


def plan(folder: Path, images: int) -> None:
    """Plan a list, and print the seconds and the processor time that it took."""
    from components.backends import describe_onnx
    from components.images.lists.image_table import list_with_columns
    from components.inference.batch.planning import check_ids, run_key
    from components.inference.batch.settings import BatchSettings
    from components.inference.batch.shards import plan_shards

    spec = describe_onnx(folder / "model.onnx").spec
    started, processor = time.perf_counter(), time.process_time()
    sources = list_with_columns(folder / f"{images}.parquet")
    check_ids(sources)
    run_key({}, spec, sources)
    plan_shards(len(sources), BatchSettings().shard_size(len(sources)))
    spent = time.perf_counter() - started, time.process_time() - processor
    sys.stdout.write(json.dumps(spent) + "\n")


def child(what: Callable[..., None], folder: Path, *sizes: int) -> tuple[str, float]:
    """Do something in a process of its own.

    Returns:
        What it printed, and its largest resident memory in MB.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, "-m", "benchmarks.manifest", what.__name__, str(folder)]
    folder.mkdir(exist_ok=True)
    with (folder / "printed.txt").open("w+") as printed:
        process = subprocess.Popen([*command, *map(str, sizes)], stdout=printed)  # noqa: S603
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        text = printed.read()
    if process.returncode:
        raise RuntimeError(f"{what.__name__} of {sizes} ended with {process.returncode}")
    return text, used.ru_maxrss / 1024


def planning(folder: Path, images: int) -> Planning:
    """Plan a list in a process of its own."""
    return Planning(images, *json.loads(child(plan, folder, images)[0]))


def measure(many: int = MANY, planned: int = PLANNED) -> Figure:
    """Run over few and many images, and plan a tenth of a million and a million."""
    from benchmarks.subject import scratch

    with scratch() as name:
        folder = Path(name)
        child(prepare, folder, FEW, many, planned // STEPS, planned)
        runs = [child(run, folder, images) for images in (FEW, many)]
        tenth, whole = (planning(folder, images) for images in (planned // STEPS, planned))
    processed, memory = zip(*runs, strict=True)
    times, grown = memory[1] / memory[0], whole.processor_us / tenth.processor_us
    complete = [int(text) for text in processed] == [FEW, many]
    text = (
        f"{times:.2f} × the memory for {many:,} images as for {FEW:,}; {planned:,} planned in "
        f"{whole.seconds:.1f} s, {grown:.2f} × the time an image as for {tenth.images:,}"
    )
    details = (
        f"peak memory {memory[0]:.0f} MB for {FEW:,} images, {memory[1]:.0f} MB for {many:,}",
        *(
            f"{one.images:,} planned in {one.seconds:.1f} s, {one.processor_us:.1f} µs of "
            "processor time an image"
            for one in (tenth, whole)
        ),
    )
    bar = f"≤ {MEMORY_BAR:g} ×, < {SECONDS_BAR:g} s, ≤ {LINEAR_BAR:g} ×"
    ok = times <= MEMORY_BAR and whole.seconds < SECONDS_BAR and grown <= LINEAR_BAR
    return Figure("manifest", text, bar, complete and ok, details)


CHILDREN: dict[str, Callable[..., None]] = {"prepare": prepare, "run": run, "plan": plan}

if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in CHILDREN:
        CHILDREN[sys.argv[1]](Path(sys.argv[2]), *map(int, sys.argv[3:]))
    else:
        conclude(partial(measure, *map(int, sys.argv[1:])))
