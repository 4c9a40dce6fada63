"""One retraining in flight per model on a storage root, and each event once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from components.contracts import ModelVersion, Outcome, dump, load
from components.errors import ConfigError
from components.files import sha256_json
from components.inference.lock import exclusive
from components.training.attempts import OPEN, Attempt, Ending, earliest_next
from flows.config_retraining import RetrainConfig
from flows.settings import Settings
from flows.summary_retraining import RetrainSummary
from flows.tasks import registry, store

KIND = "retraining"  # of the records


@contextmanager
def in_flight(name: str) -> Iterator[bool]:
    """Hold the model's one place for a retraining, until this process ends in whatever way; False when it is taken."""
    with ExitStack() as held:
        try:
            held.enter_context(exclusive(Settings.from_environment().root / "retraining" / name))
        except ConfigError:
            yield False
            return
        yield True


def known_answer(config: RetrainConfig) -> RetrainSummary | None:
    """Find what came of the event when it was dealt with; None for none, and for one that was not or that is open."""
    if not config.event:
        return None
    for record in store().records(config.name, KIND):
        if record.content["event"] == config.event and record.content["summary"]["state"] not in OPEN:
            return replace(load(RetrainSummary, record.content["summary"]), repeated=True)
    for made in registry().decisions(config.name):  # one that was killed after it had decided
        if made.decision.event == config.event:
            return replace(RetrainSummary.decided(config, made.decision), repeated=True)
    return None


def cooling_down(config: RetrainConfig) -> str:
    """Why an automatic retraining has to wait; empty when it need not. A rollback is the rejection that came late."""
    if config.trigger == "by hand":
        return ""
    records = store().records(config.name, KIND)
    ended = [Attempt(one.content["event"], one.at, Ending(one.content["summary"]["state"])) for one in records]
    undone = [made for made in registry().decisions(config.name) if made.decision.outcome is Outcome.ROLLED_BACK]
    ended += [Attempt(made.decision.event, made.at, Ending.REJECTED) for made in undone]
    ended.sort(key=lambda attempt: attempt.at)
    until = earliest_next(ended, timedelta(hours=config.cooldown_hours))
    if until is None or datetime.now(UTC) >= until:
        return ""
    why = "a rejected challenger or a rollback"
    return f"cooling down after {why} until {until:%Y-%m-%d %H:%M} UTC; it can be started by hand"


def remember(config: RetrainConfig, champion: ModelVersion, done: RetrainSummary) -> None:
    """Keep what came of a retraining, once for each event; one that lacked labels or a quiet machine stays open."""
    at = datetime.now(UTC)
    ended = config.event and done.state not in OPEN
    key = sha256_json([config.event if ended else at.isoformat()])[:32]
    content = {"event": config.event, "trigger": config.trigger, "summary": dump(done)}
    store().put_record(config.name, champion.version, KIND, key, content, at=at)
