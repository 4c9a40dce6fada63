"""Progress in the Prefect UI: a bar for what a step does, if long enough to be worth a look."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import TaskRunContext

from flows.reporting.progress import listening

EVERY_S = 2.0  # between two calls of the server, and before the first


class Bars:
    """Writes a progress artifact for each kind of work, keyed by its name with `-progress`."""

    def __init__(self) -> None:
        self._bars: dict[str, UUID] = {}
        self._next = time.monotonic() + EVERY_S

    def advance(self, what: str, done: int, total: int) -> None:
        """Show `done` of `total` units of `what`; a step that begins, with total 0, has a run."""
        if not total:
            return
        now = time.monotonic()
        share = 100.0 * done / max(1, total)
        finished = what in self._bars and done >= total
        if now < self._next and not finished:
            return
        self._next = now + EVERY_S
        if what in self._bars:
            update_progress_artifact(self._bars[what], progress=share)
        else:
            key = re.sub("[^a-z0-9]+", "-", f"{what.lower()} progress")
            created = create_progress_artifact(progress=share, key=key, description=what)
            assert isinstance(created, UUID)  # noqa: S101 - a coroutine outside of steps only, says its type
            self._bars[what] = created


@contextmanager
def shown_in_prefect() -> Iterator[None]:
    """Show the progress of the block, which is the body of a step, when a task run calls it."""
    if TaskRunContext.get() is None:
        yield
        return
    with listening(Bars().advance):
        yield
