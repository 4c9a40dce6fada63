"""Reads and fits images ahead of the engine: in order, on several threads, never more than a few at a time."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from components.errors import FovealError, UnavailableError
from components.images.reading import read_image
from components.images.sources import ImageSource, read_bytes
from components.images.statistics import image_statistics
from components.inference.engine import Fitted
from components.vision import VisionTask

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Prepared:
    """An image that is ready for the engine, or the reason why it is not; the picture itself is already let go.

    Arguments:
        source: which image.
        file_bytes: size of the file; None when it could not be read at all.
        sha256: of the file's bytes.
        fitted: the model's input and how the image was fitted into it; None when `error` says why not.
        statistics: of the picture, one value for each column of the statistics recipe.
        decode_ms: reading and decoding.
        preprocess_ms: fitting.
        error: empty when all went well.
    """

    source: ImageSource
    file_bytes: int | None = None
    sha256: str | None = None
    fitted: Fitted | None = None
    statistics: Mapping[str, float] = field(default_factory=dict)
    decode_ms: float | None = None
    preprocess_ms: float | None = None
    error: str = ""


def prepare(source: ImageSource, task: VisionTask) -> Prepared:
    """Read, decode, measure and fit one image.

    Arguments:
        source: which image.
        task: whose input it is fitted to.

    Returns:
        An image that cannot be read comes back with `error` set.

    Raises:
        UnavailableError: a package is missing that reading needs: that is no image's fault.
    """
    started = time.perf_counter()
    try:
        data = read_bytes(source.uri)
    except UnavailableError:
        raise
    except FovealError as error:
        return Prepared(source, error=str(error))
    digest = hashlib.sha256(data).hexdigest()
    try:
        image = read_image(data)
        decoded = time.perf_counter()
        fitted = task.preprocess(image)
        finished = time.perf_counter()
        statistics = image_statistics(image)
    except FovealError as error:
        return Prepared(source, len(data), digest, error=str(error))
    return Prepared(
        source, len(data), digest, fitted, statistics, (decoded - started) * 1e3, (finished - decoded) * 1e3
    )


def ahead(function: Callable[[T], R], items: Iterable[T], *, threads: int, limit: int) -> Generator[R]:
    """Yield ``function(item)`` for each item in order, worked out by `threads` threads while the caller is busy.

    Arguments:
        function: runs on the threads; what it raises is raised at its item's turn.
        items: drawn only as needed.
        threads: how many items are worked on at once.
        limit: how many results may wait, so that memory does not grow with the number of items.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="foveal-prepare") as pool:
        pending: deque[Future[R]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > limit:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
