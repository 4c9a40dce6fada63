"""One run at a time on one output folder, on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from components.errors import ConfigError


@contextmanager
def exclusive(output: Path) -> Iterator[None]:
    """Hold `output` for this process; the kernel lets go of it however the process dies.

    The lock is a file beside the folder, as the folder itself is replaced when the run is finished.

    Raises:
        ConfigError: another run holds it.
    """
    if not output.name:
        raise ConfigError(
            "a folder to write to", found=f"{output}, the root of all", hint="give another output"
        )
    lock = FileLock(output.with_name(f".{output.name}.lock"), blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise ConfigError(
            "an output folder that no other run is writing to",
            found=f"{output}, which another run holds",
            hint="wait until it has ended, or write to another folder",
        ) from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
