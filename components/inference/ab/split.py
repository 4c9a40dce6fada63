"""Split tests: the assignment of images to versions, and a pipeline in which each answers its share.

`SplitPipeline` here and `ShadowPipeline` have the face of `InferencePipeline`, so that code that calls one need not
know that a test is on.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from components.datasets.classes import same_classes
from components.errors import ConfigError, IncompatibleError
from components.inference.metrics import Metrics
from components.inference.pipeline import InferencePipeline, Picture, require_one_each
from components.inference.results import PredictionResult


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


def position(image_id: str, salt: str) -> float:
    """Hash an image's name to a position in 0–1: the same on every machine, and another with another salt."""
    digest = hashlib.sha256(f"{salt}\0{image_id}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:7], "big") / 2**56  # 56 bits: exact in a float, and below 1


def assign_arm(image_id: str, *, share: float, salt: str) -> Arm:
    """Return the version that answers an image.

    A larger share moves images from A to B, and none from B to A.

    Arguments:
        image_id: of the image.
        share: of the images that B answers, 0–1.
        salt: of the test, so that two tests divide images independently.
    """
    return Arm.B if position(image_id, salt) < share else Arm.A


class ArmPair:
    """Base of both kinds of A/B test: the interface of `InferencePipeline`, over two of them."""

    def __init__(self, a: InferencePipeline, b: InferencePipeline) -> None:
        if not same_classes(a.class_names, b.class_names):
            raise IncompatibleError(
                "two versions with the same class names",
                found=f"{', '.join(a.class_names[:5])} and {', '.join(b.class_names[:5])}",
                hint="test versions that were trained on the same classes",
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


class SplitPipeline(ArmPair):
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
        require_one_each(images, image_ids=ids, metadata=about)
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


def _named(images: Sequence[Picture]) -> list[str]:
    if any(not isinstance(image, Path | str) for image in images):
        raise ConfigError(
            "an image_id for each image in memory", found="none", hint="pass image_ids: they decide which arm answers"
        )
    return [str(image) for image in images]
