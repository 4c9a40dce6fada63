"""The process that measures one variant: `python -m components.benchmark.worker DESCRIPTOR`.

One process runs one model file on one backend and nothing else, so that its memory is its own and
no other variant's threads, caches or allocator disturb it. It is spoken to over the connection with
that file descriptor, and ends when this is closed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from components.backends import get_backend
from components.benchmark.messages import (
    Failed,
    Measure,
    Message,
    Open,
    Opened,
    Predict,
    Predicted,
    Timings,
)
from components.contracts import Prediction
from components.errors import FovealError
from components.images.reading import read_image
from components.vision import TASKS, VisionTask, task_for
from components.vision.heads import HEADS

Image = npt.NDArray[np.uint8]

FIRST_WARM_UP = 10  # calls after opening: graph optimizations, memory pools, page faults
WARM_UP = 2  # calls at the start of each turn: another process had the caches
# decoded images in memory, so that they do not drown the model's own memory
MAX_IMAGE_BYTES = 64_000_000


class Bench:
    """One opened variant."""

    def __init__(self, order: Open) -> None:
        if order.threads:
            cv2.setNumThreads(order.threads)
        variant, artifact = order.variant, order.variant.artifact
        spec = artifact.spec
        TASKS[spec.task], HEADS[spec.head] = order.task, order.head
        self._task = task_for(spec, confidence=variant.confidence, iou=variant.iou)
        self._session = get_backend(variant.backend).open(
            artifact, device=order.device, threads=order.threads
        )
        self._images = _load_some(order.images)
        self._batch = [self._images[k % len(self._images)] for k in range(order.batch)]
        self._next = 0
        for _ in range(FIRST_WARM_UP):
            self._predict(self._task, self._turn())
        self._predict(self._task, self._batch)

    @property
    def images(self) -> int:
        """Number of images decoded in memory."""
        return len(self._images)

    def measure(self, calls: int, batches: int) -> Timings:
        """Time calls at batch 1, from decoded image to prediction, then calls at the full batch."""
        for _ in range(WARM_UP):
            self._predict(self._task, self._turn())
        calls_ms = tuple(self._timed(self._turn()) for _ in range(calls))
        return Timings(
            calls_ms, tuple(self._timed(self._batch) for _ in range(batches)), peak_rss_mb()
        )

    def predict(self, paths: Sequence[Path]) -> list[Prediction]:
        """Predict with the thresholds of evaluation, without masks."""
        task = self._task.evaluation_settings()
        predictions: list[Prediction] = []
        for start in range(0, len(paths), len(self._batch)):
            images = [read_image(path) for path in paths[start : start + len(self._batch)]]
            predictions += [found.without_masks() for found in self._predict(task, images)]
        return predictions

    def _turn(self) -> list[Image]:
        """The next image, in rotation."""
        self._next = (self._next + 1) % len(self._images)
        return [self._images[self._next]]

    def _timed(self, images: Sequence[Image]) -> float:
        start = time.perf_counter_ns()
        self._predict(self._task, images)
        return (time.perf_counter_ns() - start) / 1e6

    def _predict(self, task: VisionTask, images: Sequence[Image]) -> list[Prediction]:
        fitted = [task.preprocess(image) for image in images]
        outputs = self._session.run(np.stack([pixels for pixels, _ in fitted]))
        return task.postprocess(outputs, [frame for _, frame in fitted])


def _load_some(paths: Sequence[Path]) -> list[Image]:
    """The first images, as many as memory is set aside for, at least one."""
    images: list[Image] = []
    for path in paths:
        images.append(read_image(path))
        if sum(image.nbytes for image in images) > MAX_IMAGE_BYTES:
            break
    return images


def peak_rss_mb() -> float | None:
    """The largest resident memory that this process has had so far, in MB (10⁶ bytes).

    It is the whole process: the interpreter, the runtime's libraries, the model and a few decoded
    images. Linux tells it per program (VmHWM); `ru_maxrss` would include what the parent held when
    it started us.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def serve(connection: Connection[Message, Message]) -> None:
    """Answer requests until the parent closes the connection; a failure is an answer, too."""
    bench: Bench | None = None
    while (request := _next(connection)) is not None:
        try:
            if isinstance(request, Open):
                bench = Bench(request)
                connection.send(Opened(bench.images))
            elif isinstance(request, Measure) and bench:
                connection.send(bench.measure(request.calls, request.batches))
            elif isinstance(request, Predict) and bench:
                connection.send(Predicted(tuple(bench.predict(request.images))))
            else:
                connection.send(Failed(f"unexpected {type(request).__name__}"))
        except FovealError as error:
            connection.send(Failed(str(error)))
        except Exception as error:
            # whatever a runtime throws must reach the parent as this variant's error
            connection.send(Failed(f"{type(error).__name__}: {error}"))


def _next(connection: Connection[Message, Message]) -> Message | None:
    try:
        return connection.recv()
    except (EOFError, ConnectionResetError):  # the parent closed it or died
        return None


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
