"""Split tests: assignment of images to versions, and a pipeline in which each answers its share.

`SplitPipeline` here and `ShadowPipeline` have the face of `InferencePipeline`, so that code that
calls one need not know that a test is on.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Self

from components.datasets.classes import same_classes
from components.errors import ConfigError, IncompatibleError
from components.inference.metrics import Metrics
from components.inference.pipeline import InferencePipeline
from components.inference.predictor import About, ImageIds, Picture, Predictor, require_one_each
from components.inference.results import Metadata, PredictionResult


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
        return cls(
            **{field.name: getattr(result, field.name) for field in fields(PredictionResult)},
            arm=arm,
        )

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values, apart from what the caller put into `metadata`."""
        return {**super().to_dict(), "arm": self.arm.value}


def position(image_id: str, salt: str) -> float:
    """Hash an image name to a position in 0–1: the same on all machines, another for each salt."""
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


class ArmPair(Predictor[ArmResult]):
    """Base of both kinds of A/B test: two pipelines in the place of one."""

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

    def close(self) -> None:
        """Close both versions; twice is fine."""
        self._a.close()
        self._b.close()


class _Part(NamedTuple):
    """The images that one arm answers: their positions, and the arguments of its call."""

    rows: list[int]
    images: list[Picture]
    image_ids: list[str]
    metadata: list[Metadata]


class SplitPipeline(ArmPair):
    """Pipeline in which A and B answer a share of the images each, by the hash of the image's id.

    An id always goes to the same arm.

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

    def __init__(
        self,
        a: InferencePipeline,
        b: InferencePipeline,
        share: float = 0.5,
        *,
        salt: str = "foveal",
    ) -> None:
        super().__init__(a, b)
        if not 0 <= share <= 1:
            raise ConfigError("a share of B between 0 and 1", found=str(share))
        self.metrics = Metrics()
        self._share, self._salt = share, salt

    def predict_batch(
        self, images: Sequence[Picture], *, image_ids: ImageIds = None, metadata: About = None
    ) -> list[ArmResult]:
        """As `InferencePipeline.predict_batch`; every result says which arm answered.

        Raises:
            ConfigError: an image in memory has no id, or there are not as many ids or metadata as
                images.
        """
        started = time.perf_counter()
        parts = self._divide(images, image_ids, metadata)
        found = [
            self._pipeline(arm).predict_batch(
                part.images, image_ids=part.image_ids, metadata=part.metadata
            )
            for arm, part in parts.items()
        ]
        return self._joined(parts, found, started)

    async def apredict_batch(
        self, images: Sequence[Picture], *, image_ids: ImageIds = None, metadata: About = None
    ) -> list[ArmResult]:
        """`predict_batch` on threads, both arms at once, while the event loop goes on."""
        started = time.perf_counter()
        parts = self._divide(images, image_ids, metadata)
        calls = [
            self._pipeline(arm).apredict_batch(
                part.images, image_ids=part.image_ids, metadata=part.metadata
            )
            for arm, part in parts.items()
        ]
        return self._joined(parts, await asyncio.gather(*calls), started)

    def _pipeline(self, arm: Arm) -> InferencePipeline:
        return self._b if arm is Arm.B else self._a

    def _divide(
        self, images: Sequence[Picture], image_ids: ImageIds, metadata: About
    ) -> dict[Arm, _Part]:
        """Give each arm that has any its images."""
        ids = _named(images) if image_ids is None else image_ids
        about: Sequence[Metadata] = [{}] * len(images) if metadata is None else metadata
        require_one_each(images, image_ids=ids, metadata=about)
        parts: dict[Arm, _Part] = {}
        for row, (image, image_id, own) in enumerate(zip(images, ids, about, strict=True)):
            arm = assign_arm(image_id, share=self._share, salt=self._salt)
            part = parts.setdefault(arm, _Part([], [], [], []))
            part.rows.append(row)
            part.images.append(image)
            part.image_ids.append(image_id)
            part.metadata.append(own)
        return parts

    def _joined(
        self,
        parts: Mapping[Arm, _Part],
        found: Sequence[Sequence[PredictionResult]],
        started: float,
    ) -> list[ArmResult]:
        """All results in the order of the images, counted."""
        placed = {
            row: ArmResult.of(result, arm)
            for (arm, part), answers in zip(parts.items(), found, strict=True)
            for row, result in zip(part.rows, answers, strict=True)
        }
        results = [placed[row] for row in sorted(placed)]
        self.metrics.count(results, started=started)
        return results


def _named(images: Sequence[Picture]) -> list[str]:
    if any(not isinstance(image, Path | str) for image in images):
        raise ConfigError(
            "an image_id for each image in memory",
            found="none",
            hint="pass image_ids: they decide which arm answers",
        )
    return [str(image) for image in images]
