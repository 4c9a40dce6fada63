"""How much a command says: results and errors alone, the usual, or details too."""

from __future__ import annotations

import logging
import os
import sys
from enum import IntEnum

from components.credentials import redact
from components.printing import printed

_OURS = ("components", "flows", "model_registry")
_PREFECT = ("PREFECT_LOGGING_LEVEL", "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL")


class Loudness(IntEnum):
    """How much is said."""

    QUIET = -1
    USUAL = 0
    VERBOSE = 1


_level = Loudness.USUAL


def loudness() -> Loudness:
    """How much this process says."""
    return _level


def say(level: Loudness) -> None:
    """Have this process say as much from now on; details are the log at debug level, on standard error.

    Prefect, which reads its settings when it is imported, logs likewise.
    """
    global _level
    _level = level
    if level is Loudness.VERBOSE:
        for name in _PREFECT:
            os.environ.setdefault(name, "DEBUG")
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
        for name in _OURS:
            logging.getLogger(name).setLevel(logging.DEBUG)
            logging.getLogger(name).addHandler(handler)


class _OneLine(logging.Formatter):
    """Writes a record without secrets, and without what would steer a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(printed, redact(super().format(record)).split("\n")))
