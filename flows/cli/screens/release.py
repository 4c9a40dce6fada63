"""What `foveal release` prints."""

from __future__ import annotations

from flows.cli.screens import results as screen
from flows.cli.screens.gates import show_gates
from flows.reporting.summary import ReleaseSummary


def show_release(done: ReleaseSummary) -> None:
    """The variants, the batch, where everything is, and how it did against the champion, if there was one."""
    screen.release(done)
    if done.gates:
        show_gates(done.gates)
