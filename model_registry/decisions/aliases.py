"""The aliases `champion`, `previous_champion`, `challenger`: what the record says, shown in MLflow.

Whoever decides announces it, appends to the record, and moves the aliases after it; whoever finds
that somebody was killed in between finishes it. An alias that differs while nobody was at work was
moved by hand in MLflow, and is taken into the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from components.contracts import Decision, Outcome
from model_registry.decisions import runs as decision_runs
from model_registry.decisions.history import BY_HAND, History
from model_registry.decisions.record import Intent, Record

CHAMPION, CHALLENGER, PREVIOUS_CHAMPION = "champion", "challenger", "previous_champion"


@dataclass(frozen=True)
class _Seen:
    """The record and the aliases at one moment."""

    history: History
    intents: tuple[Intent, ...]
    aliases: Mapping[str, int]

    @property
    def shown(self) -> bool:
        """Tell whether the alias names the record's champion."""
        return self.aliases.get(CHAMPION) == self.history.champion

    @property
    def settled(self) -> bool:
        """Tell whether the alias names the record's champion, and nobody is at work."""
        return self.shown and not self.intents

    @property
    def since(self) -> int:
        """The head of the record when the first of those who are at work began."""
        return min((intent.after for intent in self.intents), default=self.history.head)

    @property
    def moved_by_hand(self) -> bool:
        """Tell whether the alias is where nobody at work, or killed at it, can have put it."""
        possible = {
            self.history.champion_after(number)
            for number in range(self.since, self.history.head + 1)
        }
        return self.aliases.get(CHAMPION) not in possible


def settle(record: Record) -> History:
    """Read the record; finish what a kill left half done, and adopt what was moved by hand."""
    seen = _look(record)
    if seen.settled:
        return seen.history
    with record.alone():
        return settle_alone(record)


def settle_alone(record: Record) -> History:
    """`settle`, for one who holds the record's lock."""
    while not (seen := _look(record)).settled:
        if seen.moved_by_hand:
            decide(record, _adoption(seen))
            continue
        dead = record.dead(seen.intents)
        if seen.shown and not dead:
            break  # somebody is at work on a server, and has come to the end of it
        with record.writing(seen.history.head):
            history = _project(record, seen.since)
        if not dead:
            return history
        for intent in dead:
            decision_runs.close_unused(record, intent.key)
            record.close(intent.key)
    return seen.history


def decide(record: Record, decision: Decision) -> tuple[History, bool]:
    """Append a decision, then move the aliases; return the record, and whether it counts."""
    head = record.head()
    with record.writing(head) as key:
        run = decision_runs.open_run(record, decision, key)
        record.append(decision, key, run, decision_runs.page(decision))
        history = _project(record, head)
        if not history.counts(key):
            decision_runs.close_unused(record, key)
    return history, history.counts(key)


def _look(record: Record) -> _Seen:
    """See the record and the aliases at one moment, in an order in which no change can hide.

    Who has appended either is still announced when the intents are read, or has moved the aliases
    already. What was appended after the record was read shows in its head.
    """
    while True:
        history = record.read()
        seen = _Seen(history, record.intents(), record.aliases())
        if seen.settled or record.head() == history.head:
            return seen


def _project(record: Record, after: int) -> History:
    """Move the aliases as the record says, finish its later entries; again if it grew meanwhile."""
    while True:
        history, aliases, versions = record.read(), record.aliases(), record.versions()
        fresh = [entry for entry in history.entries if entry.number > after]
        # `champion` moves by one call, and last of the two: there is one champion at every moment.
        for alias, version in ((PREVIOUS_CHAMPION, history.previous), (CHAMPION, history.champion)):
            if version in versions and aliases.get(alias) != version:
                record.set_alias(alias, version)
        stale = aliases.get(PREVIOUS_CHAMPION)
        if history.previous not in versions and stale in (
            history.mentioned | {history.champion}
        ) - {None}:
            record.delete_alias(PREVIOUS_CHAMPION)
        for entry in fresh:
            if not decision_runs.finished(record, entry):
                if aliases.get(CHALLENGER) == entry.decision.version:
                    record.delete_alias(CHALLENGER)
                decision_runs.finish(record, history, entry, versions)
        if not history.broken:
            record.anchor()
        if record.head() == history.head:
            return history


def _adoption(seen: _Seen) -> Decision:
    before, found = seen.history.champion, seen.aliases.get(CHAMPION)
    was = (
        "there was no champion in the record"
        if before is None
        else f"the champion in the record was v{before}"
    )
    if found is None:
        outcome, reason = (
            Outcome.WITHDRAWN,
            f"the alias or the version had been removed outside of Foveal; {was}",
        )
    else:
        outcome, reason = Outcome.ADOPTED, f"the alias had been set outside of Foveal; {was}"
    reasons = (reason, "noticed now; MLflow does not keep when it was done, nor by whom")
    return Decision(
        outcome, found or before or 0, before, BY_HAND, "unknown, outside of Foveal", reasons
    )
