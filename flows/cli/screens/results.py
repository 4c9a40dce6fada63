"""Screens of flows and bundles: what a release, a night, a retraining or a comparison came to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.json import JSON
from rich.text import Text

from components.contracts import Gate, GateReport, InferenceRun, Verdict
from components.monitoring.drift.calibration import AlarmPower
from components.printing import counted, short_path
from components.tables import Table, number
from flows.cli.screens.console import Part
from flows.demo import DemoSummary
from flows.reporting import summary
from flows.reporting.evidence import gates_table, headline
from flows.reporting.retraining import RetrainSummary

if TYPE_CHECKING:
    from flows.ab_test import AbSummary  # imports Prefect, which takes seconds

CAVEAT = (
    "random windows are more alike than nights are; contiguous ones are neighbouring images "
    "of the reference"
)
NIGHTS_CAVEAT = (
    "nights are accepted ones, each against the reference without it; those with an "
    "alarm are not there"
)
_WORDS = {
    "green": ["ok", "pass", "no difference ≥ δ"],
    "bold green": ["promoted"],
    "yellow": "warn insufficient_data undecided needs_labels not_trainable not_begun".split(),
    "bold red": ["drift", "data_fault", "fail", "rejected"],
    "bold": ["A", "B"],
}
_STYLES = {word: style for style, words in _WORDS.items() for word in words}


def variants(done: summary.ReleaseSummary) -> Iterator[Part]:
    """Show the table of variants, and the reasons."""
    table, rows = summary.variants_table(done.variants, done.metric, errors=False), []
    for one, (name, *others) in zip(done.variants, table.rows, strict=True):
        mark, style = ("●", "bold") if one.chosen else (" ", "")
        rows.append([Text(str(cell), style) for cell in (f"{mark} {name}", *others)])
    yield f"{done.name}/{done.version} on target {done.target}; ● ships"
    yield replace(table, rows=rows)
    floor = (
        "" if done.noise_floor is None else f"; noise floor (A/A) ±{100 * done.noise_floor:.1f} %"
    )
    shape = done.input_shape.text if done.input_shape and done.input_shape.wasteful else ""
    yield from _dim(*done.reasons, *filter(None, [shape]), f"measured on {done.measured_on}{floor}")
    yield ""


def release(done: summary.ReleaseSummary) -> Iterator[Part]:
    """Show a release: variants, batch, where everything is, and gates if there was a champion."""
    yield from variants(done)
    if done.window:
        yield from window("batch", done.window)
    version = f"{done.name}/{done.version} ({', '.join(done.aliases)})"
    files = _files(done.window) if done.window else []
    yield ""
    yield from places([("version", version), ("bundle", done.bundle), *files])
    if done.gates:
        yield from gates(done.gates)


def demo(done: DemoSummary) -> Iterator[Part]:
    """Show release, night, what was learnt from it, next night, and where everything is."""
    yield from variants(done.release)
    if done.release.window:
        yield from window("day", done.release.window)
    yield from window("night", done.night.window)
    yield from retraining(done.retraining)
    yield from window("next night", done.next_night.window)
    for row in done.compared:
        change = f"{row.metric} {row.before:.4f} → {row.after:.4f} ({row.after - row.before:+.4f})"
        images = f"{counted(row.images, 'image')} that neither version learnt from"
        what = f"{row.split.replace('_', ' ')}, {images}"
        yield f"  {change} on {what}"
    yield ""
    yield from places(demo_places(done))


def demo_places(done: DemoSummary) -> list[tuple[str, Any]]:
    """Say where everything of the champion is, and then of the version before it."""
    first, night, last = done.release, done.night, done.next_night
    version = f"{last.name}/{last.version} (champion)"
    rows = [("version", version), ("bundle", done.bundle), *_files(last.window)]
    if first.window:
        rows.append((f"day, {first.name}/{first.version}", first.window.report))
    return [
        *rows,
        (f"night, {night.name}/{night.version}", night.window.report),
        ("why it changed", f"{done.command} history {first.name}"),
        (
            "all of it",
            f"{done.command} up      then Prefect, MLflow and Evidently show it in the browser",
        ),
    ]


def places(rows: Sequence[tuple[str, Any]]) -> Iterator[Part]:
    """Say where everything is, each in one line that can be copied."""
    width = max(15, *(len(name) for name, _ in rows))
    for name, value in rows:
        shown = short_path(value) if isinstance(value, Path) else str(value)
        yield Text.assemble((f"{name:<{width}} ", "dim"), shown)


def window(title: str, seen: summary.Window) -> Iterator[Part]:
    """Show the drift decision on a batch."""
    speed = (
        f", {number(seen.images_per_s, 0 if seen.images_per_s >= 10 else 1)} images/s"
        if seen.images_per_s
        else ""
    )
    counts = f"  ({counted(seen.images, 'image')}, {seen.failed} unreadable{speed})"
    yield Text.assemble(f"{title}: ", (seen.state, _STYLES.get(seen.state, "")), counts)
    yield from _dim(*seen.reasons[:5])
    if len(seen.reasons) > 5:
        yield from _dim(f"and {len(seen.reasons) - 5} more, in the report")


def monitor(done: summary.MonitorSummary) -> Iterator[Part]:
    """Show a finished look at a window."""
    yield from window(f"{done.name}/{done.version}", done.window)
    for check in done.checks:
        line = f"  {check.verdict}: {check.name}: {check.reason}"
        yield Text(line, _STYLES.get(check.verdict, "dim"))
    yield from _told(done.alerts)
    yield from places(_files(done.window))


def nightly(done: summary.NightlySummary) -> Iterator[Part]:
    """Show a finished night."""
    yield from (Text(line, "yellow") for line in done.given_up)
    if done.shown:
        yield from monitor(done.shown)
    elif not done.given_up:
        yield f"{done.name}/{done.version}: no new images"
        yield from _told(done.quiet)


def calibration(done: summary.Calibration) -> Iterator[Part]:
    """Show the error rates of both kinds of the drift alarm."""
    accepted = counted(done.accepted_windows, "accepted window")
    pooled = f"{counted(done.reference_images, 'image')}, {accepted} among them"
    rows = []
    for rate in (*done.false_alarms, *([done.nights] if done.nights else [])):
        drawn = "nights" if rate is done.nights else "contiguous" if rate.contiguous else "random"
        shares = (f"{100 * share:.1f} %" for share in (rate.warned, rate.drifted, rate.naive))
        rows.append((rate.images, rate.windows, drawn, *shares))
    yield f"{done.model}: windows in which nothing has changed, called … (reference: {pooled})"
    rates = ("images", "windows", "drawn", "warn", "drift", "any KS p<.05")
    yield Table(rates, rows, kinds="nntnnn")
    yield from _dim(CAVEAT, *([NIGHTS_CAVEAT] if done.nights else []))
    if done.power:
        images = counted(done.power_images, "image")
        yield f"windows of {images}, a share of them damaged, called drift"
        headings = ("damage", "severity", "damaged", "drift", "median delay")
        yield Table(headings, [_power(row) for row in done.power])


def _power(row: AlarmPower) -> tuple[object, ...]:
    delay = "not seen"
    if row.delay_windows is not None:
        delay = f"{row.delay_windows:g} window{'' if row.delay_windows == 1 else 's'}"
    return row.kind, row.severity, f"{row.contamination:.0%}", f"{100 * row.drifted:.0f} %", delay


def run(done: InferenceRun) -> Iterator[Part]:
    """Show a finished batch."""
    predicted = f"{counted(done.processed, 'image')} predicted by {done.model}"
    yield f"{predicted} in {done.seconds:.1f} s, {len(done.failures)} failed"
    if done.summary:
        yield Text(done.summary)
    lines = [f"{failed.image_id}: {failed.error}" for failed in done.failures[:10]]
    if len(done.failures) > 10:
        lines.append(f"and {len(done.failures) - 10} more, in {done.images.name}")
    lines += [
        f"no answer of {place}: {counted(images, 'image')}" for place, images in done.unreachable
    ]
    yield from (Text(f"  {line}", "yellow") for line in lines)
    yield from places([("images", done.images), ("detections", done.detections)])


def retraining(done: RetrainSummary) -> Iterator[Part]:
    """Show the data, the gates and the decision of a retraining."""
    if done.dataset:
        sources = ", ".join(
            f"{count} {source}" for source, count in done.dataset.sources.items() if count
        )
        dropped = ", ".join(
            f"{count} {reason.replace('_', ' ')}" for reason, count in done.dataset.dropped.items()
        )
        images = counted(done.dataset.images["train"], "image")
        trained = f"trained on {images}; the dataset holds {sources}"
        yield trained + (f"; left out: {dropped}" if dropped else "")
    if done.gates:
        yield from gates(done.gates)
    if done.repeated:
        yield from _dim("this event had been dealt with: nothing was done now")
    yield Text.assemble(f"{done.name}: ", (done.state, _STYLES[done.state]), f", {done.reason}")
    if done.bundle:
        yield f"  bundle of {done.name}/{done.challenger}: {short_path(done.bundle)}"


def gates(report: GateReport) -> Iterator[Part]:
    """Show a report; of the slices only those that hold the challenger back."""
    shown = [gate for gate in report.gates if not gate.slice_of or _holds_back(gate)]
    table, rows = gates_table(shown), []
    for gate, (*cells, verdict) in zip(shown, table.rows, strict=True):
        rows.append((*cells, Text(str(verdict), _STYLES.get(gate.verdict, "dim"))))
    yield Text(headline(report), "bold" if report.passed else "bold red")
    yield replace(table, rows=rows)
    yield from _dim(*report.reasons)


def _holds_back(gate: Gate) -> bool:
    return gate.required and gate.verdict is not Verdict.PASS


def ab(done: AbSummary) -> Iterator[Part]:
    """Show the two arms of an A/B test, and what their scores say."""
    before = f", {done.counted_before} had been counted before" if done.counted_before else ""
    yield f"{done.experiment} ({done.mode}): {counted(done.new, 'new image')}{before}"
    yield done.table
    if done.agreement is not None:
        what = f"{done.score} of one against the other"
        yield f"  agreement of the two: {done.agreement:.4f} ({what})"
    result = done.result
    if result.planned is not None:
        wanted = f"δ = {result.delta:g} at α 0.05 and power 0.8"
        yield f"  planned: {result.planned} scored images, for {wanted}"
    yield Text(f"  {result.verdict.value}: {result.reason}", _STYLES[result.verdict])
    yield from _dim(f"{result.method}; the test is kept in {short_path(done.folder)}")


def verification(path: Path, found: Any) -> Iterator[Part]:
    """Show the result of `bundle verify`."""
    yield from (f"  {check.verdict.value}: {check.name} {check.reason}" for check in found.checks)
    state = ("verified", "green") if found.ok else ("does not reproduce its golden set", "bold red")
    yield Text.assemble(f"{path}: ", state)


def predictions(rows: Iterable[Any]) -> Iterator[Part]:
    """Show the predictions of `bundle run`, one JSON line an image."""
    yield from (JSON.from_data(row, indent=None).text for row in rows)


def _files(seen: summary.Window) -> list[tuple[str, Any]]:
    return [("predictions", seen.predictions), ("drift report", seen.report)]


def _told(alerts: Sequence[str]) -> Iterator[Part]:
    return (Text(f"  told: {alert}", "bold") for alert in alerts)


def _dim(*lines: str) -> Iterator[Part]:
    return (Text(f"  {line}", "dim") for line in lines)
