"""What `foveal deploy` prints."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from rich import box
from rich.console import Console
from rich.table import Table

from flows.automations import Change
from flows.deploying import Deployed, Served

_STYLES = {Change.CREATED: "green", Change.UPDATED: "yellow", Change.UNCHANGED: "dim", Change.REMOVED: "red"}
_out = Console()


def deployed(done: Served, zone: ZoneInfo) -> None:
    """The deployments with their next runs, and the automations.

    Arguments:
        done: what `deploy` did.
        zone: in which times are shown.
    """
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("deployment", "schedule", f"next run ({zone.key})", "runs in", "state"):
        table.add_column(heading)
    for one in done.deployments:
        state = f"[{_STYLES[one.change]}]{one.change.value}[/]"
        table.add_row(one.name, one.cron or "–", _next(one, zone), one.pool or "where it is served", state)
    _out.print(table)
    for name, change in done.automations:
        _out.print(f"  {name}: {change.value}", style=_STYLES[change], highlight=False, markup=False, soft_wrap=True)


def _next(one: Deployed, zone: ZoneInfo) -> str:
    if one.active is None:
        return "–"
    moment: datetime | None = one.next_run
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}" if moment else "paused"
