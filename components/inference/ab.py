"""Two versions in the place of one: both run and one answers (shadow), or each answers its share (split).

Both have the face of `InferencePipeline`, so that code that calls one need not know that a test is on.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from components.errors import ConfigError, FovealError, IncompatibleError
from components.images.sources import read_bytes
from components.inference.engine import describe
from components.inference.metrics import Metrics
from components.inference.pipeline import InferencePipeline, Picture
from components.inference.results import PredictionResult

RECENT = 1000
_LOG = logging.getLogger(__name__)


class Arm(StrEnum):
    """One of the two versions of a test."""

    A = "A"
    B = "B"


@dataclass(frozen=True, eq=False)
class ArmResult(PredictionResult):
    """A prediction that says which version it is from."""

    arm: Arm = Arm.A

    @classmethod
    def of(cls, result: PredictionResult, arm: Arm) -> Self:
        """A version's result, otherwise as it is."""
        return cls(**{field.name: getattr(result, field.name) for field in fields(PredictionResult)}, arm=arm)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, apart from what the caller put into `metadata`."""
        return {**super().to_dict(), "arm": self.arm.value}


@dataclass(frozen=True, eq=False)
class Shadowed:
    """One image that both versions saw: what was answered, and what B would have; B's `error` says why it would not."""

    a: ArmResult
    b: ArmResult


Record = Callable[[Shadowed], object]


def position(image_id: str, salt: str) -> float:
    """Where an image lies in 0–1 by the hash of its name: the same on every machine, and another with another salt."""
    digest = hashlib.sha256(f"{salt}\0{image_id}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:7], "big") / 2**56  # 56 bits: exact in a float, and below 1


def assign_arm(image_id: str, *, share: float, salt: str) -> Arm:
    """Which version answers an image.

    A larger share moves images from A to B, and none from B to A.

    Arguments:
        image_id: of the image.
        share: of the images that B answers, 0–1.
        salt: of the test, so that two tests divide images independently.
    """
    return Arm.B if position(image_id, salt) < share else Arm.A


class _Pair:
    """What both kinds of test have in common."""

    def __init__(self, a: InferencePipeline, b: InferencePipeline) -> None:
        if a.class_names != b.class_names:
            raise IncompatibleError(
                "two versions with the same class names, in one order",
                found=f"{', '.join(a.class_names[:5])} and {', '.join(b.class_names[:5])}",
                mend="test versions that were trained on the same classes",
            )
        self._a, self._b = a, b
        self.class_names = a.class_names
        self.arms: Mapping[Arm, Metrics] = {Arm.A: a.metrics, Arm.B: b.metrics}

    def predict_batch(
        self,
        images: Sequence[Picture],
        *,
        image_ids: Sequence[str] | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[ArmResult]:
        """As `InferencePipeline.predict_batch`; every result says which arm it is from."""
        raise NotImplementedError

    async def apredict_batch(
        self,
        images: Sequence[Picture],
        *,
        image_ids: Sequence[str] | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[ArmResult]:
        """`predict_batch` on threads, while the event loop goes on."""
        raise NotImplementedError

    def predict(
        self, image: Picture, *, image_id: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> ArmResult:
        """Predict one image, as `InferencePipeline.predict` does."""
        ids = None if image_id is None else [image_id]
        return self.predict_batch([image], image_ids=ids, metadata=[metadata or {}])[0]

    async def apredict(
        self, image: Picture, *, image_id: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> ArmResult:
        """`predict` on a thread, while the event loop goes on."""
        ids = None if image_id is None else [image_id]
        return (await self.apredict_batch([image], image_ids=ids, metadata=[metadata or {}]))[0]

    def close(self) -> None:
        """Close both versions; twice is fine."""
        self._a.close()
        self._b.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SplitPipeline(_Pair):
    """A and B answer a share of the images each, by the hash of the image's id; an id always goes to the same arm.

    Closing it closes both.

    Arguments:
        a: the version in production.
        b: the other one.
        share: of the images that B answers, 0–1.
        salt: of the test; another salt divides images anew.

    Raises:
        ConfigError: the share is not within 0–1.
        IncompatibleError: the class names differ.
    """

    def __init__(self, a: InferencePipeline, b: InferencePipeline, share: float = 0.5, *, salt: str = "foveal") -> None:
        super().__init__(a, b)
        if not 0 <= share <= 1:
            raise ConfigError("a share of B between 0 and 1", found=str(share))
        self.metrics = Metrics()
        self._share, self._salt = share, salt

    def predict_batch(
        self,
        images: Sequence[Picture],
        *,
        image_ids: Sequence[str] | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[ArmResult]:
        """As `InferencePipeline.predict_batch`; every result says which arm answered.

        Raises:
            ConfigError: an image in memory has no id, or there are not as many ids or metadata as images.
        """
        started = time.perf_counter()
        parts = self._divide(images, image_ids, metadata)
        answers = {arm: self._pipeline(arm).predict_batch(**part) for arm, (_, part) in parts.items()}
        return self._joined(len(images), parts, answers, started)

    async def apredict_batch(
        self,
        images: Sequence[Picture],
        *,
        image_ids: Sequence[str] | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[ArmResult]:
        """`predict_batch` on threads, both arms at once, while the event loop goes on."""
        started = time.perf_counter()
        parts = self._divide(images, image_ids, metadata)
        found = await asyncio.gather(*(self._pipeline(arm).apredict_batch(**part) for arm, (_, part) in parts.items()))
        return self._joined(len(images), parts, dict(zip(parts, found, strict=True)), started)

    def _pipeline(self, arm: Arm) -> InferencePipeline:
        return self._b if arm is Arm.B else self._a

    def _divide(
        self,
        images: Sequence[Picture],
        image_ids: Sequence[str] | None,
        metadata: Sequence[Mapping[str, Any]] | None,
    ) -> dict[Arm, tuple[list[int], dict[str, Any]]]:
        """For each arm that has any: the positions of its images, and the arguments of its call."""
        ids = _named(images) if image_ids is None else list(image_ids)
        about = [{}] * len(images) if metadata is None else list(metadata)
        for what, values in (("image_ids", ids), ("metadata", about)):
            if len(values) != len(images):
                raise ConfigError(f"{len(images)} {what} for as many images", found=str(len(values)))
        chosen = [assign_arm(image_id, share=self._share, salt=self._salt) for image_id in ids]
        parts = {}
        for arm in dict.fromkeys(chosen):
            rows = [row for row, one in enumerate(chosen) if one is arm]
            columns = {"images": images, "image_ids": ids, "metadata": about}
            parts[arm] = (rows, {name: [values[row] for row in rows] for name, values in columns.items()})
        return parts

    def _joined(
        self,
        count: int,
        parts: Mapping[Arm, tuple[list[int], dict[str, Any]]],
        answers: Mapping[Arm, list[PredictionResult]],
        started: float,
    ) -> list[ArmResult]:
        """All results in the order of the images, counted."""
        placed = {
            row: ArmResult.of(result, arm)
            for arm, (rows, _) in parts.items()
            for row, result in zip(rows, answers[arm], strict=True)
        }
        results = [placed[row] for row in range(count)]
        self.metrics.record(
            started=started,
            finished=time.perf_counter(),
            latencies_ms=[result.ms for result in results if result.ok],
            errors=sum(not result.ok for result in results),
        )
        return results


@dataclass(frozen=True, eq=False)
class _Errand:
    """What B is to do."""

    images: Sequence[Picture]
    answers: Sequence[ArmResult]


class ShadowPipeline(_Pair):
    """A answers; B sees the same images afterwards, on a thread of its own, and is recorded beside.

    Whatever B does, A's answers are A's: an error of B is a recorded failure, and where B falls behind, images are
    passed over and count as its errors. B does take processor time from A on the same machine. What B is given is held
    in memory, a copy of an image or the bytes of its file. Closing it closes both.

    Arguments:
        a: the version that answers.
        b: the version that is tried out.
        record: called on B's thread with each image that B was given; None keeps the latest 1,000 in `recent`.
        waiting: images that may wait for B; beyond, they are passed over.
        patience_s: how long closing waits for B to catch up; after that it is left as it is.

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
        self,
        images: Sequence[Picture],
        *,
        image_ids: Sequence[str] | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[ArmResult]:
        """As `InferencePipeline.predict_batch` of A."""
        answers = self._a.predict_batch(images, image_ids=image_ids, metadata=metadata)
        return self._answered(images, answers)

    async def apredict_batch(
        self,
        images: Sequence[Picture],
        *,
        image_ids: Sequence[str] | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
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
            self._b.close()
        else:
            _LOG.warning("B is still busy with %d images and is left open", self._pending)

    def _answered(self, images: Sequence[Picture], results: Sequence[PredictionResult]) -> list[ArmResult]:
        """Send B on its errand, if it has not fallen too far behind."""
        answers = [ArmResult.of(result, Arm.A) for result in results]
        with self._changed:
            wanted = self._open and bool(answers)
            sent = wanted and (not self._pending or self._pending + len(answers) <= self._most)
            if sent:
                self._pending += len(answers)
        if sent:
            self._errands.put(_Errand([_held(image) for image in images], answers))
        elif wanted:
            self._count_errors(len(answers))
        return answers

    def _run_errands(self) -> None:
        while (errand := self._errands.get()) is not None:
            self._run(errand)
            with self._changed:
                self._pending -= len(errand.answers)
                self._changed.notify_all()

    def _run(self, errand: _Errand) -> None:
        ids, about = [one.image_id for one in errand.answers], [one.metadata for one in errand.answers]
        try:
            results = self._b.predict_batch(errand.images, image_ids=ids, metadata=about)
        except Exception as error:  # B may be broken in any way, and none of them may reach A
            results = _failed(errand.answers, describe(error))
            self._count_errors(len(results))
        for answer, result in zip(errand.answers, results, strict=True):
            try:
                self._record(Shadowed(answer, ArmResult.of(result, Arm.B)))
            except Exception:  # a record that cannot be kept costs neither A's answer nor the next record
                _LOG.exception("the record of %s was not kept", answer.image_id)

    def _count_errors(self, images: int) -> None:
        now = time.perf_counter()
        self.arms[Arm.B].record(started=now, finished=now, latencies_ms=[], errors=images)


def _failed(answers: Sequence[ArmResult], error: str) -> list[PredictionResult]:
    return [PredictionResult(one.image_id, None, one.class_names, 0.0, one.metadata, error) for one in answers]


def _held(image: Picture) -> Picture:
    """An image that stays as it is, whatever the caller does with his array or file."""
    if isinstance(image, np.ndarray):
        return image.copy()
    if isinstance(image, bytes) or "://" in str(image):
        return image  # of a store: another way there and back would be A's time
    try:
        return read_bytes(str(image))
    except FovealError:
        return image  # B will find the same, and say so


def _named(images: Sequence[Picture]) -> list[str]:
    if any(not isinstance(image, Path | str) for image in images):
        raise ConfigError(
            "an image_id for each image in memory", found="none", mend="pass image_ids: they decide which arm answers"
        )
    return [str(image) for image in images]
