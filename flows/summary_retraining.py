"""What a retraining says at its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from components.contracts import DatasetVersion, Decision, GateReport, ModelVersion, Outcome, dump
from flows.config_retraining import RetrainConfig
from flows.formats import plain


@dataclass(frozen=True)
class RetrainSummary:
    """A retraining that ended, or did not begin.

    Arguments:
        name: of the model.
        state: `promoted`, `rejected`, `needs_labels`, or `not_begun`.
        reason: one line.
        champion: version in production afterwards, where it is known.
        challenger: version that was trained, or None.
        missing: new labelled images that a retraining still needs.
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
        """Nothing was done."""
        return cls(config.name, "not_begun", reason)

    @classmethod
    def needs_labels(cls, config: RetrainConfig, labelled: int, queued: int) -> Self:
        """There is too little to learn from."""
        missing = config.data.minimum_labels - labelled
        reason = f"{labelled} new labelled images, {missing} are missing; {queued} wait in the labelling queue"
        return cls(config.name, "needs_labels", reason, missing=missing, queued=queued)

    @classmethod
    def decided(
        cls,
        config: RetrainConfig,
        before: ModelVersion,
        challenger: ModelVersion,
        dataset: DatasetVersion,
        gates: GateReport,
    ) -> Self:
        """A challenger was trained, and promoted or rejected."""
        held = [reason for reason in gates.reasons if not gates.passed]
        state, champion = ("promoted", challenger) if gates.passed else ("rejected", before)
        reason = held[0] if held else f"every gate passed; the champion was {before.version}"
        return cls(config.name, state, reason, champion.version, challenger.version, dataset=dataset, gates=gates)

    @classmethod
    def as_recorded(cls, config: RetrainConfig, decision: Decision) -> Self:
        """What the record says of an event that was decided on before."""
        promoted = decision.outcome is Outcome.PROMOTED
        champion = decision.version if promoted else decision.champion_before
        reason = decision.reasons[0] if decision.reasons else "no reason was recorded"
        state = "promoted" if promoted else "rejected"
        return cls(config.name, state, reason, champion, decision.version, gates=decision.gates, repeated=True)

    def to_json(self) -> dict[str, Any]:
        """Plain values; paths are strings."""
        return plain(self) | {
            "dataset": dump(self.dataset) if self.dataset else None,
            "gates": dump(self.gates) if self.gates else None,
        }
