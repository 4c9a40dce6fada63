"""Results of a release and of the demo on the screen."""

from __future__ import annotations

from typing import Any

from components.printing import counted
from flows.cli.screens import results as screen
from flows.cli.screens.console import make_console
from flows.cli.screens.gates import show_gates
from flows.cli.screens.results import places, variants, window
from flows.cli.screens.retrain import show_retraining
from flows.demo import DemoSummary
from flows.reporting.summary import ReleaseSummary


def show_release(done: ReleaseSummary) -> None:
    """The variants, the batch, where everything is, and how it did against the champion, if there was one."""
    screen.release(done)
    if done.gates:
        show_gates(done.gates)


def show_demo(done: DemoSummary) -> None:
    """The release, the night, what was learnt from it, the next night, and where everything is."""
    out = make_console()
    variants(done.release)
    if done.release.window:
        window("day", done.release.window)
    window("night", done.night.window)
    show_retraining(done.retraining, out)
    window("next night", done.next_night.window)
    for row in done.compared:
        change = f"{row.metric} {row.before:.4f} → {row.after:.4f} ({row.after - row.before:+.4f})"
        what = f"{row.split.replace('_', ' ')}, {counted(row.images, 'image')} that neither version learnt from"
        out.print(f"  {change} on {what}", highlight=False, soft_wrap=True)
    out.print()
    places(demo_places(done))


def demo_places(done: DemoSummary) -> list[tuple[str, Any]]:
    """Rows of where everything of the champion is, and then of the version before it."""
    first, last = done.release, done.next_night
    rows: list[tuple[str, Any]] = [
        ("version", f"{last.name}/{last.version} (champion)"),
        ("bundle", done.bundle),
        ("predictions", last.window.predictions),
        ("drift report", last.window.report),
    ]
    if first.window:
        rows.append((f"day, {first.name}/{first.version}", first.window.report))
    return [
        *rows,
        (f"night, {done.night.name}/{done.night.version}", done.night.window.report),
        ("why it changed", f"{done.command} history {first.name}"),
        ("all of it", f"{done.command} up      then Prefect, MLflow and Evidently show it in the browser"),
    ]
