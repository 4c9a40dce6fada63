"""Screen output of `foveal deploy`."""

from __future__ import annotations

import os

from flows.cli.screens.console import make_console
from flows.config.deployments import DeploymentsConfig
from flows.deployment.automations import Change
from flows.deployment.deploy import Deployed, DeployResult
from flows.runtime.root_lock import running_up
from flows.runtime.settings import Settings

_STYLES = {Change.CREATED: "green", Change.UPDATED: "yellow", Change.UNCHANGED: "dim", Change.REMOVED: "red"}
_HEADINGS = ("deployment", "schedule", "next run", "work pool", "state")
_out = make_console()


def who_runs(config: DeploymentsConfig, settings: Settings) -> str:
    """Return a line that names what takes the runs or has to be started for it: a deployment alone runs nothing."""
    if pool := config.work_pool:
        return f"runs take place where a worker is: prefect worker start --pool {pool.name}"
    named, claim = os.environ.get("PREFECT_API_URL", "").rstrip("/"), running_up(settings.root)
    if claim and named in ("", claim.prefect):
        return "foveal up on this root takes the runs, of what is new within half a minute"
    like_here = "in this folder and with this PREFECT_API_URL" if named else "in this folder"
    return f"nothing on this root takes the runs: start foveal up, {like_here}"


def deployed(done: DeployResult, who: str) -> None:
    """The deployments with their next runs, each in its own time zone, the automations, and who takes the runs."""
    rows = [_cells(one) for one in done.deployments]
    widths = [max(len(row[column]) for row in (_HEADINGS, *rows)) for column in range(len(_HEADINGS))]
    for row, style in [(_HEADINGS, "bold"), *zip(rows, [_STYLES[one.change] for one in done.deployments], strict=True)]:
        _line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), style)
    _line("")
    width = max((len(name) for name, _ in done.automations), default=0)
    for name, change in done.automations:
        _line(f"{name.ljust(width)}  {change.value}", _STYLES[change])
    _line("")
    for note in done.notes:
        _line(note, "yellow")
    _line(who)


def _cells(one: Deployed) -> tuple[str, ...]:
    return (one.name, one.cron or "–", _next(one), one.pool or "–", one.change.value)


def _next(one: Deployed) -> str:
    if one.active is None:
        return "–"
    return f"{one.next_run:%Y-%m-%d %H:%M}" if one.next_run else "paused"


def _line(text: str, style: str | None = None) -> None:
    _out.print(text, style=style, highlight=False, soft_wrap=True, markup=False)
