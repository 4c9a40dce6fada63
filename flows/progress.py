"""Progress of long work: components call back, whoever listens (the command's progress bars) is told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

Listener = Callable[[str, int, int], None]

_listeners: list[Listener] = []


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have `listener(what, done, total)` called for all progress inside the block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def advance(what: str, done: int, total: int) -> None:
    """Tell all listeners that `done` of `total` units of `what` are finished."""
    for listener in tuple(_listeners):
        listener(what, done, total)
