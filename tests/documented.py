"""Command lines and Python blocks of README and documentation, and which cannot be run here."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = tuple(
    path.relative_to(ROOT).as_posix()
    for path in (
        ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")),
        ROOT / "infra" / "README.md",
    )
)  # fmt: skip
PROGRAMS = (
    "foveal",
    "make",
    "python",
    "pip",
    "mlflow",
    "curl",
    "docker",
    "kubectl",
    "dask",
    "prefect",
    "export",
)
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```", re.M | re.S
)
_REMARK = re.compile(r"\s+#\s.*$")


@dataclass(frozen=True)
class Command:
    """Something that a page tells people to run.

    Arguments:
        page: path of the page in the repository.
        language: ``"bash"`` or ``"python"``.
        text: one line of a shell, without its remark and with continued lines joined, or a block of
            Python.
        exported: the `export` lines before it in its block.
    """

    page: str
    language: str
    text: str
    exported: tuple[str, ...] = ()

    @property
    def sort(self) -> str:
        """What the rules of `NOT_RUN` are matched with."""
        return "\n".join((f"{self.language} in {self.page}", *self.exported, self.text))


# What is not run, and why; a pattern is searched in the page, the exports before the command, and
# the command.
NOT_RUN: dict[str, str] = {
    r"\n(docker |cp infra/\.env)": "takes a container engine",
    r"bash in docs/operations/kubernetes\.md": "takes a work pool on a cluster",
    r"bash in infra/README\.md": "takes a container engine, a cluster, or the servers there",
    r"\npip install": "installs, from an index of packages",
    r"\nmake ": "its target is checked; `make demo` and `make test` would run all of this again",
    r"\nexport FOVEAL_ALERT_URLS=": "sends messages to people",
    r"\nexport PREFECT_API_URL=http://127\.0\.0\.1:4200": "takes the servers of compose",
    r"\nexport (PREFECT_API_URL|MLFLOW_TRACKING_URI)=http://(prefect|mlflow)\.example": (
        "takes servers of one's own; "
        "tests/integration/test_servers.py and test_deploying.py run these commands with such"
    ),
    r"\nexport FOVEAL_DASK=|\ndask (scheduler|worker) ": "takes a cluster on machines of its own",
    r"s3://camera-7": "takes an object store",
    r"\nffmpeg |\nrsync ": "a program that is not installed with Foveal",
    r"\nfoveal up\b": "tests/e2e/test_network.py runs it with all services, test_up.py with "
    "options",
    r"foveal drift calibrate": "takes minutes; test_nightly.py and test_calibration.py run it, "
    "with images to damage too",
    r"foveal doctor --relocate": "tests/e2e/test_moved_root.py runs it where a root was moved",
    r"foveal compare .* --open": "tests/e2e/test_promotion_commands.py opens it in a browser",
    r"python in docs/design/": "a Protocol, quoted from the code",
    r"python in CONTRIBUTING\.md": "the outline of a class or a command that somebody is to write",
}
if not shutil.which("sqlite3"):
    NOT_RUN[r"\nsqlite3 "] = (
        "SQLite's shell, which Debian has in a package of its own, is not installed here"
    )


def why_not_run(command: Command) -> str:
    """Why a command is not run by the tests; empty if it is."""
    return next(
        (reason for pattern, reason in NOT_RUN.items() if re.search(pattern, command.sort)), ""
    )


@cache
def fences(page: str) -> tuple[tuple[str, str], ...]:
    """Language and text of each fenced block of a page, without the indentation of a list."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return tuple(
        (found["language"], re.sub(rf"^{found['indent']}", "", found["text"], flags=re.M))
        for found in _FENCE.finditer(text)
    )


def commands(page: str) -> tuple[Command, ...]:
    """All that a page tells people to run, in its order."""
    found: list[Command] = []
    for language, text in fences(page):
        if language == "python":
            found.append(Command(page, language, text))
        if language == "bash":
            exported: tuple[str, ...] = ()
            for line in shell_lines(text):
                found.append(Command(page, language, line, exported))
                exported += (line,) if line.startswith("export ") else ()
    return tuple(found)


def shell_lines(text: str) -> list[str]:
    """The commands of a block: continued lines and loops as one, without remarks."""
    joined = re.sub(r"\\\n\s*", "", text)
    joined = re.sub(
        r"^for .*?^done$", lambda loop: "; ".join(loop[0].split("\n")), joined, flags=re.M | re.S
    )
    return [
        line for line in (_REMARK.sub("", line).strip() for line in joined.splitlines()) if line
    ]
