"""Time that a person waits for `foveal rollback`."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figure import Figure, conclude
from benchmarks.subject import scratch
from model_registry import Registry, sqlite_uri
from model_registry.store import open_store

BAR_S, TIMES, EARLIER = 5.0, 5, 50
NAME = "digits"


def _prepare(root: Path) -> dict[str, str]:
    """Prepare a store in which one version after the other was promoted.

    Returns an environment that names it.
    """
    ours = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PREFECT_", "MLFLOW_", "FOVEAL_"))
    }
    registry = Registry(sqlite_uri(root / "mlflow" / "mlflow.db"), root / "mlflow" / "artifacts")
    client = open_store(registry.tracking_uri).client
    client.create_registered_model(NAME)
    for version in range(1, EARLIER + 1):
        client.create_model_version(NAME, root.as_uri(), await_creation_for=0)
        registry.promote(NAME, version)
    return ours | {"FOVEAL_HOME": str(root)}


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure() -> Figure:
    """The command as a user types it, on a record of fifty decisions, from its start to its end."""
    command, seconds, champions = Path(sys.executable).with_name("foveal"), [], []
    with scratch() as folder:
        environment = _prepare(Path(folder))
        before = _processor_s()
        for _ in range(TIMES):
            started = time.perf_counter()
            done = subprocess.run(  # noqa: S603 - our own command
                [command, "rollback", NAME, "--json"],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
            seconds.append(time.perf_counter() - started)
            champions.append(json.loads(done.stdout)["champion"])
        processor = (_processor_s() - before) / TIMES
    back = champions == [EARLIER - number for number in range(1, TIMES + 1)]
    text = (
        f"slowest of {TIMES} {max(seconds):.1f} s, fastest {min(seconds):.1f} s, champions "
        f"{champions}"
    )
    details = (
        f"after {EARLIER} earlier decisions; each a process of its own, no Prefect server",
        f"{processor:.1f} s of processor time each; load average {os.getloadavg()[0]:.1f}",
    )
    ok = back and max(seconds) < BAR_S
    return Figure("rollback", text, f"< {BAR_S:g} s, each one further back", ok, details)


if __name__ == "__main__":
    conclude(measure)
