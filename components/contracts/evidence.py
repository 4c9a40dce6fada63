"""Evidence about two versions: gates and A/B tests."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from components.contracts.measurements import Verdict

RATIO_GATES = frozenset({"p95_ms", "size_mb", "peak_rss_mb"})


@dataclass(frozen=True)
class Gate:
    """One condition of a promotion: the challenger against the champion on the same images.

    Arguments:
        name: e.g. ``golden``, ``recent``, ``class 7``, ``p95_ms``, ``size_mb``, ``bundle``.
        champion: its value, or None where there is none.
        challenger: likewise.
        difference: challenger − champion with its 95 % interval, as (value, low, high); challenger
            ÷ champion where `is_ratio`.
        limit: what the interval's bound is compared with.
        achievable: the smallest margin that this many images could have shown, or None.
        images: what it rests on.
        verdict: only `pass` lets a required gate through; missing is not passing.
        reason: one line for people.
        required: whether anything but a pass keeps the challenger from being promoted.
        slice_of: the gate whose images it looks at a part of, or empty.
        images_needed: about how many images would decide what is undecided, or None.
        noise: of the run that its times were taken in, as a share, where it is too large to decide
            by; else None.
    """

    name: str
    champion: float | None
    challenger: float | None
    difference: tuple[float, float, float] | None
    limit: float | None
    achievable: float | None
    images: int
    verdict: Verdict
    reason: str
    required: bool = True
    slice_of: str = ""
    images_needed: int | None = None
    noise: float | None = None

    @property
    def is_ratio(self) -> bool:
        """Tell whether `difference` and `limit` are ratios, as for latency, size and memory."""
        return self.name in RATIO_GATES


@dataclass(frozen=True)
class GateReport:
    """All gates of one challenger; `champion` and `challenger` are NAME/VERSION."""

    champion: str
    challenger: str
    gates: tuple[Gate, ...]

    @property
    def passed(self) -> bool:
        """Tell whether every required gate was passed, and there was at least one."""
        required = [gate for gate in self.gates if gate.required]
        return bool(required) and all(gate.verdict is Verdict.PASS for gate in required)

    @property
    def to_measure_again(self) -> bool:
        """Tell whether only the times of a busy machine hold the challenger back.

        They are no ground to reject it.
        """
        held = [gate for gate in self.gates if gate.required and gate.verdict is not Verdict.PASS]
        return bool(held) and all(
            gate.noise is not None and gate.verdict is Verdict.UNDECIDED for gate in held
        )

    @property
    def reasons(self) -> tuple[str, ...]:
        """Required gates that were not passed, one line each, or else those that were passed."""
        held = [gate for gate in self.gates if gate.required and gate.verdict is not Verdict.PASS]
        shown = held or [gate for gate in self.gates if not gate.slice_of]
        lines = [f"{gate.name}: {gate.verdict.value}, {gate.reason}" for gate in shown]
        return (*lines, *(self._slices() if not held else ()))

    def _slices(self) -> tuple[str, ...]:
        """All slices in one line, with the one that lost most."""
        judged = [gate for gate in self.gates if gate.slice_of and gate.difference]
        enough = [gate for gate in judged if gate.verdict is not Verdict.NOT_EVALUATED]
        if not enough:
            return ()
        worst = min(enough, key=lambda gate: gate.difference[0] if gate.difference else 0.0)
        change = "" if worst.difference is None else f", {worst.difference[0]:+.3f}"
        return (
            f"slices: pass, {len(enough)} of {len(judged)} are large enough; most lost "
            f"{worst.name}{change}",
        )


class AbMode(StrEnum):
    """Assignment of images to the versions of an A/B test."""

    SHADOW = "shadow"  # both versions
    SPLIT = "split"  # one of them, by the hash of its id


class AbVerdict(StrEnum):
    """Verdict of an A/B test on two versions."""

    A = "A"  # A scores higher
    B = "B"  # B scores higher
    NO_DIFFERENCE = "no difference ≥ δ"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class AbResult:
    """The outcome of an A/B test.

    Arguments:
        verdict: what it says.
        value: mean score of B − mean score of A; None where it is not known, or not to be looked at
            yet.
        interval: what the data do not contradict of that difference, at 95 %; None likewise.
        samples: scored images that it rests on; an image that both versions saw counts once.
        planned: of a fixed sample size: how many images it needs; None for a sequential test, or
            before it is known.
        delta: δ, the smallest difference that matters.
        method: ``"fixed sample size"`` or ``"always-valid sequential"``.
        reason: one line for people.
    """

    verdict: AbVerdict
    value: float | None
    interval: tuple[float, float] | None
    samples: int
    planned: int | None
    delta: float
    method: str
    reason: str
