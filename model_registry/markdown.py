"""Pieces of Markdown that MLflow shows: tables, numbers, and text in which nothing can begin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float | None, digits: int = 1) -> str:
    """A number; a dash where nothing was measured."""
    return "–" if value is None else f"{value:.{digits}f}"


def text(value: str) -> str:
    """Plain text for Markdown: no table cell, heading or HTML can begin in it."""
    return " ".join(value.split()).replace("|", "\\|").replace("<", "&lt;")
