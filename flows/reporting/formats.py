"""Number formats for people, the same on the screen and in the Prefect UI."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def number(value: float | None, digits: int = 2) -> str:
    """A number for people; a dash where nothing was measured."""
    return "–" if value is None else f"{value:.{digits}f}"


def speedup(value: tuple[float, float, float] | None) -> str:
    """A ratio with its 95 % interval."""
    return "baseline" if value is None else f"{value[0]:.2f}× [{value[1]:.2f}, {value[2]:.2f}]"


def short(path: Path) -> str:
    """A path as a person in the working directory would type it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def plain(record: Any) -> dict[str, Any]:
    """A dataclass, and all within it, as JSON values; paths are strings."""
    return {field.name: _plain(getattr(record, field.name)) for field in dataclasses.fields(record)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return plain(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def table_of(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table after an empty line; a bar in a cell stays one."""
    written = (" | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows)
    return ["", f"| {' | '.join(headings)} |", "|" + " --- |" * len(headings), *(f"| {row} |" for row in written)]
