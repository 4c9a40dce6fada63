"""Gates of a promotion: whether the challenger is safe, and worth it, in the champion's place.

Both are run exactly as they ship, on the same images and in interleaved rounds. `gate_rules` says
what each gate asks; a bundle is loaded and queried by whoever knows bundles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from components.benchmark.variant_run import Progress
from components.benchmark.verdicts import Evidence as Measured
from components.benchmark.verdicts import check_budget
from components.contracts import (
    Check,
    Gate,
    GateReport,
    Prediction,
    Target,
    Variant,
    Verdict,
    VisionSpec,
)
from components.datasets.classes import class_ids, in_classes_of, same_classes
from components.datasets.dataset import LabelledDataset
from components.errors import ConfigError, FovealError, IncompatibleError
from components.evaluation.cost_rules import latency_verdict
from components.evaluation.gate_policy import GatePolicy
from components.evaluation.gate_rules import EvaluationResult, Evidence, Slice, evaluate_gates
from components.evaluation.interleaved import Cost, Ratio, Side, Timing, measure_both
from components.statistics.differences import Difference, mean_difference
from components.vision import task_for
from components.vision.image_score import score_image, shown_at
from components.vision.paired import pair_up

NO_CHAMPION = "there is no champion to compare with"


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """Labelled images that both models are evaluated on, and groups of them evaluated separately.

    Arguments:
        dataset: one split.
        slices: name → which of its images, (n,) bool.

    Raises:
        ConfigError: a slice is not of that many images.
    """

    dataset: LabelledDataset
    slices: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, mask in self.slices.items():
            if mask.shape != (len(self.dataset.images),):
                raise ConfigError(
                    f"a slice of {len(self.dataset.images)} images", found=f"{name} of {mask.shape}"
                )

    @property
    def truths(self) -> list[Prediction]:
        """Ground truth of its images."""
        return [image.truth for image in self.dataset.images]


@dataclass(frozen=True, eq=False)
class GateInputs:
    """Inputs of the gates beside the two models.

    Arguments:
        golden: the frozen set.
        target: device and threads for both models, and the limits that the challenger must keep
            besides.
        smoke: loads and queries the challenger's bundle as whoever deploys it would.
        recent: labelled images since the drift, or None.
        golden_sha256_of_champion: content hash of the golden set that the champion was released
            with; another one than that of `golden`, or None, and the golden gate is not evaluated.
        require_improvement: drift was the cause: on recent images the challenger must be better.
    """

    golden: EvaluationSet
    target: Target
    smoke: Callable[[], Check]
    recent: EvaluationSet | None = None
    golden_sha256_of_champion: str | None = None
    require_improvement: bool = False


def run_gates(
    champion: Variant | None,
    challenger: Variant,
    inputs: GateInputs,
    *,
    policy: GatePolicy | None = None,
    progress: Progress | None = None,
) -> GateReport:
    """Run every gate; a model that cannot be run leaves its gates `not_evaluated`.

    Nothing is promoted then.

    Arguments:
        champion: what is in production, or None: then no gate that compares is evaluated.
        challenger: what is to take its place.
        inputs: images, target and the challenger's bundle.
        policy: limits and effort; rounds are repeated up to four times while the latency is
            undecided.
        progress: called with what is being done, how much of it is done, and out of how much.

    Raises:
        IncompatibleError: the two models differ in task or class names, or images show other
            classes; in which order the names are does not matter.
    """
    policy, target = policy or GatePolicy(), inputs.target
    spec = challenger.artifact.spec
    _require_alike(spec, champion.artifact.spec if champion else spec)
    exams = [
        _in_classes_of(evaluation_set, spec)
        for evaluation_set in (inputs.golden, inputs.recent)
        if evaluation_set
    ]
    bundle = _try(inputs.smoke)

    def decided(ratio: Ratio) -> bool:
        return latency_verdict(ratio, policy.latency_increase) is not Verdict.UNDECIDED

    before, after, ratio = measure_both(
        champion,
        challenger,
        [evaluation_set.dataset.images for evaluation_set in exams],
        target=target,
        timing=Timing(policy.rounds, policy.calls, decided),
        progress=progress or (lambda what, done, total: None),
    )
    if champion and before:
        before = _renumbered(before, champion.artifact.spec, spec)
    examined = [
        examine(evaluation_set, before, after, spec, k) for k, evaluation_set in enumerate(exams)
    ]
    known = inputs.golden_sha256_of_champion if champion else None
    examined[0] = _frozen(examined[0], inputs.golden.dataset.sha256, known)
    evidence = Evidence(
        golden=examined[0],
        recent=examined[1] if inputs.recent else None,
        champion=before.cost if before else None,
        challenger=after.cost,
        ratio=ratio,
        missing=_why_not(before, after),
        budget=_budget(after.cost, ratio, target),
        bundle=bundle,
    )
    gates: tuple[Gate, ...] = evaluate_gates(
        evidence, policy, require_improvement=inputs.require_improvement
    )
    return GateReport(champion.name if champion else "", challenger.name, gates)


def examine(
    evaluation_set: EvaluationSet, before: Side | None, after: Side, spec: VisionSpec, number: int
) -> EvaluationResult:
    """Compare both models' predictions of one set.

    Arguments:
        evaluation_set: the labelled images.
        before: the champion's side, or None.
        after: the challenger's.
        spec: of both models.
        number: which of a side's predictions are of this exam.
    """
    task, truths = task_for(spec), evaluation_set.truths
    if not any(truth.count for truth in truths):
        return EvaluationResult(
            len(truths), task.metric, missing="nobody labelled an object in these images"
        )
    scores = [
        task.evaluate(side.predictions[number], truths)[task.metric]
        if side and not side.error
        else None
        for side in (before, after)
    ]
    examined = EvaluationResult(
        len(truths), task.metric, scores[0], scores[1], missing=_why_not(before, after)
    )
    if examined.missing or before is None:
        return examined
    pair = pair_up(before.predictions[number], after.predictions[number], truths, spec.class_names)
    classes = [
        Slice(f"class {name}", count, task.unit, found)
        for name, (count, found) in pair.by_class().items()
    ]
    groups = [
        Slice(name, int(mask.sum()), "images", pair.overall(mask))
        for name, mask in evaluation_set.slices.items()
    ]
    everything = pair.overall(np.ones(len(truths), np.bool_))
    by_image = _by_image(before, after, truths, number) if task.finds_objects else None
    return replace(examined, difference=everything, slices=(*classes, *groups), by_image=by_image)


def _by_image(
    before: Side, after: Side, truths: list[Prediction], number: int
) -> Difference | None:
    """Return the difference of the mean image scores, each at the confidence of its release."""
    scores = [
        [
            score_image(shown_at(found, side.confidence), truth)
            for found, truth in zip(side.predictions[number], truths, strict=True)
        ]
        for side in (before, after)
    ]
    return mean_difference(*scores)


def _frozen(golden: EvaluationResult, found: str, expected: str | None) -> EvaluationResult:
    """Leave the golden set unevaluated unless it is the one that the champion was released with."""
    if golden.missing or found == expected:
        return golden
    if expected is None:
        return replace(
            golden, missing="nobody knows which golden set the champion was released with"
        )
    reason = (
        f"not the golden set that the champion was released with: sha256 {found[:12]} and not "
        f"{expected[:12]}"
    )
    return replace(golden, missing=reason)


def _why_not(before: Side | None, after: Side) -> str:
    if after.error:
        return f"the challenger could not be run: {after.error}"
    if before is None:
        return NO_CHAMPION
    return f"the champion could not be run: {before.error}" if before.error else ""


def _budget(cost: Cost, ratio: Ratio, target: Target) -> tuple[Check, ...]:
    """Check the challenger against the target's limits of time, size and memory.

    Accuracy has gates of its own.
    """
    if cost.size_mb is None:
        return ()
    measured = Measured(cost.p95, ratio.noise, cost.size_mb, cost.peak_rss_mb, None, None, 0)
    limits = replace(target.budget, max_accuracy_drop=None)
    return check_budget(measured, limits, measured_on_host=target.measured_on_host)


def _try(smoke: Callable[[], Check]) -> Check:
    try:
        return smoke()
    except FovealError as error:
        return Check("bundle", None, None, Verdict.FAIL, str(error))


def _require_alike(spec: VisionSpec, other: VisionSpec) -> None:
    """Make sure that both models mean the same classes, in whatever order."""
    if other.task != spec.task or not same_classes(other.class_names, spec.class_names):
        raise IncompatibleError(
            f"two models to {spec.task} {', '.join(spec.class_names)}",
            found=f"one to {other.task} {', '.join(other.class_names)}",
            hint="compare models of the same classes",
        )


def _in_classes_of(evaluation_set: EvaluationSet, spec: VisionSpec) -> EvaluationSet:
    """Give labelled images the class ids of the challenger."""
    if evaluation_set.dataset.task != spec.task:
        raise IncompatibleError(
            f"images that are labelled to {spec.task}",
            found=f"to {evaluation_set.dataset.task} in {evaluation_set.dataset.root}",
        )
    return replace(evaluation_set, dataset=in_classes_of(evaluation_set.dataset, spec.class_names))


def _renumbered(side: Side, own: VisionSpec, spec: VisionSpec) -> Side:
    """Give the champion's predictions the class ids of the challenger."""
    if own.class_names == spec.class_names:
        return side
    ids, classes = class_ids(own.class_names, spec.class_names), len(spec.class_names)
    return replace(
        side,
        predictions=tuple(
            tuple(one.renumbered(ids, classes) for one in part) for part in side.predictions
        ),
    )
