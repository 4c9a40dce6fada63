"""Calls that can be given up, on threads that nobody waits for, not even the process's end.

A read from a network share that hangs cannot be interrupted. The threads of `concurrent.futures`
are joined when the interpreter ends, so one such read would keep the process for ever.

A call of a native engine that does not end, such as a model with an endless loop, keeps the process
longer: its libraries wait for their own threads. What such a call works on is held, and the process
leaves without its libraries' clean-up.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
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


_LOOK_S = 1.0

_pools: dict[int, DaemonPool] = {}  # by process: a fork has none of its parent's threads
_held: list[object] = []  # never destroyed: that would wait for the calls that were given up


def _submit(call: Callable[[], R]) -> Future[R]:
    return _pools.setdefault(os.getpid(), DaemonPool()).submit(call)


def call_within(seconds: float, call: Callable[[], R]) -> R:
    """Make a call and wait for it at most some seconds.

    A call that is given up goes on, its result unused.

    Raises:
        TimeoutError: it took longer.
    """
    future = _submit(call)
    try:
        return future.result(seconds)
    except TimeoutError:
        if future.done():
            raise  # its own
        raise TimeoutError(f"no answer within {seconds:g} s") from None


def call_engine(limit_s: float, call: Callable[[], R], steps: Callable[[], int] = int) -> R:
    """Make a call of a native library, and give it up after some seconds without a step.

    Looks are counted instead of seconds, so that the time in which the process was stopped is
    nobody's. A call that is given up goes on until the process ends, which does not wait for it.

    Arguments:
        limit_s: how many seconds it may take.
        call: the call.
        steps: how many steps the call has made; with each of them `limit_s` begins anew.

    Raises:
        TimeoutError: it took longer.
    """
    future, look_s = _submit(call), min(_LOOK_S, limit_s / 4)
    left_s, seen = limit_s, steps()
    try:
        while left_s > 0:
            wait([future], look_s)
            if future.done():
                return future.result()
            left_s -= look_s
            if (now := steps()) != seen:
                left_s, seen = limit_s, now
        raise TimeoutError(f"no answer within {limit_s:g} s")
    finally:
        if not future.done():  # also when a signal ended the waiting
            hold(future)


def hold(used: object) -> None:
    """Keep what a given-up call of an engine uses, and have the process end without waiting for it.

    The exit code is then 1, but for a program that ends by `leave`.
    """
    if not _held:
        atexit.register(leave, 1)
    _held.append(used)


def leave(code: int) -> None:
    """End the process at once with an exit code if a call of an engine was given up."""
    if _held:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # closed, or nobody reads it
                stream.flush()
        os._exit(code)
