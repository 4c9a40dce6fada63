"""Switches against the telemetry of every dependency, set before it is imported."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SWITCHES = {
    "DO_NOT_TRACK": "true",
    "SCARF_NO_ANALYTICS": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_OFFLINE": "true",
}
REPORTER = "openvino_telemetry"  # sends events for OpenVINO and NNCF, knows no switch, keeps an id in the home folder
_hiding = threading.RLock()


def switch_off() -> None:
    """Turn off telemetry, update checks and auto-install of all dependencies, in this process and its children.

    Every adapter calls this before it imports its library; calling it again costs nothing.
    """
    os.environ.update(SWITCHES)


@contextmanager
def reporter_hidden() -> Iterator[None]:
    """Import OpenVINO or NNCF inside this block: both fall back to a stub of their own, which sends nothing.

    What is imported while it is hidden keeps its stub; afterwards the reporter can be imported as before.
    """
    with _hiding:
        shown = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == REPORTER}
        sys.modules[REPORTER] = None  # type: ignore[assignment]
        try:
            yield
        finally:
            del sys.modules[REPORTER]
            sys.modules.update(shown)
