"""Cron schedules, checked as a file is read, when Prefect, which runs them, may not be imported yet."""

from __future__ import annotations

import re

_MONTHS = {name: number for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
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
    ends = [names.get(end, int(end) if end.isascii() and end.isdecimal() else -1) for end in found.group(1, 2) if end]
    return all(low <= end <= high for end in ends) and ends == sorted(ends)
