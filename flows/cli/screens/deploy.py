"""Screen of `foveal deploy`."""

from __future__ import annotations

import os
from collections.abc import Iterator

from rich.text import Text

from components.tables import Table
from flows.cli.screens.console import Part
from flows.config.deployments import DeploymentsConfig
from flows.deployment.automations import Change
from flows.deployment.deploy import Deployed, DeployResult
from flows.runtime.root_lock import running_up
from flows.runtime.settings import Settings

_STYLES = {
    Change.CREATED: "green",
    Change.UPDATED: "yellow",
    Change.UNCHANGED: "dim",
    Change.REMOVED: "red",
}
_HEADINGS = ("deployment", "schedule", "next run", "work pool", "state")


def who_runs(config: DeploymentsConfig, settings: Settings) -> str:
    """Return a line on what takes the runs or must be started: deployments alone run nothing."""
    if pool := config.work_pool:
        return f"runs take place where a worker is: prefect worker start --pool {pool.name}"
    named, claim = os.environ.get("PREFECT_API_URL", "").rstrip("/"), running_up(settings.root)
    if claim and named in ("", claim.prefect):
        return "foveal up on this root takes the runs, of what is new within half a minute"
    like_here = "in this folder and with this PREFECT_API_URL" if named else "in this folder"
    return f"nothing on this root takes the runs: start foveal up, {like_here}"


def deployed(done: DeployResult, who: str) -> Iterator[Part]:
    """Show deployments with their next runs, automations, and who takes runs."""
    heading, *lines = Table(_HEADINGS, [_cells(one) for one in done.deployments]).to_lines()
    yield Text(heading, "bold")
    for line, one in zip(lines, done.deployments, strict=True):
        yield Text(line, _STYLES[one.change])
    yield ""
    width = max((len(name) for name, _ in done.automations), default=0)
    for name, change in done.automations:
        yield Text(f"{name.ljust(width)}  {change.value}", _STYLES[change])
    yield ""
    yield from (Text(note, "yellow") for note in done.notes)
    yield who


def _cells(one: Deployed) -> tuple[object, ...]:
    scheduled = f"{one.next_run:%Y-%m-%d %H:%M}" if one.next_run else "paused"
    next_run = None if one.active is None else scheduled
    return (one.name, one.cron or None, next_run, one.pool or None, one.change.value)
