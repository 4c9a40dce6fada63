"""Is a challenger that is no better ever promoted as an improvement? A hundred tries, on other images each time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import challengers
from benchmarks.figure import Figure, conclude
from benchmarks.subject import scratch
from components.benchmark import Contender, Exam, GatePolicy
from components.benchmark.contest import Ratio, Side, hold_contest
from components.benchmark.gate_rules import Evidence, judge
from components.benchmark.gates import examine
from components.contracts import Check, GateReport, ModelArtifact, Verdict, VisionSpec
from components.images.datasets import LabelledDataset, load_dataset
from components.images.digits import SceneCounts, write_detection_dataset

POOL = SceneCounts(train=1, calibration=1, validation=450, golden=1, day=1, night=450, next_night=1)
TRIES, DRAWN = 50, 150  # of each half; images of each set
JITTER, SEEDS = 0.01, (1, 2, 3)  # noise on the weights, as a share of a layer's spread
POLICY = GatePolicy()
ANSWERED = Check("bundle", None, None, Verdict.PASS, "not part of this bench")

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Race:
    """What champion and challenger said about the pool, day first, then night, and what they cost."""

    what: str
    spec: VisionSpec
    sides: tuple[Side, Side]
    ratio: Ratio

    def report(self, pool: tuple[Exam, Exam], rows: tuple[Rows, Rows]) -> GateReport:
        """The gates on some of the day images as the golden set, and on some of the night's as the recent one."""
        before, after = (_answers(side, rows) for side in self.sides)
        golden, recent = (
            examine(Exam(_chosen(exam, chosen)), before, after, self.spec, number)
            for number, (exam, chosen) in enumerate(zip(pool, rows, strict=True))
        )
        evidence = Evidence(golden, recent, before.cost, after.cost, self.ratio, "", (), ANSWERED)
        return GateReport("digits/1", "digits/2", judge(evidence, POLICY, require_improvement=True))


def _chosen(exam: Exam, rows: Rows) -> LabelledDataset:
    return replace(exam.dataset, images=tuple(exam.dataset.images[row] for row in rows))


def _answers(side: Side, rows: tuple[Rows, Rows]) -> Side:
    found = zip(side.predictions, rows, strict=True)
    return replace(side, predictions=tuple(tuple(predictions[row] for row in chosen) for predictions, chosen in found))


def measure(counts: SceneCounts = POOL, tries: int = TRIES, drawn: int = DRAWN) -> Figure:
    """Half of the tries with the same file, half with models that are as good and not the same."""
    with scratch() as name:
        folder = Path(name)
        data = write_detection_dataset(folder / "digits", counts=counts, seed=1)
        pool = Exam(load_dataset(data, "val")), Exam(load_dataset(data, "night"))
        same, *alike = _races(folder, pool)
    rng = np.random.default_rng(0)
    tried = [(same, _tried(same, pool, tries, drawn, rng))]
    shares = [len(part) for part in np.array_split(np.arange(tries), len(alike))]
    tried += [(race, _tried(race, pool, share, drawn, rng)) for race, share in zip(alike, shares, strict=True)]
    promoted = sum(len(_improved(reports)) for _, reports in tried)
    sizes = " and ".join(str(len(exam.dataset.images)) for exam in pool)
    details = [f"pool of {sizes} images of day and night, predicted once by each pair; a try draws {drawn} of both"]
    details += [_line(race, reports) for race, reports in tried]
    text = f"{promoted} of {2 * tries} challengers that are no better promoted as improvements"
    return Figure("identical", text, f"0 of {2 * tries}", promoted == 0, tuple(details))


def _races(folder: Path, pool: tuple[Exam, Exam]) -> Iterator[Race]:
    """The shipped detector against itself, on another backend, and with a little noise on its weights."""
    source = challengers.shipped(folder / "source")
    yield _race("bit-identical", source, source, "onnxruntime", pool)
    yield _race("the same weights on openvino", source, source, "openvino", pool)
    for seed in SEEDS:
        noisy = challengers.jittered(source, folder, JITTER, seed)
        yield _race(f"{JITTER:.0%} of noise on the weights, seed {seed}", source, noisy, "onnxruntime", pool)


def _race(what: str, source: ModelArtifact, artifact: ModelArtifact, backend: str, pool: tuple[Exam, Exam]) -> Race:
    """Real inference of all images by both, timed in interleaved rounds."""
    before, after, ratio = hold_contest(
        Contender("digits/1", source, "onnxruntime"),
        Contender("digits/2", artifact, backend),
        [exam.dataset.images for exam in pool],
        target=challengers.target(),
        decided=lambda _: True,
        rounds=7,
        calls=19,
        timeout_s=600,
        progress=lambda what, done, total: None,
    )
    assert before is not None  # noqa: S101 - a champion was given
    return Race(what, source.spec, (before, after), ratio)


def _tried(race: Race, pool: tuple[Exam, Exam], tries: int, drawn: int, rng: np.random.Generator) -> list[GateReport]:
    def draw(exam: Exam) -> Rows:
        return rng.choice(len(exam.dataset.images), drawn, replace=False)

    return [race.report(pool, (draw(pool[0]), draw(pool[1]))) for _ in range(tries)]


def _improved(reports: list[GateReport]) -> list[GateReport]:
    """Those whose gain on recent images was believed, whatever the other gates said: no promotion goes without it."""
    return [
        report
        for report in reports
        if report.passed or any(gate.name == "recent" and gate.verdict is Verdict.PASS for gate in report.gates)
    ]


def _line(race: Race, reports: list[GateReport]) -> str:
    """How many were promoted, and what rules that look at less would have made of the recent images."""
    recent = [gate.difference for report in reports for gate in report.gates if gate.name == "recent"]
    gained, surely = (sum(bool(found and found[k] > 0) for found in recent) for k in (0, 1))
    widest, believed = max(abs(found[0]) for found in recent if found), len(_improved(reports))
    return (
        f"{race.what}: {believed} of {len(reports)} taken for better; {gained} gained on the recent images, {surely} "
        f"of them beyond the 95 % interval, {widest:.4f} at most either way"
    )


if __name__ == "__main__":
    conclude(measure)
