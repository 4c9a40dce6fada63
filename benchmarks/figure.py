"""A figure, its bar, and the line that says whether it was reached."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from components.errors import FovealError


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Arguments:
        name: as in `make bench-NAME`.
        text: the measured figure with its unit.
        bar: what it must reach, in words.
        ok: whether it does.
        details: lines a reader wants to see before the verdict.
    """

    name: str
    text: str
    bar: str
    ok: bool
    details: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The verdict in one line."""
        return f"{self.name}: {self.text} (bar {self.bar}) {'ok' if self.ok else 'short'}"


def conclude(measure: Callable[[], Figure]) -> None:
    """Measure, print details and the verdict, and exit non-zero when it is short."""
    try:
        figure = measure()
    except FovealError as error:
        sys.exit(f"error: {error}")
    for detail in figure.details:
        sys.stdout.write(f"  {detail}\n")
    sys.stdout.write(figure.line + "\n")
    sys.exit(0 if figure.ok else 1)
