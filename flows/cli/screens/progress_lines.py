"""Progress as lines, for logs and pipes: what is being done, every few seconds, whether it is new or not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FIRST_S = 5.0  # what is shorter says nothing
MAX_PAUSE_S = 30.0  # between two lines that say the same


class Lines:
    """Tells of work as it goes on: at once what is new, and again and again, ever more seldom, what is not.

    Arguments:
        write: takes a line.
        first_s: seconds to the first line, and the least between two.
        clock: in seconds.
    """

    def __init__(
        self, write: Callable[[str], None], *, first_s: float = FIRST_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._first_s, self._clock = write, first_s, clock
        self._lock = threading.Lock()
        self._phase = self._doing = self._said = ""
        self._begun, self._pause = clock(), first_s
        self._due = self._begun + first_s

    def phase(self, what: str) -> None:
        """Name what is going on."""
        with self._lock:
            self._phase, self._doing = what, ""

    def advance(self, what: str, done: int, total: int) -> None:
        """Take note that `done` of `total` units of `what` are finished; a step that begins has a total of 0."""
        with self._lock:
            self._doing = f"{what}, {done} of {total}" if total else what

    def tick(self) -> None:
        """Write a line if one is due."""
        with self._lock:
            now = self._clock()
            said = ": ".join(filter(None, (self._phase, self._doing)))
            if now < self._due or not said:
                return
            self._pause = self._first_s if said != self._said else min(2 * self._pause, MAX_PAUSE_S)
            self._said, self._due = said, now + self._pause
            seconds = int(now - self._begun)
            self._write(f"{seconds // 60}:{seconds % 60:02d} {said}")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write the lines that are due from a thread of its own, as long as the block lasts."""
        ended = threading.Event()

        def keep_on() -> None:
            while not ended.wait(1.0):
                self.tick()

        thread = threading.Thread(target=keep_on, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
