"""Progress of a command: bars on a terminal, lines every few seconds for logs; and notes."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.prompt import Confirm
from rich.text import Text

from flows.cli.screens import json_log
from flows.cli.screens.console import make_console, write
from flows.cli.screens.verbosity import Verbosity, verbosity
from flows.reporting.progress import answering, listening, reading, timing

FIRST_S = 5.0  # what is shorter says nothing
MAX_PAUSE_S = 30.0  # between two lines that say the same

_log = logging.getLogger(__name__)
_err = make_console(stderr=True)


class Lines:
    """Tells of work as it goes on: at once what is new, and ever more seldom what is not.

    Arguments:
        write: takes a line.
        first_s: seconds to the first line, and the least between two.
        clock: in seconds.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        first_s: float = FIRST_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._first_s, self._clock = write, first_s, clock
        self._lock = threading.Lock()
        self._phase = self._doing = self._said = ""
        self._begun, self._pause = clock(), first_s
        self._due = self._begun + first_s

    def phase(self, what: str) -> None:
        """Name what is going on."""
        with self._lock:
            self._phase, self._doing = what, ""

    def advance(self, what: str, done: int, total: int) -> None:
        """Note `done` of `total` units of `what` as finished; a step begins with a total of 0."""
        with self._lock:
            self._doing = f"{what}, {done} of {total}" if total else what

    def tick(self) -> None:
        """Write a line if one is due."""
        with self._lock:
            now = self._clock()
            said = ": ".join(filter(None, (self._phase, self._doing)))
            if now < self._due or not said:
                return
            self._pause = self._first_s if said != self._said else min(2 * self._pause, MAX_PAUSE_S)
            self._said, self._due = said, now + self._pause
            seconds = int(now - self._begun)
            self._write(f"{seconds // 60}:{seconds % 60:02d} {said}")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write the lines that are due from a thread of its own, as long as the block lasts."""
        ended = threading.Event()

        def keep_on() -> None:
            while not ended.wait(1.0):
                self.tick()

        thread = threading.Thread(target=keep_on, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


class Bars:
    """A spinner for the phase, a bar for each kind of work that reports how far it is."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}
        self._phase = progress.add_task("", total=None)

    def phase(self, what: str) -> None:
        """Name what is going on."""
        self._progress.update(self._phase, description=what)

    def advance(self, what: str, done: int, total: int) -> None:
        """Move or make a bar; a finished one disappears. A step begins with total 0 and no bar."""
        if not total:
            return
        if what not in self._bars:
            self._bars[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._bars[what], completed=done, total=total, visible=done < total)

    def ask(self, question: str) -> bool | None:
        """Ask on the terminal, where the bars make room; None when nobody answers."""
        self._progress.stop()
        try:
            return Confirm.ask(question, console=_err, default=True)
        except EOFError:
            return None
        finally:
            self._progress.start()


class Events:
    """Tells of work as events: what is new at once, and how far it is now and then.

    Arguments:
        emit: takes an event's level, its name and its fields.
        pause_s: seconds between two events of the same work; its end is told at once.
        clock: in seconds.
    """

    def __init__(
        self,
        emit: Callable[..., None],
        *,
        pause_s: float = FIRST_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._emit, self._pause_s, self._clock = emit, pause_s, clock
        self._due: dict[str, float] = {}
        self._notes: set[str] = set()

    def phase(self, what: str) -> None:
        """Name what is going on."""
        self._emit("info", "phase", what=what)

    def advance(self, what: str, done: int, total: int) -> None:
        """Tell of `done` of `total` units of `what`; a step begins with a total of 0."""
        if not total:
            return self._emit("info", "step", what=what)
        now = self._clock()
        if done == total or now >= self._due.get(what, now - 1):
            self._due[what] = now + self._pause_s
            self._emit("info", "progress", what=what, done=done, total=total)

    def note(self, line: str) -> None:
        """Tell of a note that is new."""
        if line not in self._notes:
            self._notes.add(line)
            self._emit("info", "note", message=line)

    def time(self, step: str, seconds: float) -> None:
        """Tell how long a step took."""
        self._emit("info", "step ended", what=step, seconds=round(seconds, 3))


def tell_event(level: str, event: str, **fields: object) -> None:
    """Write an event of the structured log where one is wanted, unless errors alone are."""
    if json_log.is_on() and (verbosity() is not Verbosity.QUIET or level == "error"):
        json_log.emit(level, event, **fields)


@contextmanager
def progress(quiet: bool) -> Iterator[Bars | Lines | Events]:
    """Show progress bars on stderr, gone after the block; lines off a terminal; none when `quiet`.

    On a terminal a flow may ask. Details, where they are wanted, would tear bars apart: lines go
    between them. With `--log-json` they are events.
    """
    if json_log.is_on():
        events = Events(tell_event)
        with listening(events.advance), reading(events.note), timing(events.time):
            yield events
        return
    quiet = quiet or verbosity() is Verbosity.QUIET
    if quiet or verbosity() is Verbosity.VERBOSE or not _err.is_terminal:
        lines = Lines(lambda line: None if quiet else write([line], _err))
        with listening(lines.advance), reading(_Notes().show), timing(_log_time), lines.running():
            yield lines
        return
    text = TextColumn("{task.description}")
    columns = SpinnerColumn(), text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=_err, transient=True) as shown:
        bars = Bars(shown)
        asked = answering(bars.ask) if sys.stdin.isatty() else nullcontext()
        with listening(bars.advance), reading(_Notes().show), asked:
            yield bars


def _log_time(step: str, seconds: float) -> None:
    _log.debug("%s took %.1f s", step, seconds)


class _Notes:
    """Prints notes on stderr, each once however often repeated, unless results alone are wanted."""

    def __init__(self) -> None:
        self._shown: set[str] = set()

    def show(self, line: str) -> None:
        """Print a note that is new."""
        if line not in self._shown and verbosity() is not Verbosity.QUIET:
            self._shown.add(line)
            write([Text.assemble(("note: ", "yellow"), line)], _err)
