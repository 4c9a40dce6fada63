"""Screen output of `foveal retrain`."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from components.printing import counted
from flows.cli.screens.console import make_console
from flows.cli.screens.gates import show_gates
from flows.reporting.formats import short
from flows.reporting.retraining import RetrainSummary

STYLES = {
    "promoted": "bold green",
    "rejected": "bold red",
    "undecided": "yellow",
    "needs_labels": "yellow",
    "not_trainable": "yellow",
    "not_begun": "yellow",
}


def show_retraining(done: RetrainSummary, console: Console | None = None) -> None:
    """The data, the gates and the decision; on the terminal unless told otherwise."""
    out = console or make_console()
    if done.dataset:
        sources = ", ".join(f"{count} {source}" for source, count in done.dataset.sources.items() if count)
        dropped = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in done.dataset.dropped.items())
        trained = f"trained on {counted(done.dataset.images['train'], 'image')}; the dataset holds {sources}"
        out.print(trained + (f"; left out: {dropped}" if dropped else ""), highlight=False, soft_wrap=True)
    if done.gates:
        show_gates(done.gates, out)
    line = Text.assemble(f"{done.name}: ", (done.state, STYLES[done.state]), f", {done.reason}")
    if done.repeated:
        out.print("  this event had been dealt with: nothing was done now", style="dim")
    out.print(line, soft_wrap=True)
    if done.bundle:
        out.print(f"  bundle of {done.name}/{done.challenger}: {short(done.bundle)}", soft_wrap=True, highlight=False)
