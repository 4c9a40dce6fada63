"""History of a decision record: the champion at any moment, replayed from the entries alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from components.contracts import Decided, Decision, GateReport, Outcome

BY_HAND, RELEASE = "by hand", "release"
CHANGES = frozenset({Outcome.PROMOTED, Outcome.ROLLED_BACK, Outcome.ADOPTED, Outcome.WITHDRAWN})


@dataclass(frozen=True)
class Rationale:
    """Why a version is decided on, and by whom.

    Arguments:
        trigger: ``by hand``, ``release``, or what set a retraining off: ``drift``, ``accuracy``,
            ``schedule``.
        who: a person, e.g. ``user@host``.
        reasons: one line each.
        event: id of the event that started it, or empty.
        gates: what it rests on; then the champion must still be the one that they compared with.
        hashes: role → sha256 of what was used, beside those that the version's own tags name.
    """

    trigger: str = BY_HAND
    who: str = ""
    reasons: tuple[str, ...] = ()
    event: str = ""
    gates: GateReport | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One entry of a record as it was appended.

    Arguments:
        number: its place; the store hands numbers out, each once.
        at: the store's clock.
        key: unique to the attempt, so that one that was sent twice counts once.
        run_id: the run that holds its files.
        decision: what was to be done.
    """

    number: int
    at: datetime
    key: str
    run_id: str
    decision: Decision


@dataclass(frozen=True)
class ChampionPeriod:
    """Period in which a version was the champion, and the decisions that began and ended it.

    Arguments:
        version: of the model.
        since: the first moment.
        until: the moment after the last, or None while it lasts.
        by: the decision that began it.
        ended_by: the decision that ended it, or None.
    """

    version: int
    since: datetime
    until: datetime | None
    by: Decided
    ended_by: Decided | None


@dataclass(frozen=True)
class History:
    """A record, replayed.

    Arguments:
        entries: those that count, in order; times never decrease.
        head: number of the last entry of the record, whether it counts or not; 0 for an empty
            record.
        champion: the version in production, or None.
        former: champions that a rollback goes back to, the next one first. A version that was
            rolled back is not among them, nor is one that was deleted, where the record was read
            from a registry.
        broken: entries that were deleted or changed outside of Foveal, one line each.
    """

    entries: tuple[Entry, ...] = ()
    head: int = 0
    champion: int | None = None
    former: tuple[int, ...] = ()
    broken: tuple[str, ...] = ()

    @property
    def previous(self) -> int | None:
        """The version that a rollback makes the champion again, or None."""
        return self.former[0] if self.former else None

    @property
    def mentioned(self) -> frozenset[int]:
        """Versions that were the champion at some time, by this record."""
        changes = [entry.decision for entry in self.entries if entry.decision.outcome in CHANGES]
        return frozenset(
            v
            for made in changes
            for v in (_champion_by(made), made.champion_before)
            if v is not None
        )

    @property
    def decisions(self) -> tuple[Decided, ...]:
        """The entries as contracts."""
        return tuple(Decided(entry.number, entry.at, entry.decision) for entry in self.entries)

    def counts(self, key: str) -> bool:
        """Tell whether the attempt with this key decided something."""
        return any(entry.key == key for entry in self.entries)

    def champion_after(self, number: int) -> int | None:
        """The champion when the record ended with the entry of that number."""
        last = _last_change(entry for entry in self.entries if entry.number <= number)
        return _champion_by(last.decision) if last else None

    def last_change(self) -> Decided | None:
        """The decision that made the champion what it is."""
        last = _last_change(self.entries)
        return Decided(last.number, last.at, last.decision) if last else None

    def last_about(self, version: int) -> Entry | None:
        """The newest decision on a version."""
        return next(
            (entry for entry in reversed(self.entries) if entry.decision.version == version), None
        )

    def taken_back(self, version: int) -> Decided | None:
        """Return the decision by which people took a version out of use, unless it came back."""
        touched = (
            e for e in self.entries if version in (e.decision.version, e.decision.champion_before)
        )
        last = _last_change(touched)
        if (
            last is None
            or last.decision.outcome is Outcome.PROMOTED
            or _champion_by(last.decision) == version
        ):
            return None
        return Decided(last.number, last.at, last.decision)

    def periods(self) -> tuple[ChampionPeriod, ...]:
        """Return all champions' periods, without gaps but for times when there was none."""
        changes = [decided for decided in self.decisions if decided.decision.outcome in CHANGES]
        return tuple(
            ChampionPeriod(version, began.at, ended.at if ended else None, began, ended)
            for began, ended in zip(changes, [*changes[1:], None], strict=False)
            if (version := _champion_by(began.decision)) is not None
        )

    def champion_at(self, time: datetime) -> ChampionPeriod | None:
        """Return the champion's period at a moment, or None."""
        return next(
            (r for r in self.periods() if r.since <= time and (r.until is None or time < r.until)),
            None,
        )


def replay(entries: Iterable[Entry]) -> History:
    """Replay a record from its entries, whatever their writers believed.

    An entry that changes the champion counts only if the champion before it is the one that its
    writer had seen: of two that change the same champion, the first wins. A clock that was set back
    is held.
    """
    counted: list[Entry] = []
    keys: set[str] = set()
    reigned: set[int | None] = set()
    head, champion = 0, None
    former: tuple[int, ...] = ()
    for entry in sorted(entries, key=lambda entry: entry.number):
        head, decision = entry.number, entry.decision
        changes = decision.outcome in CHANGES
        if entry.key in keys or (changes and decision.champion_before != champion):
            continue
        keys.add(entry.key)
        counted.append(replace(entry, at=max(entry.at, counted[-1].at)) if counted else entry)
        if changes:
            former = _former_after(decision, champion, former, known=decision.version in reigned)
            champion = _champion_by(decision)
            reigned.add(champion)
    return History(tuple(counted), head, champion, former)


def _former_after(
    decision: Decision, champion: int | None, former: tuple[int, ...], *, known: bool
) -> tuple[int, ...]:
    """Return the champions to go back to, newest first, each once and without the present one.

    A rollback forgets the champion that it took out of production, and those that it passed over.

    Arguments:
        decision: the change.
        champion: before it.
        former: before it.
        known: the version of the decision was the champion before.
    """
    version = _champion_by(decision)
    if decision.outcome is Outcome.ROLLED_BACK and (version in former or not known):
        return former[former.index(version) + 1 :] if version in former else ()
    if champion is None or champion == version:
        return tuple(one for one in former if one != version)
    return (champion, *(one for one in former if one not in (version, champion)))


def _last_change(entries: Iterable[Entry]) -> Entry | None:
    return next((e for e in reversed(list(entries)) if e.decision.outcome in CHANGES), None)


def _champion_by(decision: Decision) -> int | None:
    return None if decision.outcome is Outcome.WITHDRAWN else decision.version


def bound_hashes(history: History, version: int) -> dict[str, str]:
    """Map roles to sha256 as a version's first decision has them; empty without a decision."""
    entry = next(
        (one for one in history.entries if one.decision.version == version and one.decision.hashes),
        None,
    )
    return dict(entry.decision.hashes) if entry else {}
