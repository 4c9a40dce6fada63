"""Cron schedules: checked on reading, when they fire, and how long a night has to its deadline."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

_MONTHS = {
    name: number
    for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)
}
_DAYS = {name: number for number, name in enumerate("sun mon tue wed thu fri sat".split())}
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_ITEM = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?")


def check_cron(text: str) -> str:
    """The schedule, if it is one of five fields with lists, ranges, steps and names.

    Raises:
        ValueError: it is not; names the field.
    """
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"expected the five fields of cron, such as 0 2 * * *, found {len(parts)}")
    for part, (name, low, high, names) in zip(parts, _FIELDS, strict=True):
        if not all(_fits(item, low, high, names) for item in part.split(",")):
            raise ValueError(f"expected {name} as cron has it, {low} to {high}, found {part}")
    return " ".join(parts)


def _fits(item: str, low: int, high: int, names: dict[str, int]) -> bool:
    found = _ITEM.fullmatch(item.lower())
    if found is None or (found["step"] is not None and not 1 <= int(found["step"]) <= high):
        return False
    ends = [
        names.get(end, int(end) if end.isascii() and end.isdecimal() else -1)
        for end in found.group(1, 2)
        if end
    ]
    return all(low <= end <= high for end in ends) and ends == sorted(ends)


# a schedule that fires every minute stays within the 1,000 dates that Prefect looks at
_LONG = timedelta(hours=16)
SHORTEST = timedelta(seconds=10)  # that Prefect takes for a proactive trigger


def fires(cron: str, zone: ZoneInfo, after: datetime) -> datetime:
    """Return when a cron schedule fires next, in UTC."""
    return _dates(cron, zone, after, None)[0]


def time_allowed(cron: str, zone: ZoneInfo, deadline: time, now: datetime) -> timedelta:
    """Return a scheduled night's time: from the last firing before the deadline to the deadline.

    A night at 02:00 with the deadline 06:00 has four hours. Where a schedule fires several times
    before the deadline, each of these nights has the time of the last.
    """
    first = fires(cron, zone, now)
    day = first.astimezone(zone).date()
    due = datetime.combine(day, deadline, zone).astimezone(UTC)
    if due <= first:
        due = datetime.combine(day + timedelta(days=1), deadline, zone).astimezone(UTC)
    last = _dates(cron, zone, max(first, due - _LONG), due - timedelta(seconds=1)) or [first]
    return max(timedelta(seconds=(due - last[-1]).total_seconds()), SHORTEST)


def deadline_of(cron: str, zone: ZoneInfo, deadline: time, due: datetime) -> datetime:
    """Return when a night due at a moment must be complete, in UTC: by that very night's clock.

    A night from 01:00 to 06:00 has four hours when the clocks go forward in it, and six when they
    go back.
    """
    # a DateTime of Prefect loses its zone in a sum
    due = datetime.fromtimestamp(due.timestamp(), UTC)
    return due + time_allowed(cron, zone, deadline, due - timedelta(seconds=1))


def shortest_allowed(cron: str, zone: ZoneInfo, deadline: time, now: datetime) -> timedelta:
    """Return the time of the coming year's shortest night: where clocks change, or the next one."""
    days = [
        now.astimezone(zone).replace(hour=12, minute=0) + timedelta(days=day)
        for day in range(-1, 366)
    ]
    changes = [day for day, after in pairwise(days) if day.utcoffset() != after.utcoffset()]
    moments = [
        now,
        *(change - timedelta(hours=hours) for change in changes for hours in (24, 12, 0)),
    ]
    return min(time_allowed(cron, zone, deadline, max(now, moment)) for moment in moments)


def _dates(cron: str, zone: ZoneInfo, start: datetime, end: datetime | None) -> list[datetime]:
    """The next firing, or all until `end`, in UTC, as Prefect's scheduler sees them."""
    from prefect.server.schemas.schedules import CronSchedule  # not when a file is read
    from prefect.utilities.asyncutils import run_coro_as_sync

    schedule = CronSchedule(cron=cron, timezone=zone.key)

    async def look() -> list[datetime]:
        return [
            date.astimezone(UTC)
            for date in await schedule.get_dates(None if end else 1, start, end)
        ]

    return run_coro_as_sync(look()) or []
