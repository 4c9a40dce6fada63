"""Measure every figure, or those named as arguments, one after another, and write docs/evidence.md."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

from components.benchmark.environment import describe_machine
from components.files import write_text

ORDER = ("accuracy", "parity", "speed", "demo", "classifier", "tests")
PACKAGES = (
    "torch",
    "ultralytics-opencv-headless",
    "onnxruntime-gpu",
    "onnxruntime",
    "openvino",
    "nncf",
    "mlflow",
    "prefect",
    "evidently",
)
EVIDENCE = Path(__file__).parents[1] / "docs" / "evidence.md"


def _versions() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def main() -> None:
    """Each bench in a process of its own; the page is written whatever falls short."""
    sections, failed = [], []
    for name in sys.argv[1:] or ORDER:
        done = subprocess.run(  # noqa: S603 - our own modules
            [sys.executable, "-m", f"benchmarks.{name}"], capture_output=True, text=True, check=False
        )
        output = (done.stdout or done.stderr).strip()
        sys.stdout.write(output + "\n")
        sections.append(f"## {name}\n\n`make bench-{name}`\n\n```\n{output}\n```\n")
        if done.returncode:
            failed.append(name)
    machine = describe_machine()
    head = (
        "# Evidence\n\nWritten by `make bench`: every figure was measured in that run, on the machine named here. "
        "Times are ratios of interleaved rounds where they compare.\n\n"
        f"- date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC\n"
        f"- machine: {machine['cpu']}, {os.cpu_count()} cores\n- versions: {_versions()}\n\n"
    )
    write_text(EVIDENCE, head + "\n".join(sections))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
