"""False promotions of a challenger that is no better, in a hundred tries on other images each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import challengers
from benchmarks.figure import Figure, conclude
from benchmarks.subject import scratch
from components.contracts import Check, GateReport, ModelArtifact, Variant, Verdict, VisionSpec
from components.datasets.dataset import LabelledDataset, load_dataset
from components.datasets.scenes import SceneCounts, write_detection_dataset
from components.evaluation import EvaluationSet, GatePolicy
from components.evaluation.gate_rules import Evidence, evaluate_gates
from components.evaluation.gates import examine
from components.evaluation.interleaved import Ratio, Side, Timing, measure_both

POOL = SceneCounts(train=1, calibration=1, validation=450, golden=1, day=1, night=450, next_night=1)
TRIES, DRAWN = 100, 150  # in all; images of each set
JITTER, SEEDS = 0.01, (1, 2, 3)  # noise on the weights, as a share of a layer's spread
# noise that makes a model answer differently, and worse, until answers change hands
DISAGREEING = 0.06
POLICY = GatePolicy()
ANSWERED = Check("bundle", None, None, Verdict.PASS, "not part of this bench")

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Race:
    """Answers of champion and challenger on the pool, day first, then night, and their cost.

    Arguments:
        what: in words.
        spec: of both.
        sides: champion and challenger.
        ratio: of their times.
        weight: how many tenths of the tries are of this pair.
        swapped: whether a coin decides for each image whose answer is whose: as good by
            construction.
    """

    what: str
    spec: VisionSpec
    sides: tuple[Side, Side]
    ratio: Ratio
    weight: int
    swapped: bool = False

    def report(
        self,
        pool: tuple[EvaluationSet, EvaluationSet],
        rows: tuple[Rows, Rows],
        rng: np.random.Generator,
    ) -> GateReport:
        """Run the gates with some day images as the golden set and some night images as recent."""
        before, after = (_answers(side, rows) for side in self.sides)
        if self.swapped:
            before, after = _swapped(before, after, rng)
        golden, recent = (
            examine(
                EvaluationSet(_chosen(evaluation_set, chosen)), before, after, self.spec, number
            )
            for number, (evaluation_set, chosen) in enumerate(zip(pool, rows, strict=True))
        )
        evidence = Evidence(golden, recent, before.cost, after.cost, self.ratio, "", (), ANSWERED)
        return GateReport(
            "digits/1", "digits/2", evaluate_gates(evidence, POLICY, require_improvement=True)
        )


def _chosen(evaluation_set: EvaluationSet, rows: Rows) -> LabelledDataset:
    return replace(
        evaluation_set.dataset, images=tuple(evaluation_set.dataset.images[row] for row in rows)
    )


def _answers(side: Side, rows: tuple[Rows, Rows]) -> Side:
    found = zip(side.predictions, rows, strict=True)
    return replace(
        side,
        predictions=tuple(
            tuple(predictions[row] for row in chosen) for predictions, chosen in found
        ),
    )


def _swapped(one: Side, other: Side, rng: np.random.Generator) -> tuple[Side, Side]:
    """Both sides after a coin has decided for each image which of the two answers is whose."""
    kept = [rng.random(len(part)) < 0.5 for part in one.predictions]
    sides = [
        tuple(
            tuple(mine if keep else its for mine, its, keep in zip(*parts, strict=True))
            for parts in zip(side.predictions, opposite.predictions, kept, strict=True)
        )
        for side, opposite in ((one, other), (other, one))
    ]
    return replace(one, predictions=sides[0]), replace(other, predictions=sides[1])


def measure(counts: SceneCounts = POOL, tries: int = TRIES, drawn: int = DRAWN) -> Figure:
    """Make some tries with the same file, the others with other models that are as good."""
    with scratch() as name:
        folder = Path(name)
        data = write_detection_dataset(folder / "digits", counts=counts, seed=1)
        pool = EvaluationSet(load_dataset(data, "val")), EvaluationSet(load_dataset(data, "night"))
        races = list(_races(folder, pool))
    rng = np.random.default_rng(0)
    tried = [(race, _tried(race, pool, race.weight * tries // 10, drawn, rng)) for race in races]
    promoted = sum(len(_improved(reports)) for _, reports in tried)
    sizes = " and ".join(str(len(evaluation_set.dataset.images)) for evaluation_set in pool)
    details = [
        f"pool of {sizes} images of day and night, predicted once by each pair; a try draws "
        f"{drawn} of both"
    ]
    details += [_line(race, reports) for race, reports in tried]
    made = sum(len(reports) for _, reports in tried)
    text = f"{promoted} of {made} challengers that are no better promoted as improvements"
    return Figure(
        "identical", text, f"0 of {tries}", promoted == 0 and made == tries, tuple(details)
    )


def _races(folder: Path, pool: tuple[EvaluationSet, EvaluationSet]) -> Iterator[Race]:
    """Yield races of the shipped detector against itself and against variants of itself.

    The variants run on another backend, have noise on their weights, or have their answers swapped.
    """
    source = challengers.shipped(folder / "source")
    yield _race("bit-identical", source, source, pool, weight=2)
    yield _race("the same weights on openvino", source, source, pool, backend="openvino")
    for seed in SEEDS:
        noisy = challengers.jittered(source, folder, JITTER, seed)
        yield _race(f"{JITTER:.0%} of noise on the weights, seed {seed}", source, noisy, pool)
    other = challengers.jittered(source, folder, DISAGREEING, 0)
    what = f"{DISAGREEING:.0%} of noise, each image's two answers swapped by a coin"
    yield replace(_race(what, source, other, pool, weight=4), swapped=True)


def _race(
    what: str,
    source: ModelArtifact,
    artifact: ModelArtifact,
    pool: tuple[EvaluationSet, EvaluationSet],
    *,
    backend: str = "onnxruntime",
    weight: int = 1,
) -> Race:
    """Real inference of all images by both, timed in interleaved rounds."""
    before, after, ratio = measure_both(
        Variant("digits/1", source, "onnxruntime"),
        Variant("digits/2", artifact, backend),
        [evaluation_set.dataset.images for evaluation_set in pool],
        target=challengers.target(),
        timing=Timing(7, 19, lambda _: True),
        progress=lambda what, done, total: None,
    )
    assert before is not None  # noqa: S101 - a champion was given
    return Race(what, source.spec, (before, after), ratio, weight)


def _tried(
    race: Race,
    pool: tuple[EvaluationSet, EvaluationSet],
    tries: int,
    drawn: int,
    rng: np.random.Generator,
) -> list[GateReport]:
    def draw(evaluation_set: EvaluationSet) -> Rows:
        return rng.choice(len(evaluation_set.dataset.images), drawn, replace=False)

    return [race.report(pool, (draw(pool[0]), draw(pool[1])), rng) for _ in range(tries)]


def _improved(reports: list[GateReport]) -> list[GateReport]:
    """Return the reports that believed the gain on recent images, whatever other gates said.

    No promotion goes without that gain.
    """
    return [
        report
        for report in reports
        if report.passed
        or any(gate.name == "recent" and gate.verdict is Verdict.PASS for gate in report.gates)
    ]


def _line(race: Race, reports: list[GateReport]) -> str:
    """Report how many were promoted, and how rules that look at less would judge recent images."""
    recent = [
        gate.difference for report in reports for gate in report.gates if gate.name == "recent"
    ]
    gained, surely = (sum(bool(found and found[k] > 0) for found in recent) for k in (0, 1))
    widest, believed = max(abs(found[0]) for found in recent if found), len(_improved(reports))
    return (
        f"{race.what}: {believed} of {len(reports)} taken for better; {gained} gained on the "
        f"recent images, {surely} "
        f"of them beyond the 95 % interval, {widest:.4f} at most either way"
    )


if __name__ == "__main__":
    conclude(measure)
