"""One process at a time works on a step; whoever waits for it takes its result."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout
from prefect.locking.protocol import LockManager

from flows.runtime.settings import Settings

_POLL_S = 0.2
_held: dict[str, tuple[str, FileLock]] = {}  # key → holder and lock, in this process


class StepLock(LockManager):
    """Prefect's locks as kernel locks on files in the storage root: a killed process's are free.

    The lock of a step is a file beside its folder. Prefect's own file locks stay behind when a
    process is killed.
    """

    def acquire_lock(
        self,
        key: str,
        holder: str,
        acquire_timeout: float | None = None,
        hold_timeout: float | None = None,
    ) -> bool:
        """Wait for the lock of a key and take it; False when it is not free in time."""
        if self.is_lock_holder(key, holder):
            return True
        lock = _lock(key, acquire_timeout)
        try:
            lock.acquire()
        except Timeout:
            return False
        _held[key] = holder, lock
        return True

    async def aacquire_lock(
        self,
        key: str,
        holder: str,
        acquire_timeout: float | None = None,
        hold_timeout: float | None = None,
    ) -> bool:
        """`acquire_lock`; our steps are not asynchronous."""
        return self.acquire_lock(key, holder, acquire_timeout, hold_timeout)

    def release_lock(self, key: str, holder: str) -> None:
        """Let go of a lock that this process holds."""
        if self.is_lock_holder(key, holder):
            _held.pop(key)[1].release()

    def is_locked(self, key: str) -> bool:
        """Tell whether anybody holds the lock now."""
        return not self.wait_for_lock(key, timeout=0)

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Tell whether this holder, in this process, has the lock."""
        return key in _held and _held[key][0] == holder

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until nobody holds it; False when that takes too long."""
        try:
            with _lock(key, timeout):
                return True
        except Timeout:
            return False

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """`wait_for_lock`; our steps are not asynchronous."""
        return self.wait_for_lock(key, timeout)


def _lock(key: str, timeout: float | None) -> FileLock:
    path = Settings.from_environment().steps / f".{Path(key).name}.step"
    seconds = -1 if timeout is None else timeout
    return FileLock(path, seconds, thread_local=False, poll_interval=_POLL_S)
