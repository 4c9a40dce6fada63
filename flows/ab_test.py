"""A/B tests: two versions over the same images, or over a share each, and what their scores say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from prefect.artifacts import create_markdown_artifact

from components.contracts import AbMode, AbResult, InferenceRun, Prediction, VisionSpec
from components.datasets.checks import name_some
from components.datasets.classes import same_classes
from components.datasets.dataset import load_dataset
from components.errors import IncompatibleError
from components.evaluation import AbPlan, evaluate_ab, undecided
from components.images.sources import list_images
from components.inference import Arm, Design, Experiment
from components.monitoring.performance.accuracy import truths_for
from components.tables import Table, number
from components.vision.image_score import score_name
from flows.config.ab_test import AbConfig
from flows.reporting.links import with_comparison
from flows.reporting.outcome import Conclusion, concluded
from flows.reporting.progress import advance, note
from flows.reporting.summary import Record
from flows.runtime.settings import Settings
from flows.tasks import evaluation as ab_scoring
from flows.tasks.evaluation import ArmFigures
from flows.tasks.predict import Served, serving
from flows.tasks.steps import step


@dataclass(frozen=True)
class AbSummary(Record):
    """A look at an A/B test.

    Arguments:
        experiment: its name.
        mode: shadow or split.
        score: what the score of an image is called.
        new: images that this look added.
        counted_before: images that were asked for and had been counted before.
        arms: A and B over all images of the test.
        agreement: mean score of B's answers with A's taken for the truth; None in a split.
        result: the verdict.
        folder: of the test.
    """

    experiment: str
    mode: str
    score: str
    new: int
    counted_before: int
    arms: tuple[ArmFigures, ...]
    agreement: float | None
    result: AbResult
    folder: Path

    @property
    def table(self) -> Table:
        """Table of what was counted and measured of both arms."""
        headings = ("arm", "version", "images", "failed", "scored", self.score, "p50 ms", "p95 ms")
        return Table(headings, [_row(arm) for arm in self.arms], kinds="ttnnnnnn")


def conclusion(config: AbConfig, found: AbSummary) -> Conclusion:
    """Sum a test up: its verdict and the reason."""
    verdict = found.result.verdict.value
    better = f"{verdict} is better" if verdict in tuple(Arm) else verdict
    return Conclusion(f"{config.name}: {config.a} and {config.b}", better, found.result.reason)


@concluded("ab test", "{config.name}: {config.a} and {config.b}", conclusion)
def ab_test(config: AbConfig) -> AbSummary:
    """Run two versions over the same images, or a share each, and compare their scores.

    They run over the images that the test has not seen yet; it compares all that it has.

    Arguments:
        config: the versions, the images, and how to judge.

    Raises:
        FovealError: no such version or images, versions that cannot be compared, or another test
            under this name.
    """
    sources = list_images(config.images)
    with serving(config.model_of(config.a)) as a, serving(config.model_of(config.b)) as b:
        _require_comparable(a, b)
        truths = _labels(config, a.artifact.spec)
        name = (
            config.experiment or f"{_plainly(a.label)}-or-{_plainly(b.label)}-{config.mode.value}"
        )
        folder = Settings.from_environment().root / "experiments" / config.name / name
        with Experiment.opened(folder, _design(config, name, a, b)) as experiment:
            new = experiment.plan(sources)
            if new:
                for arm, served in ((Arm.A, a), (Arm.B, b)):
                    run_arm(served, experiment, arm)
                experiment.keep()
            specs = a.artifact.spec, b.artifact.spec
            experiment.add_scores(ab_scoring.score_batches(experiment.batches(), truths, *specs))
            return look(config, experiment, a, b, new=new, asked=len(sources))


@step("ab arm", cached=False, retries=5)
def run_arm(served: Served, experiment: Experiment, arm: Arm) -> InferenceRun:
    """One version over the images that were planned for it; a killed run resumes."""
    sources, output = experiment.sources(arm), experiment.output(arm)
    return served.run(
        sources, output, lambda done, total: advance(f"images of {served.label}", done, total)
    )


@step("ab verdict", cached=False)
def look(
    config: AbConfig, experiment: Experiment, a: Served, b: Served, *, new: int, asked: int
) -> AbSummary:
    """Judge all of the test, and show it."""
    batches, spec = experiment.batches(), a.artifact.spec
    _, scores = experiment.scores()
    arms = tuple(
        ab_scoring.figures(arm, batches, _known(scores[:, column]), served.label)
        for column, (arm, served) in enumerate(((Arm.A, a), (Arm.B, b)))
    )
    found = AbSummary(
        experiment.folder.name,
        config.mode.value,
        score_name(spec.task),
        new,
        asked - new,
        arms,
        ab_scoring.agreement(batches, spec, b.artifact.spec)
        if config.mode is AbMode.SHADOW
        else None,
        _judge(config, scores),
        experiment.folder,
    )
    page = with_comparison(markdown(found), a.label, b.label)
    create_markdown_artifact(
        key="ab-verdict", markdown=page, description="The verdict of an A/B test"
    )
    return found


def markdown(found: AbSummary) -> str:
    """The verdict and what it rests on, as it is shown in the Prefect UI."""
    lines = [f"# {found.result.verdict.value}", f"{found.result.reason} ({found.result.method})"]
    lines += ["", found.table.to_markdown()]
    if found.result.planned is not None:
        lines += [
            "",
            f"Planned: {found.result.planned} scored images, for δ = {found.result.delta:g}",
        ]
    if found.agreement is not None:
        lines += [
            "",
            f"Agreement of the two, as {found.score} of one against the other: "
            f"{found.agreement:.4f}",
        ]
    return "\n".join(lines)


def _row(arm: ArmFigures) -> tuple[object, ...]:
    counts = (arm.images, arm.failed, arm.scored)
    return (
        arm.arm,
        arm.model,
        *counts,
        number(arm.score, 4),
        number(arm.p50_ms),
        number(arm.p95_ms),
    )


def _labels(config: AbConfig, spec: VisionSpec) -> dict[str, Prediction]:
    if config.labels is None:
        return {}
    labels = load_dataset(config.labels, config.labels_split, task=spec.task, only_labelled=True)
    note(labels.remarks, str(config.labels))
    return truths_for(labels, spec)


def _judge(config: AbConfig, scores: npt.NDArray[np.float64]) -> AbResult:
    share = config.share if config.mode is AbMode.SPLIT else None
    plan = AbPlan(config.delta, share, config.sequential, config.samples)
    if not len(scores):
        return undecided(
            plan,
            "no labels" if config.labels is None else f"none of the labels in {config.labels} fits",
        )
    return evaluate_ab(scores, plan)


def _known(column: npt.NDArray[np.float64]) -> list[float]:
    return [value for value in column.tolist() if not math.isnan(value)]


def _design(config: AbConfig, name: str, a: Served, b: Served) -> Design:
    return Design(
        a=_identity(a),
        b=_identity(b),
        mode=config.mode,
        share=config.share,
        salt=config.salt or name,
        delta=config.delta,
        sequential=config.sequential,
        samples=config.samples,
    )


def _identity(served: Served) -> str:
    return f"{served.label}, sha256 {served.artifact.sha256[:16]}"


def _plainly(label: str) -> str:
    return label.rpartition("/")[2]


def _require_comparable(a: Served, b: Served) -> None:
    one, other = a.artifact.spec, b.artifact.spec
    if one.task != other.task or not same_classes(one.class_names, other.class_names):
        raise IncompatibleError(
            "two versions of one task with the same class names",
            found=f"{a.label}: {one.task}, {name_some(one.class_names)}; "
            f"{b.label}: {other.task}, {name_some(other.class_names)}",
            hint="test versions that were trained on the same classes",
        )
