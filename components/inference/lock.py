"""One run at a time on one output folder, on one machine."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.errors import ConfigError


@contextmanager
def exclusive(output: Path) -> Iterator[None]:
    """Hold `output` for this process; the kernel lets go of it when the process dies, however it dies.

    The lock is a file beside the folder, as the folder itself is replaced when the run is finished.

    Raises:
        ConfigError: another run holds it.
    """
    if not output.name:
        raise ConfigError("a folder to write to", found=f"{output}, the root of all", hint="give another output")
    path = output.with_name(f".{output.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _acquire(path, output)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _acquire(path: Path, output: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise ConfigError(
                "an output folder that no other run is writing to",
                found=f"{output}, which another run holds",
                hint="wait until it has ended, or write to another folder",
            ) from error
        if _is_current(handle, path):
            return handle
        os.close(handle)  # its holder removed the file between our open and our lock: ours is no longer the one


def _is_current(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
