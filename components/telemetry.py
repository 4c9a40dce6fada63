"""Nothing phones home: the switches that every dependency reads, set before it is imported."""

from __future__ import annotations

import os

SWITCHES = {
    "DO_NOT_TRACK": "true",
    "SCARF_NO_ANALYTICS": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_OFFLINE": "true",
}


def switch_off() -> None:
    """Turn off telemetry, update checks and auto-install of all dependencies, in this process and its children.

    Every adapter calls this before it imports its library; calling it again costs nothing.
    """
    os.environ.update(SWITCHES)
