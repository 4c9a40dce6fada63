"""End a command whose Prefect server is gone: retries of its requests would take minutes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from components.errors import UnavailableError
from flows.cli.screens.console import failure
from flows.runtime.outages import RESUME
from flows.runtime.processes import answers, lives
from flows.runtime.server import HUNG_S, running_server

_LOOK_S = 2.0


@contextmanager
def ending_without(url: str, home: Path) -> Iterator[None]:
    """End this process with one line, inside the block, once a server of ours has ended or hangs.

    What is written is whole at any moment, so that the command can be run again.

    Arguments:
        url: of the server's API.
        home: of Prefect below the storage root; the process that it notes is the server, unless
            `foveal up` runs it.
    """
    stop, process = threading.Event(), running_server(home)
    thread = threading.Thread(
        target=_watch, args=(url, process, stop), name="prefect watch", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()


def _watch(url: str, process: psutil.Process | None, stop: threading.Event) -> None:
    answered = time.monotonic()
    while not stop.wait(_LOOK_S):
        if answers(f"{url}/health"):
            answered = time.monotonic()
            continue
        silent_s = time.monotonic() - answered
        ended = process is not None and not lives(process)
        if (ended or silent_s > HUNG_S) and not stop.is_set():
            found = "that it has ended" if ended else f"no answer from {url} for {silent_s:.0f} s"
            line = UnavailableError(
                "Prefect's server to answer until the end", found=found, hint=RESUME
            )
            failure(str(line))
            os._exit(1)
