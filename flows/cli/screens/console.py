"""Consoles of the commands: as wide as what is shown, in characters that the terminal has.

A screen is a series of parts, each a line of text or a table, that `write` prints with control
codes escaped.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterable, Iterator

from rich import box
from rich.console import Console, ConsoleOptions, ConsoleRenderable, JustifyMethod, RenderHook
from rich.segment import Segment
from rich.table import Table as RichTable
from rich.text import Text

from components.printing import printed
from components.tables import Table
from flows.cli.screens import json_log

Part = str | Text | Table

_PIPE_WIDTH = 10_000  # what is piped is read by programs and logs, which cut nothing
_PLAIN = {
    "×": "x", "→": "->", "−": "-", "–": "-", "—": "-", "●": "*", "…": "...", "±": "+/-",
    "≤": "<=", "≥": ">=", "·": "/", "δ": "d", "α": "a", "σ": "s",
    "’": "'", "‘": "'", "“": '"', "”": '"',
}  # fmt: skip
_ERRORS = "foveal-plain"


def make_console(*, stderr: bool = False) -> Console:
    """Make a console: as wide as the terminal, and where there is none as wide as its lines."""
    made = Console(stderr=stderr)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made = Console(stderr=stderr, width=_PIPE_WIDTH)
    made.push_render_hook(_Hook())
    return made


def write(parts: Iterable[Part], console: Console | None = None) -> None:
    """Print lines, which only a narrow terminal wraps, and tables."""
    out = console or make_console()
    for part in parts:
        if isinstance(part, Table):
            out.print(_drawn(part))
        else:
            out.print(_text(part), soft_wrap=True)


def write_error(line: str | Text) -> None:
    """Print a line on standard error."""
    if json_log.is_on():
        return json_log.emit("info", "line", message=str(line))
    write([line], make_console(stderr=True))


def failure(line: str) -> None:
    """Print an error on standard error."""
    if json_log.is_on():
        return json_log.emit("error", "failed", message=line)
    write_error(Text.assemble(("error: ", "bold red"), line))


def _drawn(table: Table) -> RichTable:
    """Draw a table whose texts go on below where the terminal is too narrow; nothing is cut off."""
    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    kinds = table.kinds or "t".ljust(len(table.headings), "n")
    for heading, kind in zip(table.headings, kinds, strict=True):
        justify: JustifyMethod = "left" if kind == "t" else "right"
        drawn.add_column(heading, justify=justify, no_wrap=kind == "n", overflow="fold")
    for row in table.rows:
        drawn.add_row(*map(_text, row))
    return drawn


def _text(part: object) -> Text:
    return part if isinstance(part, Text) else Text("–" if part is None else str(part))


class _Printed:
    """Something printed with its own control characters escaped; the console's colours stay."""

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
    """Have standard output and error write a likeness of what their encoding lacks, not fail."""
    codecs.register_error(_ERRORS, _likeness)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().replace(
            "-", ""
        ).startswith("utf8"):
            stream.reconfigure(errors=_ERRORS)


def _likeness(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character, "?") for character in missing), error.end
