"""What `foveal release` prints."""

from __future__ import annotations

from flows import screen
from flows.gates_screen import show_gates
from flows.summary import ReleaseSummary


def show_release(done: ReleaseSummary) -> None:
    """The variants, the batch, where everything is, and how it did against the champion, if there was one."""
    screen.release(done)
    if done.gates:
        show_gates(done.gates)
