"""Retrainings for people: a summary, and a page in the Prefect UI."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from components.contracts import DatasetVersion, Decision, GateReport, ModelVersion, Outcome
from components.printing import counted
from components.tables import Table
from components.training.attempts import Ending
from flows.config.retrain import RetrainConfig
from flows.reporting.evidence import held_by
from flows.reporting.saved import saved_bundle
from flows.reporting.summary import Record


@dataclass(frozen=True)
class RetrainSummary(Record):
    """A retraining that ended, or did not begin.

    Arguments:
        name: of the model.
        state: `promoted`, `rejected`, `undecided`, `needs_labels`, `not_trainable`, or `not_begun`.
        reason: one line.
        champion: version in production afterwards, where it is known.
        challenger: version that was trained, or None.
        missing: new labelled images that a retraining still needs, or that would decide on a
            rejected challenger.
        queued: images that wait to be labelled.
        dataset: what was trained on, or None.
        gates: how the challenger did, or None.
        repeated: the event had been dealt with before: nothing was done now.
    """

    name: str
    state: str
    reason: str
    champion: int | None = None
    challenger: int | None = None
    missing: int = 0
    queued: int = 0
    dataset: DatasetVersion | None = None
    gates: GateReport | None = None
    repeated: bool = False

    @classmethod
    def not_begun(cls, config: RetrainConfig, reason: str) -> Self:
        """Sum up a retraining in which nothing was done."""
        return cls(config.name, "not_begun", reason)

    @classmethod
    def needs_labels(cls, config: RetrainConfig, labelled: int, missing: int, queued: int) -> Self:
        """Sum up a retraining with too few labels to train or to evaluate."""
        labels = counted(labelled, "new labelled image")
        reason = (
            f"{labels}, {_verb(missing, 'is', 'are')} missing; "
            f"{_verb(queued, 'waits', 'wait')} in the labelling queue"
        )
        return cls(config.name, "needs_labels", reason, missing=missing, queued=queued)

    @classmethod
    def not_trainable(
        cls, config: RetrainConfig, champion: ModelVersion, why: str, queued: int
    ) -> Self:
        """Sum up for an untrainable champion: images wait to be labelled for training elsewhere."""
        waiting = (
            f"{counted(queued, 'image')} {'waits' if queued == 1 else 'wait'} in the "
            "labelling queue"
        )
        reason = f"{why}; {waiting}: train elsewhere and release the result"
        return cls(config.name, "not_trainable", reason, champion.version, queued=queued)

    @classmethod
    def unfit(
        cls, config: RetrainConfig, champion: ModelVersion, dataset: DatasetVersion, reason: str
    ) -> Self:
        """Sum up one whose challenger cannot be released: rejected without its own version."""
        return cls(config.name, "rejected", reason, champion.version, dataset=dataset)

    @classmethod
    def undecided(
        cls,
        config: RetrainConfig,
        champion: ModelVersion,
        challenger: int,
        dataset: DatasetVersion | None,
        gates: GateReport,
    ) -> Self:
        """Sum up one where only times, to be measured again, keep the challenger back."""
        reason = (
            f"{gates.reasons[0]}; nothing was decided: retrain again, all but the gates is kept"
        )
        return cls(
            config.name,
            "undecided",
            reason,
            champion.version,
            challenger,
            dataset=dataset,
            gates=gates,
        )

    @classmethod
    def decided(
        cls, config: RetrainConfig, decision: Decision, dataset: DatasetVersion | None = None
    ) -> Self:
        """Sum up the decision on a challenger: promoted or rejected, and why."""
        promoted = decision.outcome is Outcome.PROMOTED
        champion = decision.version if promoted else decision.champion_before
        held = decision.reasons[0] if decision.reasons else "no reason was recorded"
        reason = (
            f"every gate passed; the champion was {decision.champion_before}" if promoted else held
        )
        state, more = (
            "promoted" if promoted else "rejected",
            config.labels_to_decide(decision.gates),
        )
        if more and not promoted:
            reason += f"; about {counted(more, 'more label')} would decide on the recent images"
        return cls(
            config.name,
            state,
            reason,
            champion,
            decision.version,
            more,
            dataset=dataset,
            gates=decision.gates,
        )

    @property
    def bundle(self) -> Path | None:
        """The challenger's bundle, where this storage root keeps it."""
        return saved_bundle(self.name, self.challenger) if self.challenger else None

    @property
    def outcome(self) -> str:
        """Outcome, with the gate that rejected the challenger or what the retraining waits for."""
        if self.state == "not_begun":
            return f"skipped: {self.reason.partition(';')[0]}"
        gate = held_by(self.gates) if self.state == Ending.REJECTED and self.gates else ""
        return f"rejected: {gate}" if gate else self.state.replace("_", " ")

    @property
    def headline(self) -> str:
        """The reason."""
        return self.reason

    def to_json(self) -> dict[str, Any]:
        """Convert to plain values, with the place of the challenger's bundle; paths are strings."""
        return super().to_json() | {"bundle": str(self.bundle) if self.bundle else None}


def _verb(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"


def markdown(config: RetrainConfig, done: RetrainSummary) -> str:
    """Write the summary as a Markdown page."""
    rows: list[tuple[str, object]] = [
        ("trigger", f"{config.trigger} {config.event}".strip()),
        ("champion", done.champion),
        ("challenger", done.challenger),
        ("challenger's bundle", f"`{done.bundle}`" if done.bundle else None),
        ("labels missing", done.missing or None),
        ("waiting to be labelled", done.queued or None),
    ]
    if done.dataset:
        rows += [(f"{name} images", count) for name, count in done.dataset.images.items()]
        rows += [
            (f"{source}, of all splits", count) for source, count in done.dataset.sources.items()
        ]
        rows += [
            (f"left out, {reason.replace('_', ' ')}", count)
            for reason, count in done.dataset.dropped.items()
        ]
    again = "; this event had been dealt with: nothing was done now" if done.repeated else ""
    table = Table(("", ""), [(name, value) for name, value in rows if value is not None])
    heading = f"# {done.state}\n{done.name}: {done.reason}{again}"
    return f"{heading}\n\n{table.to_markdown()}"
