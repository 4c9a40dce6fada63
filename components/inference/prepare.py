"""Preparation of images ahead of the engine: in order, on several threads, only a few at a time."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from components.daemons import DaemonPool
from components.errors import FovealError, OutageError, UnavailableError
from components.images.bounded import holding
from components.images.places import Places, place_of
from components.images.reading import check_head, decoding
from components.images.sources import ImageSource
from components.images.statistics import image_statistics
from components.inference.engine import Fitted
from components.vision import VisionTask

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Prepared:
    """An image ready for the engine, or the reason why it is not; its picture is already let go.

    Arguments:
        source: which image.
        file_bytes: size of the file; None when it could not be read at all.
        sha256: of the file's bytes.
        fitted: the model's input and how the image was fitted into it; None when `error` says why
            not.
        statistics: of the picture, one value for each column of the statistics recipe.
        decode_ms: reading and decoding.
        preprocess_ms: fitting.
        error: empty when all went well.
        unreachable: the place that does not answer, if that is why; see `components.images.places`.
    """

    source: ImageSource
    file_bytes: int | None = None
    sha256: str | None = None
    fitted: Fitted | None = None
    statistics: Mapping[str, float] = field(default_factory=dict)
    decode_ms: float | None = None
    preprocess_ms: float | None = None
    error: str = ""
    unreachable: str = ""


class Inputs(Protocol):
    """Pre-processed images that are kept from run to run, by the sha256 of their files."""

    def get(self, sha256: str) -> tuple[Fitted, Mapping[str, float]] | None:
        """Return the model's input and the statistics; None where they are not kept."""

    def put(self, sha256: str, fitted: Fitted, statistics: Mapping[str, float]) -> None:
        """Keep them."""


def prepare(
    source: ImageSource, task: VisionTask, places: Places, inputs: Inputs | None = None
) -> Prepared:
    """Read, decode, measure and fit one image.

    Arguments:
        source: which image.
        task: whose input it is fitted to.
        places: knows which hosts and mounts answer, and whether the run goes on without them.
        inputs: are taken where they are kept, and kept; None makes each anew.

    Returns:
        An image that cannot be read comes back with `error` set.

    Raises:
        OutageError: a place does not answer, and the run shall not go on without it.
        UnavailableError: a package is missing that reading needs: that is no image's fault.
    """
    started = time.perf_counter()
    with ExitStack() as opened:
        try:
            with places.asking(source.uri):
                data = opened.enter_context(holding(source.uri, check_head))
        except OutageError as error:
            if not places.excuses(source.uri):
                raise
            return Prepared(source, error=str(error), unreachable=place_of(source.uri))
        except UnavailableError:
            raise
        except FovealError as error:
            return Prepared(source, error=str(error))
        if inputs is None:
            return _fitted(source, data, task, started)
        kept = inputs.get(digest := hashlib.sha256(data).hexdigest())
        if kept is not None:
            spent_ms = (time.perf_counter() - started) * 1e3
            return Prepared(source, len(data), digest, *kept, spent_ms, 0.0)
        made = _fitted(source, data, task, started)
        if made.fitted is not None:
            inputs.put(digest, made.fitted, made.statistics)
        return made


def _fitted(source: ImageSource, data: bytes, task: VisionTask, started: float) -> Prepared:
    digest = hashlib.sha256(data).hexdigest()
    try:
        with decoding(data) as image:
            decoded = time.perf_counter()
            fitted = task.preprocess(image)
            finished = time.perf_counter()
            statistics = image_statistics(image)
    except FovealError as error:
        return Prepared(source, len(data), digest, error=str(error))
    return Prepared(
        source,
        len(data),
        digest,
        fitted,
        statistics,
        (decoded - started) * 1e3,
        (finished - decoded) * 1e3,
    )


def ahead(
    function: Callable[[T], R], items: Iterable[T], *, threads: int, limit: int
) -> Generator[R]:
    """Yield ``function(item)`` for each item in order, by `threads` threads while the caller works.

    Arguments:
        function: runs on the threads; what it raises is raised at its item's turn.
        items: drawn only as needed.
        threads: how many items are worked on at once.
        limit: how many results may wait, so that memory does not grow with the number of items.
    """
    # so that a read which hangs keeps neither the caller nor the process
    pool = DaemonPool(threads)
    pending: deque[Future[R]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(partial(function, item)))
            if len(pending) > limit:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except Exception:
        # nothing is read any more when the caller hears
        wait([future for future in pending if not future.cancel()])
        raise
    finally:  # but whoever is interrupted waits for nothing
        for future in pending:
            future.cancel()
        pool.close()
