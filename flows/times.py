"""When a cron schedule fires, and how much time a night has until its deadline."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from prefect.server.schemas.schedules import CronSchedule
from prefect.utilities.asyncutils import run_coro_as_sync

_LONG = timedelta(hours=16)  # a schedule that fires every minute stays within the 1,000 dates that Prefect looks at
SHORTEST = timedelta(seconds=10)  # that Prefect takes for a proactive trigger


def fires(cron: str, zone: ZoneInfo, after: datetime) -> datetime:
    """When a cron schedule fires next, in UTC."""
    return _dates(cron, zone, after, None)[0]


def time_allowed(cron: str, zone: ZoneInfo, deadline: time, now: datetime) -> timedelta:
    """How long after it is due a scheduled night may take: from the last firing before the deadline to the deadline.

    A night at 02:00 with the deadline 06:00 has four hours. Where a schedule fires several times before the deadline,
    each of these nights has the time of the last.
    """
    first = fires(cron, zone, now)
    day = first.astimezone(zone).date()
    due = datetime.combine(day, deadline, zone).astimezone(UTC)
    if due <= first:
        due = datetime.combine(day + timedelta(days=1), deadline, zone).astimezone(UTC)
    last = _dates(cron, zone, max(first, due - _LONG), due - timedelta(seconds=1)) or [first]
    return max(timedelta(seconds=(due - last[-1]).total_seconds()), SHORTEST)


def deadline_of(cron: str, zone: ZoneInfo, deadline: time, due: datetime) -> datetime:
    """Tell by when the night that was due at a moment must have completed, in UTC: by the clock of that very night.

    A night from 01:00 to 06:00 has four hours when the clocks go forward in it, and six when they go back.
    """
    due = datetime.fromtimestamp(due.timestamp(), UTC)  # a DateTime of Prefect loses its zone in a sum
    return due + time_allowed(cron, zone, deadline, due - timedelta(seconds=1))


def shortest_allowed(cron: str, zone: ZoneInfo, deadline: time, now: datetime) -> timedelta:
    """Tell how much time the shortest night of the coming year has: one in which the clocks change, or the next."""
    days = [now.astimezone(zone).replace(hour=12, minute=0) + timedelta(days=day) for day in range(-1, 366)]
    changes = [day for day, after in pairwise(days) if day.utcoffset() != after.utcoffset()]
    moments = [now, *(change - timedelta(hours=hours) for change in changes for hours in (24, 12, 0))]
    return min(time_allowed(cron, zone, deadline, max(now, moment)) for moment in moments)


def _dates(cron: str, zone: ZoneInfo, start: datetime, end: datetime | None) -> list[datetime]:
    """The next firing, or all until `end`, in UTC, as Prefect's scheduler sees them."""
    schedule = CronSchedule(cron=cron, timezone=zone.key)

    async def look() -> list[datetime]:
        return [date.astimezone(UTC) for date in await schedule.get_dates(None if end else 1, start, end)]

    return run_coro_as_sync(look()) or []
