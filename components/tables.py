"""Tables for people and programs: one record as Markdown, as aligned lines and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows of cells under headings; a cell that is None was not measured.

    Arguments:
        headings: one for each column.
        rows: a cell for each heading.
        kinds: a letter for each column, for a terminal: ``t`` is text at the left, ``r`` stands at
            the right, ``n`` are numbers at the right that stay whole where the terminal is narrow.
            By default all but the first are ``n``.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[object]]
    kinds: str = ""

    def to_markdown(self) -> str:
        """Render a table in Markdown, in whose cells nothing else can begin."""
        rows = [[markdown_text(cell) for cell in row] for row in _texts(self.rows)]
        lines = [self.headings, ["---"] * len(self.headings), *rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def to_lines(self) -> list[str]:
        """Render the headings and then each row as a line, in columns that are two spaces apart."""
        lines = [self.headings, *_texts(self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rows = (zip(line, widths, strict=True) for line in lines)
        return ["  ".join(cell.ljust(width) for cell, width in row).rstrip() for row in rows]

    def to_json(self) -> list[dict[str, str]]:
        """Render each row as the text of its cells by heading."""
        return [dict(zip(self.headings, row, strict=True)) for row in _texts(self.rows)]


def _texts(rows: Sequence[Sequence[object]]) -> list[list[str]]:
    return [["–" if cell is None else str(cell) for cell in row] for row in rows]


def number(value: float | None, digits: int = 2) -> str:
    """Format a number; a dash where nothing was measured."""
    return "–" if value is None else f"{value:.{digits}f}"


Interval = tuple[float | None, float | None, float | None]  # a value, and both ends at 95 %


def interval(value: Interval | None, form: str = ".2f", unit: str = "") -> str:
    """Format a value with its interval; a dash where nothing was measured.

    The value stands alone where no ends are known.

    Arguments:
        value: the value and both ends.
        form: of each number, as `format` takes it.
        unit: of the value, e.g. ``×``.
    """
    middle, low, high = value or (None, None, None)
    if middle is None:
        return "–"
    shown = f"{middle:{form}}{unit}"
    return shown if low is None or high is None else f"{shown} [{low:{form}}, {high:{form}}]"


def markdown_text(value: str) -> str:
    """Make text plain in Markdown: no table cell, heading or HTML can begin in it."""
    return " ".join(value.split()).replace("|", "\\|").replace("<", "&lt;")
