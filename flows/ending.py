"""SIGTERM and SIGHUP end a command as Ctrl-C does: in order, with the Prefect server that it started."""

from __future__ import annotations

import signal
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Ended(SystemExit):
    """A signal told the process to end; its exit code is that of a program which the signal has killed."""


def end_in_order() -> None:
    """Have these signals raise `Ended` in the main thread; one that is ignored, as by nohup, stays so."""
    for number in _SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _raise)


def _raise(number: int, _: Any) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
    raise Ended(128 + number)
