"""SIGINT, SIGTERM and SIGHUP end a command and its own Prefect server in order, within seconds."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from types import FrameType

from components.daemons import call_within

STOPPED = "stopped; finished steps are kept, the same command resumes"
# for the orderly way; whatever still runs then, such as a read that hangs, is abandoned
ORDERLY_S = 5.0
CHILDREN_S = 4.0  # to end what the process started, on a machine that is busy
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_ORDINARY = (signal.SIG_DFL, signal.default_int_handler)


class Ended(SystemExit):
    """A signal told the process to end; its exit code is that of a program killed by it."""


def end_in_order() -> None:
    """Have these signals raise `Ended` in the main thread; ignored ones, as under nohup, stay so.

    A main thread that is stuck in a call of the system hears nothing, and cleaning up may get
    stuck, too: another thread, which the interpreter tells of signals at once, ends the process
    after `ORDERLY_S`, and after `CHILDREN_S` more at the latest where its children hang, too.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) in _ORDINARY:
            signal.signal(number, _raise)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_insist, args=(reader,), daemon=True, name="foveal-ending").start()


@contextmanager
def taking_time() -> Iterator[None]:
    """Let the block end in its own time after a signal."""
    descriptor = signal.set_wakeup_fd(-1)
    try:
        yield
    finally:
        signal.set_wakeup_fd(descriptor)


def _raise(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
    raise Ended(128 + number)


def _insist(reader: int) -> None:
    while (number := os.read(reader, 1)[0]) not in _SIGNALS:
        pass
    deadline = time.monotonic() + ORDERLY_S
    with suppress(Exception):
        call_within(
            ORDERLY_S, lambda: import_module("flows.runtime.server")
        )  # for `_end_children`, while there is time
    time.sleep(max(0.0, deadline - time.monotonic()))
    with suppress(Exception):
        call_within(CHILDREN_S, _end_children)
    sys.stderr.write(f"error: {STOPPED}\n")
    sys.stderr.flush()
    os._exit(128 + number)


def _end_children() -> None:
    """Kill what this process started, but for a Prefect server that other commands use."""
    import psutil

    from flows.runtime.root_lock import users
    from flows.runtime.server import running_server
    from flows.runtime.settings import Settings

    home = Settings.from_environment().prefect_home
    server, mine = running_server(home), psutil.Process().children(recursive=True)
    if server and set(users(home)) - {os.getpid()}:
        mine = [child for child in mine if child not in {server, *server.children(recursive=True)}]
    if server in mine:
        (home / "server.json").unlink(missing_ok=True)
    for child in mine:
        with suppress(psutil.NoSuchProcess):
            child.kill()
