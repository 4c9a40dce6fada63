"""The machine and the versions that a number was measured with."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

_DISTRIBUTIONS = {  # backend → the distributions that may provide it
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt-cu13", "tensorrt"),
    "torch": ("torch",),
    "torchscript": ("torch",),
}


def describe_machine(backends: Iterable[str] = ()) -> dict[str, str]:
    """Processor, cores, memory, system and versions, all as text, and the date in UTC.

    Arguments:
        backends: whose versions are wanted; one that is not installed is left out.
    """
    import psutil

    described = {
        "cpu": _processor(),
        "cores": str(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
        "memory_gb": f"{psutil.virtual_memory().total / 1e9:.1f}",
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    for name in ("numpy", "opencv-python-headless"):
        described.update(_version(name, (name,)))
    for backend in backends:
        described.update(_version(backend, _DISTRIBUTIONS.get(backend, (backend,))))
    return described


def _version(name: str, distributions: Iterable[str]) -> dict[str, str]:
    for distribution in distributions:
        with suppress(metadata.PackageNotFoundError):
            return {name: metadata.version(distribution)}
    return {}


def _processor() -> str:
    """The processor's model; Linux tells it in a file, other systems through `platform`."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
