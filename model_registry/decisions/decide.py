"""Promote, roll back, reject: one entry of the record each, refused if the champion has changed."""

from __future__ import annotations

import getpass
import os
import socket

from components.contracts import Decision, GateReport, Outcome
from components.errors import RegistryError
from model_registry.decisions.aliases import PREVIOUS_CHAMPION, decide, settle, settle_alone
from model_registry.decisions.history import BY_HAND, RELEASE, History, Rationale, bound_hashes
from model_registry.decisions.record import Record
from model_registry.facts import facts_of, hashes_of


def promote(record: Record, version: int, rationale: Rationale) -> None:
    """Make a version the champion, unless it is.

    Raises:
        RegistryError: the grounds do not carry it, or the champion is another one than they rest
            on.
    """
    champion = settle(record).champion
    if champion == version:
        return
    if rationale.gates is not None:
        champion = _compared(record, version, rationale.gates)
    _require_gates(record, version, rationale)
    _change(record, _decision(record, Outcome.PROMOTED, version, champion, rationale))


def back(record: Record, to: int | None) -> tuple[int, int | None]:
    """Return the version that a rollback makes champion, and the champion that it replaces.

    Arguments:
        record: of the model.
        to: the version to go back to; None for the champion before this one.

    Raises:
        RegistryError: there is no such champion.
    """
    history = settle(record)
    version = _before(record, history) if to is None else _former(record, history, to)
    return version, history.champion


def roll_back(record: Record, rationale: Rationale, version: int, champion: int | None) -> None:
    """Make a former champion the champion again, with what `back` said.

    Raises:
        RegistryError: somebody changed the champion since.
    """
    if version != champion:
        _change(record, _decision(record, Outcome.ROLLED_BACK, version, champion, rationale))


def _before(record: Record, history: History) -> int:
    """The version that a rollback without a number goes back to."""
    by_hand = record.aliases().get(PREVIOUS_CHAMPION)  # set in MLflow before there was a record
    if history.previous is not None:
        return history.previous
    if by_hand is not None and by_hand != history.champion and by_hand not in history.mentioned:
        return by_hand
    now = (
        "no champion"
        if history.champion is None
        else f"{record.model}/{history.champion} with nothing before it"
    )
    gone = sorted(history.mentioned - {history.champion})
    left = (
        f"; {', '.join(f'{record.model}/{version}' for version in gone)} left production before"
        if gone
        else ""
    )
    raise RegistryError(
        f"a champion of {record.model} before this one, to go back to",
        found=now + left,
        hint=f"name the version that you want: foveal rollback {record.model} --to VERSION, or "
        "foveal promote",
    )


def _former(record: Record, history: History, version: int) -> int:
    if version in history.mentioned:
        return version
    there = ", ".join(str(one) for one in sorted(history.mentioned & record.versions())) or "none"
    raise RegistryError(
        f"a version of {record.model} that was in production, to go back to",
        found=f"{record.model}/{version}, which never was; those that were: {there}",
        hint=f"promote it, if it is wanted: foveal promote {record.model}/{version}",
    )


def reject(record: Record, version: int, rationale: Rationale) -> None:
    """Record that a version was not promoted and is no challenger; repeating it changes nothing.

    Raises:
        RegistryError: it is the champion.
    """
    with record.alone():
        history = settle_alone(record)
        _require_unbroken(record, history, rationale)
        if history.champion == version:
            raise RegistryError(
                "a challenger to reject",
                found=f"the champion, {record.model}/{version}",
                hint=f"foveal rollback {record.model} takes it out of production",
            )
        decision = _decision(record, Outcome.REJECTED, version, history.champion, rationale)
        last = history.last_about(version)
        if last is None or last.decision != decision:
            decide(record, decision)


def _change(record: Record, decision: Decision) -> None:
    """Append a decision if the champion is the one it rests on.

    That is read again under the lock, and by replay after it.
    """
    with record.alone():
        history, counts = settle_alone(record), False
        _require_unbroken(record, history, decision)
        if history.champion == decision.champion_before:
            history, counts = decide(record, decision)
    same = decision.outcome is Outcome.PROMOTED and history.champion == decision.version
    if not counts and not same:
        raise _lost(record, decision, history)


def _require_unbroken(record: Record, history: History, made: Decision | Rationale) -> None:
    """Let only people decide where record entries are deleted or changed: their words are lost."""
    if history.broken and made.trigger != BY_HAND:
        raise RegistryError(
            f"a decision record of {record.model} as Foveal wrote it",
            found=f"{', '.join(history.broken)} outside of Foveal",
            hint=f"look at foveal history {record.model}; a promotion or a rollback by hand goes "
            "on from there",
        )


def _decision(
    record: Record, outcome: Outcome, version: int, champion: int | None, rationale: Rationale
) -> Decision:
    facts = facts_of(
        record.store, record.store.client.get_model_version(record.model, str(version))
    )
    hashes = {**hashes_of(facts), **bound_hashes(record.read(), version)}
    return Decision(
        outcome,
        version,
        champion,
        rationale.trigger,
        rationale.who or _this_user(),
        tuple(rationale.reasons),
        rationale.event,
        rationale.gates,
        {**hashes, **rationale.hashes},
    )


def _compared(record: Record, version: int, gates: GateReport) -> int | None:
    """The champion that the gates compared with, if they are about this version at all."""
    if gates.challenger != f"{record.model}/{version}":
        raise RegistryError(
            f"gates of {record.model}/{version}",
            found=f"gates of {gates.challenger}",
            hint="evaluate its own",
        )
    _, _, champion = gates.champion.rpartition("/")
    return int(champion) if champion else None


def _require_gates(record: Record, version: int, rationale: Rationale) -> None:
    """Nothing but a person, or the rule for releases, promotes without gates that were passed."""
    if rationale.trigger in (BY_HAND, RELEASE) or (
        rationale.gates is not None and rationale.gates.passed
    ):
        return
    raise RegistryError(
        f"gates that {record.model}/{version} passed, to promote it by trigger {rationale.trigger}",
        found="; ".join(rationale.gates.reasons) if rationale.gates else "none evaluated",
        hint="look at them, and promote it by hand if you are sure: foveal promote "
        f"{record.model}/{version}",
    )


def _lost(record: Record, decision: Decision, history: History) -> RegistryError:
    model = record.model
    expected = (
        "no champion yet"
        if decision.champion_before is None
        else f"{model}/{decision.champion_before}"
    )
    now = "no champion" if history.champion is None else f"{model}/{history.champion}"
    last = history.last_change()
    how = ""
    if last is not None:
        what = last.decision.outcome.value.replace("_", " ")
        how = (
            f", {what} by {last.decision.who} at {last.at:%Y-%m-%d %H:%M:%S} UTC in decision "
            f"{last.number}"
        )
    return RegistryError(
        f"{expected} as champion of {model}, as when this began",
        found=f"{now}{how}",
        hint=f"see foveal history {model}, then run it again if it is still wanted",
    )


def _this_user() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
