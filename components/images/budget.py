"""A bound on what many threads hold in memory together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Budget:
    """Weighted semaphore: a large request waits for its turn and is not overtaken by small ones."""

    def __init__(self) -> None:
        self._held, self._turn = 0, threading.Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def hold(self, weight: int, capacity: int) -> Iterator[None]:
        """Hold a part for the block, after waiting for it.

        Arguments:
            weight: the part; more than the capacity counts as all of it.
            capacity: what all holders may have together.
        """
        weight, ticket = min(weight, capacity), object()
        with self._turn:
            self._waiting.append(ticket)
            try:
                self._turn.wait_for(
                    lambda: self._waiting[0] is ticket and self._held + weight <= capacity
                )
                self._held += weight
            finally:
                self._waiting.remove(ticket)
                self._turn.notify_all()
        try:
            yield
        finally:
            with self._turn:
                self._held -= weight
                self._turn.notify_all()
