"""Consoles of the commands: as wide as what is shown, in characters that the terminal has, control codes escaped."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.segment import Segment
from rich.table import Table

from components.printing import printed

_PIPE_WIDTH = 10_000  # what is piped is read by programs and logs, which cut nothing
_PLAIN = {
    "×": "x", "→": "->", "−": "-", "–": "-", "—": "-", "●": "*", "…": "...", "±": "+/-", "≤": "<=", "≥": ">=",
    "·": "/", "δ": "d", "α": "a", "σ": "s", "’": "'", "‘": "'", "“": '"', "”": '"',
}  # fmt: skip
_ERRORS = "foveal-plain"


def make_console(*, stderr: bool = False) -> Console:
    """Make a console: as wide as the terminal, and where there is none as wide as its lines."""
    made = Console(stderr=stderr)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made = Console(stderr=stderr, width=_PIPE_WIDTH)
    made.push_render_hook(_Hook())
    return made


def folding(table: Table) -> Table:
    """Have a table that is too wide for its terminal go on below in each cell, with nothing cut off."""
    for column in table.columns:
        column.overflow = "fold"
    return table


class _Printed:
    """Something that is printed with its own control characters escaped; the console's own colours stay."""

    def __init__(self, inner: ConsoleRenderable) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self._inner, options):
            if segment.control:
                yield segment
            else:
                yield Segment("\n".join(map(printed, segment.text.split("\n"))), segment.style)


class _Hook(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Printed(one) for one in renderables]


def print_plainly() -> None:
    """Have standard output and error write a likeness of what their encoding lacks, in place of failing."""
    codecs.register_error(_ERRORS, _likeness)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().replace("-", "").startswith("utf8"):
            stream.reconfigure(errors=_ERRORS)


def _likeness(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character, "?") for character in missing), error.end
