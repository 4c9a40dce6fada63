"""Progress of long work: components call back, and listeners (progress bars, benchmarks) are told.

Notes for people go the same way.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

Listener = Callable[[str, int, int], None]
Timer = Callable[[str, float], None]
Reader = Callable[[str], None]
Answer = Callable[[str], bool | None]
T = TypeVar("T")

_listeners: list[Listener] = []
_readers: list[Reader] = []
_answers: list[Answer] = []
_timers: list[Timer] = []


@contextlib.contextmanager
def _among(those: list[T], one: T) -> Iterator[None]:
    those.append(one)
    try:
        yield
    finally:
        those.remove(one)


def listening(listener: Listener) -> AbstractContextManager[None]:
    """Have `listener(what, done, total)` called for all progress inside the block."""
    return _among(_listeners, listener)


def advance(what: str, done: int, total: int) -> None:
    """Tell all listeners of `done` of `total` units of `what`; a step begins with a total of 0."""
    for listener in tuple(_listeners):
        listener(what, done, total)


def reading(reader: Reader) -> AbstractContextManager[None]:
    """Have `reader(line)` called for every note inside the block."""
    return _among(_readers, reader)


def note(lines: Iterable[str], about: str = "") -> None:
    """Tell whoever reads, and the log of the flow that runs, what people should know.

    Arguments:
        lines: one for each matter.
        about: what they are about, put before each.
    """
    for line in lines:
        text = f"{about}: {line}" if about else line
        for reader in tuple(_readers):
            reader(text)
        if "prefect" in sys.modules:  # outside of flows it is not imported: that takes seconds
            _log(text)


def _log(text: str) -> None:
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    with contextlib.suppress(MissingContextError):
        get_run_logger().info("%s", text)


def answering(answer: Answer) -> AbstractContextManager[None]:
    """Have `answer(question)` called for what is asked inside the block."""
    return _among(_answers, answer)


def ask(question: str) -> bool | None:
    """Ask whoever watches for a yes or a no; None where nobody does."""
    return _answers[-1](question) if _answers else None


def timing(timer: Timer) -> AbstractContextManager[None]:
    """Have `timer(step, seconds)` called for the body of each step that ends inside the block."""
    return _among(_timers, timer)


@contextlib.contextmanager
def timed(step: str) -> Iterator[None]:
    """Tell all listeners that a step begins, all timers how long it took, however it ended."""
    started = time.perf_counter()
    advance(step, 0, 0)
    try:
        yield
    finally:
        for timer in tuple(_timers):
            timer(step, time.perf_counter() - started)
