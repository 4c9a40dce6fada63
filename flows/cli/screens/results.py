"""Screen output of flows and bundles: progress bars while a command works, tables at the end."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.prompt import Confirm
from rich.table import Table
from rich.text import Text

from components.contracts import InferenceRun, Verdict
from components.printing import counted
from flows.cli.screens.console import folding, make_console
from flows.cli.screens.progress_lines import Lines
from flows.cli.screens.verbosity import Verbosity, verbosity
from flows.reporting.formats import number, short, speedup
from flows.reporting.progress import answering, listening, reading, timing
from flows.reporting.summary import Calibration, MonitorSummary, NightlySummary, ReleaseSummary, Window

STYLES = {"ok": "green", "warn": "yellow", "drift": "bold red", "insufficient_data": "yellow", "data_fault": "bold red"}
CHECK_STYLES = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.UNDECIDED: "yellow"}

CAVEAT = "random windows are more alike than nights are; contiguous ones are neighbouring images of the reference"
NIGHTS_CAVEAT = "nights are accepted ones, each against the reference without it; those with an alarm are not there"

_log = logging.getLogger(__name__)
_out = make_console()
_err = make_console(stderr=True)


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
        """Move a bar, or make it; a finished one disappears. A step that begins has a total of 0 and no bar."""
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


@contextmanager
def progress(quiet: bool) -> Iterator[Bars | Lines]:
    """Progress on stderr: on a terminal bars, gone when the block ends, else lines; none when `quiet`.

    On a terminal a flow may ask. Details, where they are wanted, would tear bars apart: lines go between them.
    """
    quiet = quiet or verbosity() is Verbosity.QUIET
    if quiet or verbosity() is Verbosity.VERBOSE or not _err.is_terminal:
        lines = Lines(lambda line: None if quiet else _err.print(line, highlight=False, markup=False, soft_wrap=True))
        with listening(lines.advance), reading(_Notes().show), timing(_log_time), lines.running():
            yield lines
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=_err, transient=True) as shown:
        bars = Bars(shown)
        asked = answering(bars.ask) if sys.stdin.isatty() else nullcontext()
        with listening(bars.advance), reading(_Notes().show), asked:
            yield bars


def _log_time(step: str, seconds: float) -> None:
    _log.debug("%s took %.1f s", step, seconds)


class _Notes:
    """Prints notes on stderr, each once however often a step says it, unless results alone are wanted."""

    def __init__(self) -> None:
        self._shown: set[str] = set()

    def show(self, line: str) -> None:
        """Print a note that is new."""
        if line not in self._shown and verbosity() is not Verbosity.QUIET:
            self._shown.add(line)
            _err.print(Text.assemble(("note: ", "yellow"), line), soft_wrap=True, highlight=False)


def details(text: str) -> None:
    """Print what a failure was made of, on stderr."""
    _err.print(text, soft_wrap=True, highlight=False, markup=False, style="dim")


def failure(line: str) -> None:
    """One line on stderr."""
    _err.print(Text.assemble(("error: ", "bold red"), line), soft_wrap=True, highlight=False)


def variants(done: ReleaseSummary) -> None:
    """The table of variants, and the reasons."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("variant", overflow="fold")  # what is too long for the terminal goes on below
    for heading in ("p50 ms", "p95 ms", "speed [95 %]", done.metric, "MB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in done.variants:
        table.add_row(
            f"{'●' if row.chosen else ' '} {row.variant}",
            number(row.p50_ms),
            number(row.p95_ms),
            "failed" if row.error else speedup(row.speedup),
            number(row.accuracy, 4),
            number(row.size_mb),
            style="bold" if row.chosen else None,
        )
    _out.print(f"{done.name}/{done.version} on target {done.target}; ● ships", highlight=False)
    _out.print(folding(table))
    for reason in done.reasons:
        _out.print(f"  {reason}", highlight=False, soft_wrap=True, style="dim", markup=False)
    floor = "" if done.noise_floor is None else f"; noise floor (A/A) ±{100 * done.noise_floor:.1f} %"
    if done.input_shape and done.input_shape.wasteful:
        _out.print(f"  {done.input_shape.text}", highlight=False, soft_wrap=True, style="dim", markup=False)
    _out.print(f"  measured on {done.measured_on}{floor}", highlight=False, soft_wrap=True, style="dim", markup=False)
    _out.print()


def places(rows: Sequence[tuple[str, Any]]) -> None:
    """Print where everything is, each in one line that can be copied."""
    for name, value in rows:
        shown = short(value) if isinstance(value, Path) else str(value)
        _out.print(Text.assemble((f"{name:<16}", "dim"), shown), soft_wrap=True, highlight=False)


def window(title: str, seen: Window) -> None:
    """Print the drift decision on a batch."""
    speed = f", {number(seen.images_per_s, 0 if seen.images_per_s >= 10 else 1)} images/s" if seen.images_per_s else ""
    line = Text.assemble(
        f"{title}: ",
        (seen.state, STYLES.get(seen.state, "")),
        f"  ({counted(seen.images, 'image')}, {seen.failed} unreadable{speed})",
    )
    _out.print(line)
    for reason in seen.reasons[:5]:
        _out.print(f"  {reason}", highlight=False, soft_wrap=True, style="dim", markup=False)
    if len(seen.reasons) > 5:
        _out.print(f"  and {len(seen.reasons) - 5} more, in the report", style="dim", highlight=False)


def release(done: ReleaseSummary) -> None:
    """A finished release."""
    variants(done)
    if done.window:
        window("batch", done.window)
    _out.print()
    places(release_places(done))


def release_places(done: ReleaseSummary) -> list[tuple[str, Any]]:
    """Rows of where a release's results are."""
    rows: list[tuple[str, Any]] = [
        ("version", f"{done.name}/{done.version} ({', '.join(done.aliases)})"),
        ("bundle", done.bundle),
    ]
    if done.window:
        rows += [("predictions", done.window.predictions), ("drift report", done.window.report)]
    return rows


def monitor(done: MonitorSummary) -> None:
    """A finished look at a window."""
    window(f"{done.name}/{done.version}", done.window)
    for check in done.checks:
        style = CHECK_STYLES.get(check.verdict, "dim")
        line = f"  {check.verdict}: {check.name}: {check.reason}"
        _out.print(line, highlight=False, soft_wrap=True, style=style, markup=False)
    _told(done.alerts)
    places([("predictions", done.window.predictions), ("drift report", done.window.report)])


def _told(alerts: Sequence[str]) -> None:
    for alert in alerts:
        _out.print(f"  told: {alert}", highlight=False, soft_wrap=True, style="bold", markup=False)


def nightly(done: NightlySummary) -> None:
    """A finished night."""
    for line in done.given_up:
        _out.print(line, highlight=False, soft_wrap=True, style="yellow", markup=False)
    if done.shown:
        monitor(done.shown)
    elif not done.given_up:
        _out.print(f"{done.name}/{done.version}: no new images", highlight=False)
        _told(done.quiet)


def calibration(done: Calibration) -> None:
    """Print the result of a calibration: the error rates of both kinds of the drift alarm."""
    table = Table("images", "windows", "drawn", "warn", "drift", "any KS p<.05", box=box.SIMPLE_HEAD, pad_edge=False)
    for rate in (*done.false_alarms, *([done.nights] if done.nights else [])):
        shares = (f"{100 * share:.1f} %" for share in (rate.warned, rate.drifted, rate.naive))
        drawn = "nights" if rate is done.nights else "contiguous" if rate.contiguous else "random"
        table.add_row(str(rate.images), str(rate.windows), drawn, *shares)
    pooled = (
        f"{counted(done.reference_images, 'image')}, {counted(done.accepted_windows, 'accepted window')} among them"
    )
    _out.print(f"{done.model}: windows in which nothing has changed, called … (reference: {pooled})", highlight=False)
    _out.print(folding(table))
    _out.print(f"  {CAVEAT}", highlight=False, soft_wrap=True, style="dim")
    if done.nights:
        _out.print(f"  {NIGHTS_CAVEAT}", highlight=False, soft_wrap=True, style="dim")
    if done.power:
        seen = Table("damage", "severity", "damaged", "drift", "median delay", box=box.SIMPLE_HEAD, pad_edge=False)
        for row in done.power:
            delay = (
                "not seen"
                if row.delay_windows is None
                else f"{row.delay_windows:g} window{'' if row.delay_windows == 1 else 's'}"
            )
            seen.add_row(row.kind, str(row.severity), f"{row.contamination:.0%}", f"{100 * row.drifted:.0f} %", delay)
        _out.print(
            f"windows of {counted(done.power_images, 'image')}, a share of them damaged, called drift", highlight=False
        )
        _out.print(folding(seen))


def run(done: InferenceRun) -> None:
    """A finished batch."""
    _out.print(
        f"{counted(done.processed, 'image')} predicted by {done.model} in {done.seconds:.1f} s, "
        f"{len(done.failures)} failed",
        highlight=False,
    )
    for failed in done.failures[:10]:
        _out.print(
            f"  {failed.image_id}: {failed.error}", highlight=False, soft_wrap=True, style="yellow", markup=False
        )
    if len(done.failures) > 10:
        _out.print(f"  and {len(done.failures) - 10} more, in images.parquet", style="yellow")
    for place, images in done.unreachable:
        _out.print(f"  no answer of {place}: {counted(images, 'image')}", highlight=False, style="yellow", markup=False)
    places([("images", done.images), ("detections", done.detections)])


def verification(path: Path, found: Any) -> None:
    """Print the result of `bundle verify`."""
    for check in found.checks:
        _out.print(
            f"  {check.verdict.value}: {check.name} {check.reason}", highlight=False, soft_wrap=True, markup=False
        )
    state = Text("verified", style="green") if found.ok else Text("does not reproduce its golden set", style="bold red")
    _out.print(Text.assemble(f"{path}: ", state), soft_wrap=True)


def predictions(rows: Sequence[Any]) -> None:
    """Print the predictions of `bundle run`, one JSON line an image."""
    for row in rows:
        _out.print_json(data=row, indent=None)
