"""One process at a time works on a step; whoever waits for it takes its result."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from prefect.locking.protocol import LockManager

from flows.runtime.settings import Settings

_POLL_S = 0.2
_held: dict[str, tuple[str, int]] = {}  # key → holder and open file, in this process


class StepLock(LockManager):
    """Prefect's locks as locks of the kernel on files in the storage root: one that a killed process held is free.

    The lock of a step is a file beside its folder. Prefect's own file locks stay behind when a process is killed.
    """

    def acquire_lock(
        self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None
    ) -> bool:
        """Wait for the lock of a key and take it; False when it is not free in time."""
        if self.is_lock_holder(key, holder):
            return True
        path = _file(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if not _in_time(lambda: _taken(handle), acquire_timeout):
            os.close(handle)
            return False
        _held[key] = holder, handle
        return True

    async def aacquire_lock(
        self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None
    ) -> bool:
        """`acquire_lock`; our steps are not asynchronous."""
        return self.acquire_lock(key, holder, acquire_timeout, hold_timeout)

    def release_lock(self, key: str, holder: str) -> None:
        """Let go of a lock that this process holds."""
        if self.is_lock_holder(key, holder):
            os.close(_held.pop(key)[1])

    def is_locked(self, key: str) -> bool:
        """Tell whether anybody holds the lock now."""
        if key in _held:
            return True
        path = _file(key)
        if not path.exists():
            return False
        handle = os.open(path, os.O_RDWR)
        try:
            return not _taken(handle)
        finally:
            os.close(handle)

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Tell whether this holder, in this process, has the lock."""
        return key in _held and _held[key][0] == holder

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until nobody holds it; False when that takes too long."""
        return _in_time(lambda: not self.is_locked(key), timeout)

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """`wait_for_lock`; our steps are not asynchronous."""
        return self.wait_for_lock(key, timeout)


def _file(key: str) -> Path:
    return Settings.from_environment().steps / f".{Path(key).name}.step"


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _in_time(happened: Callable[[], bool], timeout: float | None) -> bool:
    until = None if timeout is None else time.monotonic() + timeout
    while not happened():
        if until is not None and time.monotonic() >= until:
            return False
        time.sleep(_POLL_S)
    return True
