"""The amount that a command says: results and errors alone, the usual, or details too."""

from __future__ import annotations

import logging
import os
import sys
from enum import IntEnum

from components.credentials import redact
from components.printing import printed
from flows.cli.screens import json_log

_OURS = ("components", "flows", "model_registry")
_PREFECT = {
    "PREFECT_LOGGING_LEVEL": "DEBUG",  # of the runs of flows and tasks
    "PREFECT_LOGGING_LOGGERS_PREFECT_LEVEL": "INFO",  # of Prefect's own talk with its server
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "DEBUG",
}


class Verbosity(IntEnum):
    """An amount of what is said."""

    QUIET = -1
    USUAL = 0
    VERBOSE = 1


_LEVELS = {Verbosity.QUIET: logging.ERROR, Verbosity.USUAL: logging.INFO}

_level = Verbosity.USUAL


def verbosity() -> Verbosity:
    """Tell how much this process says."""
    return _level


def say(level: Verbosity) -> None:
    """Have this process say as much from now on; details are the debug log, on standard error.

    Prefect, which reads its settings when it is imported, logs likewise.
    """
    global _level
    _level = level
    if level is Verbosity.VERBOSE:
        for name, value in _PREFECT.items():
            os.environ.setdefault(name, value)
    _set_handlers()


def log_as_json() -> None:
    """Have this process, and Prefect in it, write its log as one JSON object a line."""
    json_log.switch_on()
    os.environ.update(json_log.prefect_settings())
    logging.captureWarnings(True)
    _set_handlers()


def _set_handlers() -> None:
    """Give our loggers the one handler that verbosity and form ask for."""
    verbose = _level is Verbosity.VERBOSE
    if not verbose and not json_log.is_on():
        return
    handler: logging.Handler = json_log.JsonHandler()
    if not json_log.is_on():
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(
            _OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S")
        )
    for name in _OURS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.DEBUG if verbose else _LEVELS[_level])
        logger.handlers = [handler]
        logger.propagate = False  # Prefect's console would show it once more
    if json_log.is_on():
        logging.getLogger("py.warnings").handlers = [handler]


class _OneLine(logging.Formatter):
    """Writes a record without secrets, and without what would steer a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(printed, redact(super().format(record)).split("\n")))
