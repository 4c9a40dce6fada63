"""Layout of the source: sizes, parameters, questions of task and backend, time of the public face.

A second column has the same measures of the last commit before the packages were laid out, its code
formatted as ours is; it needs git's history. Docstrings and comments, which were up to 120 columns
wide then, count as the lines that they fill at 100 columns in both.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.figure import Figure, conclude
from benchmarks.source_measures import (
    FOLDER_FILES,
    PACKAGES,
    Measures,
    branches,
    measure_source,
    read_modules,
)

ROOT = Path(__file__).parents[1]
BEFORE = "044a9c0"  # the last commit before the layout
PARAMETERS, BRANCHES, ANY_PER_1000, IMPORT_MS = 6, 10, 10.0, 50.0
IMPORTS = 7  # fresh processes; the fastest counts, as others' work only adds
_IMPORT = (
    "import time; before = time.process_time(); import foveal; print(time.process_time() - before)"
)


@dataclass(frozen=True)
class Row:
    """A measure of the source.

    Arguments:
        name: of what is counted.
        now: today's value.
        before: the value of the commit before; None where it cannot be measured.
        bar: the bar in words; empty for a measure without one.
        ok: today's value reaches the bar.
    """

    name: str
    now: float
    before: float | None = None
    bar: str = ""
    ok: bool = True

    @property
    def text(self) -> str:
        """One line of the table."""
        before = "–" if self.before is None else figure(self.before)
        verdict = ("ok" if self.ok else "short") if self.bar else ""
        return (
            f"{self.name:<46} {figure(self.now):>8} {before:>8}  {self.bar:<8} {verdict}".rstrip()
        )


def figure(value: float) -> str:
    """Write a figure: whole numbers as they are, others with one digit after the point."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def checkout(commit: str, folder: Path) -> bool:
    """Unpack our packages as of a commit into a folder; False without git or without the commit."""
    git = shutil.which("git")
    if git is None:
        return False
    listed = _git(git, "ls-tree", "--name-only", commit)
    packages = [name for name in listed.decode().split() if name in PACKAGES]
    if not packages:
        return False
    archive = _git(git, "archive", "--format=tar", commit, *packages)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    formatter = [
        sys.executable,
        "-m",
        "ruff",
        "format",
        "--quiet",
        "--config",
        str(ROOT / "pyproject.toml"),
        str(folder),
    ]
    subprocess.run(formatter, check=True)  # noqa: S603 - lines are counted at one line length
    return True


def _git(git: str, *arguments: str) -> bytes:
    """Return the output of a git command; empty if it fails."""
    return subprocess.run([git, "-C", ROOT, *arguments], capture_output=True, check=False).stdout  # noqa: S603


def import_ms() -> float:
    """Measure the processor time of `import foveal` in fresh processes; the fastest counts."""
    command = [sys.executable, "-c", _IMPORT]
    runs = (
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - our own module
        for _ in range(IMPORTS)
    )
    return min(1000 * float(run.stdout) for run in runs)


def rows(now: Measures, before: Measures | None, face_ms: float) -> tuple[Row, ...]:
    """Compare measures with their bars."""

    def row(
        name: str, value: Callable[[Measures], float], bar: str = "", limit: float | None = None
    ) -> Row:
        ok = limit is None or value(now) < limit
        return Row(name, value(now), value(before) if before else None, bar, ok)

    # no history, no claim
    lines = row("lines of source", lambda m: m.lines, "fewer", before.lines if before else 0)
    return (
        row(
            "files in the largest folder",
            lambda m: m.folder_files,
            f"≤ {FOLDER_FILES}",
            FOLDER_FILES + 1,
        ),
        row("lines of the longest file", lambda m: m.file_lines),
        row("lines of a function, 95th percentile", lambda m: m.function_p95),
        row(
            "parameters of one function", lambda m: m.parameters, f"≤ {PARAMETERS}", PARAMETERS + 1
        ),
        row(
            "branches on task or backend outside plug-ins",
            lambda m: m.branches,
            f"< {BRANCHES}",
            BRANCHES,
        ),
        row("Any per 1,000 lines", lambda m: m.any_per_1000, f"< {ANY_PER_1000:.0f}", ANY_PER_1000),
        lines,
        row("lines of code, without docstrings and comments", lambda m: m.code),
        Row(
            "ms of processor time to import foveal",
            face_ms,
            None,
            f"< {IMPORT_MS:.0f}",
            face_ms < IMPORT_MS,
        ),
    )


def measure(before: str = BEFORE) -> Figure:
    """Measure the working tree and an earlier commit.

    Arguments:
        before: the commit of the second column.
    """
    modules = read_modules(ROOT)
    with tempfile.TemporaryDirectory(prefix="foveal-") as name:
        earlier = measure_source(read_modules(Path(name))) if checkout(before, Path(name)) else None
    found = rows(measure_source(modules), earlier, import_ms())
    asking = Counter(
        ".".join(re.split(r"/|\.py", place)[:2]) for module in modules for place in branches(module)
    )
    details = (
        f"{'':<46} {'now':>8} {before:>8}  bar",
        *(row.text for row in found),
        "branches are in "
        + ", ".join(f"{package} {count}" for package, count in asking.most_common()),
        "lines: docstrings and comments as wrapped at 100 columns, in both columns",
        "parameters: without self, cls, and the options of the command line's commands",
        f"load average {os.getloadavg()[0]:.1f}",
    )
    barred = [row for row in found if row.bar]
    text = ", ".join(f"{figure(row.now)} {row.name}" for row in barred)
    return Figure(
        "layout", text, ", ".join(row.bar for row in barred), all(row.ok for row in barred), details
    )


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--before", default=BEFORE, help="the commit of the second column")
    conclude(partial(measure, parser.parse_args().before))
