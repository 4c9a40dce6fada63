"""Measure all figures, or those named as arguments, in turn, and update docs/evidence.md."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

from components.benchmark.environment import describe_machine
from components.files import write_text

ORDER = (
    "accuracy",
    "parity",
    "nms",
    "speed",
    "demo",
    "classifier",
    "statistics",
    "alarms",
    "power",
    "store",
    "manifest",
    "report",
    "loop",
    "gates",
    "identical",
    "ab",
    "promotion",
    "rollback",
    "events",
    "automation",
    "servers",
    "overhead",
    "together",
    "chaos",
    "ui",
    "layout",
    "tests",
)
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
HEAD = """# Evidence

Written by `make bench`: every figure was measured by the command beside it, at the time and on the
machine named there. Times are ratios of interleaved rounds where they compare."""
EVIDENCE = Path(__file__).parents[1] / "docs" / "evidence.md"


def _versions() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def _sections(page: str) -> dict[str, str]:
    """Bench → its section of the page."""
    parts = ("\n" + page).split("\n## ")[1:]
    return {part.partition("\n")[0].strip(): part.strip() for part in parts}


def _section(name: str, output: str) -> str:
    machine = f"{describe_machine()['cpu']}, {os.cpu_count()} cores"
    when = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC"
    return f"{name}\n\n`make bench-{name}`, {when}, {machine}; {_versions()}\n\n```\n{output}\n```"


def _record(name: str, output: str) -> None:
    """Put the bench's section in its place and leave the others as they were measured."""
    page = EVIDENCE.read_text(encoding="utf-8") if EVIDENCE.exists() else ""
    sections = _sections(page) | {name: _section(name, output)}
    write_text(
        EVIDENCE, "\n\n## ".join([HEAD, *(sections[k] for k in ORDER if k in sections)]) + "\n"
    )


def main() -> None:
    """Run each bench in a process of its own; its section is written whatever falls short."""
    failed = []
    for name in sys.argv[1:] or ORDER:
        done = subprocess.run(  # noqa: S603 - our own modules
            [sys.executable, "-m", f"benchmarks.{name}"],
            capture_output=True,
            text=True,
            check=False,
        )
        output = (done.stdout or done.stderr).strip()
        sys.stdout.write(output + "\n")
        _record(name, output)
        if done.returncode:
            failed.append(name)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
