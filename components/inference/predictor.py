"""Interface of all pipelines: one image or many, at once or while an event loop goes on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt

from components.errors import ConfigError
from components.inference.results import Metadata, PredictionResult

Picture = npt.NDArray[np.uint8] | Path | str | bytes
ImageIds = Sequence[str] | None
About = Sequence[Metadata] | None

R = TypeVar("R", bound=PredictionResult)


class Predictor(ABC, Generic[R]):
    """A pipeline that predicts images. Close it, or use it as a context manager."""

    @abstractmethod
    def predict_batch(
        self, images: Sequence[Picture], *, image_ids: ImageIds = None, metadata: About = None
    ) -> list[R]:
        """Predict many images.

        Arguments:
            images: each (height, width, 3) uint8 BGR, or anything that `read_image` reads.
            image_ids: one each; None names them by their paths, those in memory by their position.
            metadata: one each, handed through.

        Returns:
            One result for each image, in order.

        Raises:
            ConfigError: there are not as many ids or metadata as images.
        """

    @abstractmethod
    async def apredict_batch(
        self, images: Sequence[Picture], *, image_ids: ImageIds = None, metadata: About = None
    ) -> list[R]:
        """`predict_batch` on a thread, while the event loop goes on."""

    def predict(
        self, image: Picture, *, image_id: str | None = None, metadata: Metadata | None = None
    ) -> R:
        """Predict one image.

        Arguments:
            image: see `predict_batch`.
            image_id: how the result names it; None is its path, or ``"0"`` for an image in memory.
            metadata: handed through to the result.
        """
        ids = None if image_id is None else [image_id]
        return self.predict_batch([image], image_ids=ids, metadata=[metadata or {}])[0]

    async def apredict(
        self, image: Picture, *, image_id: str | None = None, metadata: Metadata | None = None
    ) -> R:
        """`predict` on a thread, while the event loop goes on."""
        ids = None if image_id is None else [image_id]
        return (await self.apredict_batch([image], image_ids=ids, metadata=[metadata or {}]))[0]

    @abstractmethod
    def close(self) -> None:
        """Close the models; twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def require_one_each(images: Sequence[Picture], **columns: Sequence[object]) -> None:
    """Make sure that there is one value of each column for every image.

    Raises:
        ConfigError: there are more or fewer; names the column.
    """
    for what, values in columns.items():
        if len(values) != len(images):
            raise ConfigError(f"{len(images)} {what} for as many images", found=str(len(values)))
