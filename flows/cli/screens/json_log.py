"""Structured log of a command: one JSON object a line on standard error, for `--log-json`."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from components.credentials import redact

_state = {"on": False}
_HANDLER = "PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS"


def switch_on() -> None:
    """Have this process write its log as JSON from now on."""
    _state["on"] = True


def is_on() -> bool:
    """Tell whether the log of this process is JSON."""
    return _state["on"]


def prefect_settings() -> dict[str, str]:
    """Return the variables with which Prefect, once it is imported, logs likewise."""
    return {_HANDLER: f"{JsonHandler.__module__}.{JsonHandler.__name__}"}


def emit(level: str, event: str, **fields: object) -> None:
    """Write an event as one line; secrets of URLs are left out.

    Arguments:
        level: debug, info, warning or error.
        event: its name, such as ``"note"``.
        fields: what is known of it; values that JSON does not know are written as text.
    """
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    known = {name: _clean(value) for name, value in fields.items() if value is not None}
    line = json.dumps({"time": moment, "level": level, "event": event, **known}, default=str)
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _clean(value: object) -> object:
    if isinstance(value, bool | int | float):
        return value
    return redact(str(value))


class JsonHandler(logging.Handler):
    """Writes log records as events; it takes, and passes over, what Prefect gives its console."""

    def __init__(self, *, level: int | str = logging.NOTSET, **_: object) -> None:
        super().__init__(level)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, with its traceback where it has one."""
        try:
            details = record.exc_info and logging.Formatter().formatException(record.exc_info)
            emit(
                record.levelname.lower(),
                "log",
                logger=record.name,
                message=record.getMessage(),
                traceback=details or None,
            )
        except Exception:
            self.handleError(record)
