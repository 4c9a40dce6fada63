"""Lock of a storage root: held by many commands, sharing a Prefect server, or by one `foveal up`.

Two Prefect servers over one database would schedule everything twice. So commands hold ``up.lock``
shared, and `foveal up` holds it alone, together with the guards of its services: as long as
anything of it lives, the root is taken, and a kill frees it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from components.errors import UnavailableError
from components.files import write_json
from flows.runtime.password import password
from flows.runtime.processes import describe
from flows.runtime.settings import make_private

_LEAVING_S = 60.0  # a `foveal up` that was killed is gone after its guards' grace
_TICK_S = 0.2


@dataclass(frozen=True)
class RunningUp:
    """Process and addresses of a running `foveal up`, for other commands to read.

    Arguments:
        pid: its process.
        prefect: address of Prefect's API.
        addresses: URL of each service that has one, by its name.
    """

    pid: int
    prefect: str
    addresses: dict[str, str]

    def password(self, home: Path) -> str | None:
        """Return its Prefect's password, if ours over a home; one the user named has its own."""
        return password(home) if "prefect" in self.addresses else None


def running_up(root: Path) -> RunningUp | None:
    """The claim of the `foveal up` that runs on a storage root now."""
    try:
        claim = RunningUp(**json.loads((root / "up.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    with sharing(root) as ours:  # a note without its lock is that of a dead one
        return claim if not ours and psutil.pid_exists(claim.pid) else None


@contextlib.contextmanager
def announcing_up(root: Path, prefect: str, addresses: dict[str, str]) -> Iterator[None]:
    """Let others know, inside the block, what this process serves."""
    write_json(root / "up.json", asdict(RunningUp(os.getpid(), prefect, addresses)))
    try:
        yield
    finally:
        (root / "up.json").unlink(missing_ok=True)


@contextlib.contextmanager
def sharing(root: Path) -> Iterator[bool]:
    """Hold the root as one of many commands; give False, unheld, when a `foveal up` has it."""
    with _lock(root, fcntl.LOCK_SH) as (_, held):
        yield held


@contextlib.contextmanager
def occupying(root: Path) -> Iterator[int]:
    """Hold the root alone; gives the lock's file descriptor, which children may keep.

    Raises:
        UnavailableError: a `foveal up` or a command has it.
    """
    deadline = time.monotonic() + _LEAVING_S
    while True:
        with _lock(root, fcntl.LOCK_EX) as (descriptor, held):
            if held:
                yield descriptor
                return
        _require_nobody(root)
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"a storage root of its own for foveal up, {root}",
                found=f"that another process holds {root / 'up.lock'}",
                hint="wait for it, or choose another --root",
            )
        time.sleep(_TICK_S)


def users(prefect_home: Path) -> list[int]:
    """List processes of commands using the embedded Prefect server; remove dead ones' notes."""
    alive = []
    for note in (prefect_home / "users").glob("*"):
        if psutil.pid_exists(int(note.name)):
            alive.append(int(note.name))
        else:
            note.unlink(missing_ok=True)
    return alive


def _require_nobody(root: Path) -> None:
    if claim := running_up(root):
        served = ", ".join(f"{name} {address}" for name, address in claim.addresses.items())
        raise UnavailableError(
            f"one foveal up for the storage root {root}",
            found=f"that {describe(claim.pid)} is up: {served}",
            hint="use that one, end it, or choose another --root",
        )
    if pids := users(root / "prefect"):
        raise UnavailableError(
            f"a storage root that no command is working on, {root}",
            found=", ".join(map(describe, pids)),
            hint="wait for it to end, or choose another --root",
        )


@contextlib.contextmanager
def _lock(root: Path, kind: int) -> Iterator[tuple[int, bool]]:
    make_private(root)
    with (root / "up.lock").open("a") as file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            yield file.fileno(), False
        else:
            yield file.fileno(), True
