"""Switches against the telemetry of every dependency, set before it is imported."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

from components.errors import UnavailableError

SWITCHES = {
    "DO_NOT_TRACK": "true",
    "SCARF_NO_ANALYTICS": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_OFFLINE": "true",
}
# sends events for OpenVINO and NNCF, knows no switch, keeps an id in the home folder
REPORTER = "openvino_telemetry"
_hiding = threading.RLock()


def switch_off() -> None:
    """Turn off all dependencies' telemetry, update checks and auto-install, in child processes too.

    Every adapter calls this before it imports its library; calling it again costs nothing.
    """
    os.environ.update(SWITCHES)


@contextmanager
def reporter_hidden() -> Iterator[None]:
    """Let OpenVINO and NNCF, imported in this block, fall back to a stub that sends nothing.

    What is imported while it is hidden keeps its stub; afterwards the reporter can be imported as
    before.
    """
    with _hiding:
        shown = {
            name: sys.modules.pop(name)
            for name in list(sys.modules)
            if name.partition(".")[0] == REPORTER
        }
        sys.modules[REPORTER] = None  # type: ignore[assignment]
        try:
            yield
        finally:
            del sys.modules[REPORTER]
            sys.modules.update(shown)


def import_library(module: str, name: str, hint: str) -> ModuleType:
    """Import a library with all telemetry off, that of OpenVINO and NNCF included.

    Arguments:
        module: what to import.
        name: of the library, and what it is for, for the error.
        hint: how to install it.

    Raises:
        UnavailableError: it is not installed, or does not work here.
    """
    switch_off()
    try:
        with reporter_hidden():
            return import_module(module)
    except ImportError as error:
        raise UnavailableError(name, found=" ".join(str(error).split()), hint=hint) from error
