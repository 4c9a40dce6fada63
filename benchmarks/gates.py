"""Rejection of four bad challengers, each for its own reason.

One has wrong labels, one half the speed, one a broken class, and one is cut off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import challengers
from benchmarks.challengers import packed
from benchmarks.figure import Figure, conclude
from benchmarks.subject import scratch
from components.contracts import Bundle, Gate, GateReport, Verdict
from components.datasets.dataset import LabelledDataset, load_dataset
from components.datasets.scenes import CLASS_NAMES, SceneCounts, write_detection_dataset
from components.evaluation import EvaluationSet, GateInputs, run_gates
from flows.tasks.gates import golden_hash, load_and_query
from flows.tasks.predict import read_bundle

COUNTS = SceneCounts(
    train=240, calibration=1, validation=400, golden=1, day=1, night=1, next_night=1
)
QUERIES = 3
BROKEN = f"class {CLASS_NAMES[challengers.BROKEN_CLASS]}"
SLOWER = 2.0

Failed = dict[str, Gate]


@dataclass(frozen=True)
class Bad:
    """A challenger and the gate that must reject it.

    `right` tells what must hold of the gates that failed and of all gates.
    """

    what: str
    bundle: Bundle
    gate: str
    right: Callable[[Failed, dict[str, Gate]], bool]


def measure(counts: SceneCounts = COUNTS) -> Figure:
    """Compare each bad challenger with the shipped detector on the same scenes.

    The shipped detector against itself must pass.
    """
    with scratch() as name:
        folder = Path(name)
        data = write_detection_dataset(folder / "digits", counts=counts)
        golden = load_dataset(data, "val")
        champion, bad = _contenders(data, golden, folder)
        itself = gated(champion, champion, golden)
        details = [
            f"the shipped detector against itself: {'passed' if itself.passed else 'held back'}"
        ]
        details += [
            f"  {line}"
            for line in itself.reasons
            if not itself.passed or line.startswith(("golden", "p95"))
        ]
        rejected = 0
        for one in bad:
            report = gated(champion, one.bundle, golden)
            right = _rightly(report, one)
            rejected += right
            details.append(f"{one.what}: {'rejected' if right else 'NOT REJECTED FOR ITS REASON'}")
            details += [f"  {line}" for line in _told(report, one)]
    text = f"{rejected} of {len(bad)} bad challengers rejected for the right reason, "
    text += f"the shipped detector against itself {'passed' if itself.passed else 'held back'}"
    return Figure("gates", text, "4 of 4, passed", rejected == 4 and itself.passed, tuple(details))


def _contenders(data: Path, golden: LabelledDataset, folder: Path) -> tuple[Bundle, list[Bad]]:
    queries, hashes = [image.path for image in golden.images[:QUERIES]], {"val": golden.sha256}
    source = challengers.shipped(folder / "source")
    shuffled = challengers.shuffled_labels(data, folder / "shuffled")
    slow = challengers.better_but_slow(folder / "slow")
    broken = challengers.broken_class(source, folder)
    champion, *bundles = (
        packed(artifact, folder / f"bundle-{number}", queries, hashes)
        for number, artifact in enumerate((source, shuffled, slow, broken))
    )
    cut = challengers.truncated(champion, folder / "truncated")
    return champion, [
        Bad("trained on shuffled labels", bundles[0], "golden", lambda failed, _: True),
        Bad("better, and its work doubled", bundles[1], "p95_ms", _slow_only),
        Bad(
            f"{BROKEN} broken",
            bundles[2],
            BROKEN,
            lambda failed, _: {n for n in failed if "class" in n} == {BROKEN},
        ),
        Bad(
            "its bundle does not load", cut, "bundle", lambda failed, _: list(failed) == ["bundle"]
        ),
    ]


def _slow_only(failed: Failed, every: dict[str, Gate]) -> bool:
    """At least as good, and half as fast: no gate of accuracy holds it back."""
    accuracy = [
        gate for gate in every.values() if gate.name == "golden" or gate.name.startswith("class")
    ]
    better, slower = every["golden"].difference, every["p95_ms"].difference
    kept = all(gate.verdict is Verdict.PASS or not gate.required for gate in accuracy)
    return bool(kept and better and better[0] >= 0 and slower and slower[0] >= SLOWER)


def gated(champion: Bundle, challenger: Bundle, golden: LabelledDataset) -> GateReport:
    """The gates of a promotion, with their own limits."""
    queries = [image.path for image in golden.images[:QUERIES]]
    return run_gates(
        read_bundle(champion.folder, "digits/1").variant,
        read_bundle(challenger.folder, "digits/2").variant,
        GateInputs(
            golden=EvaluationSet(golden),
            target=challengers.target(),
            smoke=lambda: load_and_query(challenger.folder, queries),
            golden_sha256_of_champion=golden_hash(champion.folder, "val"),
        ),
    )


def _rightly(report: GateReport, one: Bad) -> bool:
    every = {gate.name: gate for gate in report.gates}
    failed = {name: gate for name, gate in every.items() if gate.verdict is Verdict.FAIL}
    return not report.passed and one.gate in failed and one.right(failed, every)


def _told(report: GateReport, one: Bad) -> list[str]:
    """The golden gate's line, that of the gate in question, and how many others held it back."""
    lines = [f"{gate.name}: {gate.verdict.value}, {gate.reason}" for gate in report.gates]
    shown = [line for line in lines if line.partition(":")[0] in ("golden", one.gate)]
    others = sorted({line.partition(":")[0] for line in report.reasons} - {one.gate, "golden"})
    return shown + ([f"also held back by {', '.join(others)}"] if others else [])


if __name__ == "__main__":
    conclude(measure)
