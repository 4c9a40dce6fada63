"""Calls that can be given up, on threads that nobody waits for, not even the process's end.

A read from a network share that hangs cannot be interrupted. The threads of `concurrent.futures`
are joined when the interpreter ends, so one such read would keep the process for ever.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

R = TypeVar("R")


class DaemonPool:
    """Runs calls on daemon threads, which are started as needed and kept.

    Arguments:
        threads: how many run at once; None is as many as there are calls.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._limit, self._count, self._lock = threads, 0, threading.Lock()
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)

    def submit(self, call: Callable[[], R]) -> Future[R]:
        """Have a call made; the future gives its result or what it raised."""
        future: Future[R] = Future()
        self._calls.put((future, call))
        if not self._idle.acquire(blocking=False):
            with self._lock:
                if self._limit is None or self._count < self._limit:
                    self._count += 1
                    threading.Thread(target=self._work, daemon=True, name="foveal-daemon").start()
        return future

    def close(self) -> None:
        """Let the threads end after what they do now, without waiting for them."""
        for _ in range(self._count):
            self._calls.put(None)

    def _work(self) -> None:
        while (given := self._calls.get()) is not None:
            future, call = given
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:
                    future.set_exception(error)
            del given, future, call  # what they hold is not kept until the next call
            self._idle.release()


_pools: dict[int, DaemonPool] = {}  # by process: a fork has none of its parent's threads


def call_within(seconds: float, call: Callable[[], R]) -> R:
    """Make a call and wait for it at most some seconds.

    A call that is given up goes on, its result unused.

    Raises:
        TimeoutError: it took longer.
    """
    future = _pools.setdefault(os.getpid(), DaemonPool()).submit(call)
    try:
        return future.result(seconds)
    except TimeoutError:
        if future.done():
            raise  # its own
        raise TimeoutError(f"no answer within {seconds:g} s") from None
