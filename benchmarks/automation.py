"""Time from a drift event to a retraining that runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import httpx

from benchmarks.figure import Figure, conclude
from benchmarks.subject import scratch
from flows.runtime.password import proof

BAR_S, TIMES, PATIENCE_S = 30.0, 3, 300.0
EMIT = """
import sys
from pathlib import Path
from components.contracts import DriftDecision, DriftReport, DriftState, ModelVersion
from flows.reporting import publish
from flows.reporting.summary import Seen

decision = DriftDecision(DriftState.DRIFT, ("moved",), (), 50, 50, True, True)
seen = Seen(DriftReport(Path(), Path(), decision), (), ())
for name in sys.stdin:
    publish.announce(ModelVersion(name.strip(), 1, ""), "night", seen)
    print("announced", flush=True)
"""
SERVER = """
import os, sys
from flows.runtime.server import prefect_api
from flows.runtime.settings import Settings

with prefect_api(Settings.from_environment()) as url:
    print(url, os.environ["PREFECT_API_AUTH_STRING"], flush=True)
    sys.stdin.read()
"""


def measure() -> Figure:
    """Measure three events on an empty root, each sent when the run before has ended.

    A server and the serving process run on it.

    Nothing is released there, so each retraining ends when it finds no champion. Retrainings of
    different models wait for each other by design, since they measure latency; that wait is not
    what is measured here.
    """
    with scratch() as name:
        folder = Path(name)
        models = [f"model{number}" for number in range(TIMES)]
        listed = "".join(f"  - {{name: {model}, images: in/}}\n" for model in models)
        (folder / "foveal.yaml").write_text(f"models:\n{listed}")
        ours = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("PREFECT_", "MLFLOW_", "FOVEAL_"))
        }
        ours |= {"FOVEAL_HOME": str(folder / "home")}
        with child(["-c", SERVER], folder, ours) as (_, said):
            url, secret = said.readline().split()
            api = {"PREFECT_API_URL": url, "PREFECT_API_AUTH_STRING": secret}
            ours |= api
            with child(["-m", "flows.deployment.serving"], folder, ours) as (_, ready):
                if ready.readline().strip() != "serving":
                    sys.exit("flows.deployment.serving did not become ready")
                with child(["-c", EMIT], folder, ours) as (emitter, announced):
                    waits = [_wait(api, model, emitter, announced) for model in models]
    seconds = [running for _, running in waits]
    details = tuple(
        f"{model}: run created after {created:.1f} s, in state Running after {running:.1f} s"
        for model, (created, running) in zip(models, waits, strict=True)
    )
    load = f"SQLite, one server and one serving process; load average {os.getloadavg()[0]:.1f}"
    text = f"slowest of {TIMES} {max(seconds):.1f} s from drift event to running retraining"
    return Figure("automation", text, f"< {BAR_S:g} s", max(seconds) < BAR_S, (*details, load))


def running_after(
    api: Mapping[str, str], model: str, emitter: subprocess.Popen[str], announced: TextIO
) -> tuple[float, float]:
    """Return the seconds from a model's drift event to its retraining and to the state Running.

    Both go by the server's record.

    Arguments:
        api: what names Prefect's API, and its password, in the environment.
        model: its name.
        emitter: a process of `EMIT`.
        announced: what that prints.
    """
    emitter.stdin.write(model + "\n")  # type: ignore[union-attr]
    emitter.stdin.flush()  # type: ignore[union-attr]
    announced.readline()
    emitted, created = time.time(), 0.0
    while time.time() < emitted + PATIENCE_S:
        run = _run(api, model)
        created = created or (time.time() - emitted if run else 0.0)
        if run and run["start_time"]:
            return created, datetime.fromisoformat(run["start_time"]).timestamp() - emitted
        time.sleep(0.2)
    return created or float("inf"), float("inf")


def _wait(
    api: Mapping[str, str], model: str, emitter: subprocess.Popen[str], announced: TextIO
) -> tuple[float, float]:
    """As `running_after`; waits for the end of the run, since the next one would wait for it."""
    waits, deadline = running_after(api, model, emitter, announced), time.time() + PATIENCE_S
    while not ((run := _run(api, model)) and run["end_time"]) and time.time() < deadline:
        time.sleep(0.2)
    return waits


def _run(api: Mapping[str, str], model: str) -> Any:
    url, headers = api["PREFECT_API_URL"], proof(api["PREFECT_API_AUTH_STRING"])
    found = httpx.post(f"{url}/flow_runs/filter", json={}, headers=headers, timeout=30).json()
    mine = (
        run
        for run in found
        if (config := run["parameters"].get("config"))
        and config.get("name") == model
        and config.get("trigger") == "drift"
    )
    return next(mine, None)


@contextmanager
def child(
    arguments: list[str], folder: Path, environment: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[str], TextIO]]:
    """A Python process of ours and what it prints, for as long as the block lasts."""
    process = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, process.stdout  # type: ignore[misc]
    finally:
        if arguments[0] == "-m":
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)


if __name__ == "__main__":
    conclude(measure)
