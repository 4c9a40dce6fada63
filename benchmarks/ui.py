"""From `foveal up` on an empty root to a version by Prefect's form, and to a retraining.

A click in the form ends in a version, and a drift event in a retraining.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.automation import BAR_S, EMIT, child, running_after
from benchmarks.browser import browsing, open_form, submit
from benchmarks.figure import Figure, conclude
from benchmarks.subject import scratch
from flows.config.demo import NAME
from flows.runtime.password import proof
from flows.runtime.processes import free_port
from model_registry import CHAMPION, Registry, sqlite_uri

LONGEST_S = 1200


@dataclass(frozen=True)
class Up:
    """A `foveal up` that runs.

    Arguments:
        addresses: of each service that has one, by its name.
        pages: the links that it prints, by the same.
        environment: what it prints for a shell.
    """

    addresses: Mapping[str, str]
    pages: Mapping[str, str]
    environment: Mapping[str, str]

    def __getitem__(self, service: str) -> str:
        """The address of a service."""
        return self.addresses[service]


@contextmanager
def up(root: Path, *options: str) -> Iterator[Up]:
    """`foveal up` over a storage root, on free ports."""
    ours = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PREFECT_", "MLFLOW_", "FOVEAL_"))
    }
    command = [str(Path(sys.executable).with_name("foveal")), "up", "--json", *options]
    for service in ("prefect", "mlflow", "evidently", "metrics"):
        command += [f"--{service}-port", str(free_port())]
    with subprocess.Popen(  # noqa: S603 - our own command
        command,
        cwd=root.parent,
        env=ours | {"FOVEAL_HOME": str(root)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            said = _document(process)
            yield Up(
                {service["name"]: service["address"] for service in said["services"]},
                {service["name"]: service["page"] for service in said["services"]},
                said["environment"],
            )
        finally:
            process.send_signal(signal.SIGINT)


def _document(process: subprocess.Popen[str]) -> Any:
    """Return the output of `foveal up --json` once all is healthy; the pipe stays open after it."""
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    document = ""
    while not document.endswith("\n}\n"):
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("`foveal up` ended before its servers were healthy")
        document += line
    return json.loads(document)


def ask(servers: Up, path: str, question: Mapping[str, Any]) -> Any:
    """Return the answer of Prefect's API to a filter."""
    headers = {"Content-Type": "application/json"} | proof(
        servers.environment["PREFECT_API_AUTH_STRING"]
    )
    request = urllib.request.Request(  # noqa: S310 - http, of our own server
        f"{servers['prefect']}/api/{path}", json.dumps(question).encode(), headers
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def finished_release(servers: Up, name: str) -> dict[str, Any]:
    """The run of a release of that model, once it has ended.

    Raises:
        RuntimeError: it did not end in time.
    """
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        wanted = {"flows": {"name": {"any_": ["release"]}}, "flow_runs": {"name": {"like_": name}}}
        for run in ask(servers, "flow_runs/filter", wanted):
            if run["state_type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}:
                return dict(run)
        time.sleep(1)
    raise RuntimeError(f"the release of {name} did not end within {LONGEST_S} s")


def next_nightly(page: Any, servers: Up) -> str:
    """Return when the nightly schedule runs next, as the deployment's page says it."""
    page.goto(servers.pages["prefect"])
    page.get_by_role("link", name="nightly", exact=True).first.click()
    page.get_by_text("Upcoming", exact=True).click()
    scheduled = page.get_by_text(re.compile(r"\d{4}/\d\d/\d\d 02:00:00 AM")).first
    scheduled.wait_for()
    return str(scheduled.inner_text()).strip()


def measure() -> Figure:
    """Submit the demo's form as it stands, then emit a drift event about what it released.

    The event is as a night emits it.
    """
    with scratch() as name:
        root = Path(name) / "home"
        with up(root) as servers:
            with browsing() as page:
                open_form(page, servers.pages["prefect"], "release")
                started = time.perf_counter()
                submit(page)
                run = finished_release(servers, NAME)
                seconds = time.perf_counter() - started
                upcoming = next_nightly(page, servers)
            retraining_s = _retraining_s(servers, root)
        version = Registry(sqlite_uri(root / "mlflow" / "mlflow.db")).get(NAME, CHAMPION)
        left = _state_of_retraining(root / "prefect" / "prefect.db")
    completed = run["state_type"] == "COMPLETED"
    text = (
        f"the run ended {run['state_type'].lower()} in {seconds:.0f} s as "
        f"{version.name}/{version.version}, "
        f"a drift event starts a retraining in {retraining_s:.1f} s"
    )
    details = (
        f"next nightly run: {upcoming}",
        f"the retraining when `foveal up` had ended: {left}",
    )
    bar = f"a registered version, the next nightly run visible, a retraining in < {BAR_S:g} s"
    ok = completed and version.version == 1 and bool(upcoming) and retraining_s < BAR_S
    return Figure("ui", text, bar, ok, details)


def _retraining_s(servers: Up, root: Path) -> float:
    """Measure the seconds from a drift event about the released model to its running retraining.

    The end of `foveal up` ends that retraining.
    """
    ours = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PREFECT_", "MLFLOW_", "FOVEAL_"))
    }
    ours |= {"FOVEAL_HOME": str(root), **servers.environment}
    with child(["-c", EMIT], root.parent, ours) as (emitter, announced):
        return running_after(servers.environment, NAME, emitter, announced)[1]


def _state_of_retraining(database: Path) -> str:
    """Return the state in which the last retraining was left."""
    query = (
        "select state_name from flow_run join flow on flow.id = flow_run.flow_id where flow.name = "
        "'retrain' "
        "order by flow_run.created desc limit 1"
    )
    with closing(sqlite3.connect(database)) as opened:
        return next((str(name).lower() for (name,) in opened.execute(query)), "none")


if __name__ == "__main__":
    conclude(measure)
