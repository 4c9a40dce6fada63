"""Shadow tests: version A answers, version B predicts the same images and is only recorded."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from components.errors import ConfigError, FovealError
from components.images.bounded import read_bytes
from components.inference.ab.split import Arm, ArmPair, ArmResult
from components.inference.engine import describe
from components.inference.pipeline import InferencePipeline
from components.inference.predictor import About, ImageIds, Picture
from components.inference.results import Cause, PredictionResult

RECENT = 1000
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Shadowed:
    """An image that both versions saw: what was answered, and what B would have answered.

    B's `error` says why it would not.
    """

    a: ArmResult
    b: ArmResult


Record = Callable[[Shadowed], object]


@dataclass(frozen=True, eq=False)
class _Errand:
    """Images for version B to predict, with A's answers."""

    images: Sequence[Picture]
    answers: Sequence[ArmResult]


class ShadowPipeline(ArmPair):
    """A answers; B sees the same images afterwards, on a thread of its own, and is recorded beside.

    Whatever B does, A's answers are A's: an error of B is a recorded failure, and where B falls
    behind, images are passed over and count as its errors. B does take processor time from A on the
    same machine. What B is given is held in memory, a copy of an image or the bytes of its file.
    Closing it closes both.

    Arguments:
        a: the version that answers.
        b: the version that is tried out.
        record: called on B's thread with each image that B was given; None keeps the latest 1,000
            in `recent`.
        waiting: images that may wait for B; beyond, they are passed over.
        patience_s: how long closing waits for B to catch up; after that B is closed whenever it
            has.

    Raises:
        ConfigError: `waiting` is below 1.
        IncompatibleError: the class names differ.
    """

    def __init__(
        self,
        a: InferencePipeline,
        b: InferencePipeline,
        *,
        record: Record | None = None,
        waiting: int = 64,
        patience_s: float = 30.0,
    ) -> None:
        super().__init__(a, b)
        if waiting < 1:
            raise ConfigError("waiting of at least 1", found=str(waiting))
        self.metrics = a.metrics
        self.recent: deque[Shadowed] = deque(maxlen=RECENT)
        self._record: Record = record or self.recent.append
        self._most, self._patience_s = waiting, patience_s
        self._pending, self._open = 0, True
        self._changed = threading.Condition()
        self._errands: queue.SimpleQueue[_Errand | None] = queue.SimpleQueue()
        # Not of a pool: the interpreter waits for those at its end, however long B takes.
        self._thread = threading.Thread(target=self._run_errands, name="foveal-shadow", daemon=True)
        self._thread.start()

    def predict_batch(
        self, images: Sequence[Picture], *, image_ids: ImageIds = None, metadata: About = None
    ) -> list[ArmResult]:
        """As `InferencePipeline.predict_batch` of A."""
        answers = self._a.predict_batch(images, image_ids=image_ids, metadata=metadata)
        return self._answered(images, answers)

    async def apredict_batch(
        self, images: Sequence[Picture], *, image_ids: ImageIds = None, metadata: About = None
    ) -> list[ArmResult]:
        """`predict_batch` on a thread, while the event loop goes on."""
        answers = await self._a.apredict_batch(images, image_ids=image_ids, metadata=metadata)
        return await asyncio.to_thread(self._answered, images, answers)

    def wait(self, seconds: float) -> bool:
        """Wait until B has caught up; False if it has not within this time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._pending == 0, seconds)

    def close(self) -> None:
        """Wait for B, at most `patience_s`, and close both; twice is fine."""
        with self._changed:
            self._open = False
        caught_up = self.wait(self._patience_s)
        self._errands.put(None)
        self._a.close()
        if caught_up:
            self._thread.join()
        else:
            _LOG.warning(
                "B is still busy with %d images; it is closed when it has done them", self._pending
            )

    def _answered(
        self, images: Sequence[Picture], results: Sequence[PredictionResult]
    ) -> list[ArmResult]:
        """Queue the images for B, if it has not fallen too far behind."""
        answers = [ArmResult.of(result, Arm.A) for result in results]
        with self._changed:
            wanted = self._open and bool(answers)
            sent = wanted and (not self._pending or self._pending + len(answers) <= self._most)
            if sent:
                self._pending += len(answers)
        if sent:
            self._errands.put(_Errand([_held(image) for image in images], answers))
        elif wanted:
            self._count_errors(len(answers), Cause.OVERLOAD)
        return answers

    def _run_errands(self) -> None:
        while (errand := self._errands.get()) is not None:
            self._run(errand)
            with self._changed:
                self._pending -= len(errand.answers)
                self._changed.notify_all()
        self._b.close()

    def _run(self, errand: _Errand) -> None:
        ids, about = (
            [one.image_id for one in errand.answers],
            [one.metadata for one in errand.answers],
        )
        try:
            results = self._b.predict_batch(errand.images, image_ids=ids, metadata=about)
        except BaseException as error:  # B may be broken in any way, and none may end this thread
            results = _failed(errand.answers, describe(error))
            self._count_errors(len(results), Cause.MODEL)
        for answer, result in zip(errand.answers, results, strict=True):
            try:
                self._record(Shadowed(answer, ArmResult.of(result, Arm.B)))
            except Exception:
                # a record that cannot be kept costs neither A's answer nor the next record
                _LOG.exception("the record of %s was not kept", answer.image_id)

    def _count_errors(self, images: int, cause: Cause) -> None:
        now = time.perf_counter()
        self.arms[Arm.B].record(started=now, finished=now, latencies_ms=[], errors={cause: images})


def _failed(answers: Sequence[ArmResult], error: str) -> list[PredictionResult]:
    return [
        PredictionResult(
            one.image_id, None, one.class_names, 0.0, one.metadata, error, cause=Cause.MODEL
        )
        for one in answers
    ]


def _held(image: Picture) -> Picture:
    """An image that stays as it is, whatever the caller does with his array or file."""
    if isinstance(image, bytes) or (isinstance(image, str) and "://" in image):
        return image  # a URL: another way there and back would be A's time
    try:
        return image.copy() if isinstance(image, np.ndarray) else read_bytes(str(image))
    except (FovealError, MemoryError):
        return image  # what is wrong with it, B will find and say
