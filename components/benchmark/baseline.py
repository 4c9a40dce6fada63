"""Baseline check of a model as given: above chance, and in agreement with its own framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from components.backends import get_backend
from components.contracts import Check, LabelledImage, ModelArtifact, Prediction, Verdict
from components.images.reading import read_image
from components.printing import counted
from components.vision import VisionTask, task_for, task_kind
from components.vision.agreement import agreement
from components.vision.chance import LEVEL, compare_with_chance

IMAGES = 128  # looked at, at most
FIRST = 32  # after so many a model that is clearly better than chance, at `CLEAR`, is believed
CLEAR = 0.005
AGREEING = 0.7  # share of predictions that must be those of the model's own framework
TOO_FEW = 10  # predictions of both sides say nothing about agreement
BY_FRAMEWORK = 16  # images that the framework is asked about
Framework = Callable[[Sequence[LabelledImage]], "list[Prediction] | None"]


def check_baseline(
    artifact: ModelArtifact,
    images: Sequence[LabelledImage],
    *,
    framework: Framework,
    confidence: float = 0.25,
    iou: float = 0.7,
) -> tuple[Check, ...]:
    """Check a model as it was given: FP32, on the CPU by onnxruntime.

    Arguments:
        artifact: the model.
        images: labelled ones, in an order in which the first are as good as any.
        framework: gives what the model's own framework predicts, or None where it is not here.
        confidence: threshold of detections.
        iou: the overlap above which NMS keeps one box.

    Returns:
        The check ``chance``, and ``framework`` where that is here. One that the images are too few
        for is `not_evaluated`.

    Raises:
        FovealError: the model cannot be run, or an image cannot be read.
    """
    task = task_for(artifact.spec, confidence=confidence, iou=iou)
    with get_backend("onnxruntime").open(artifact) as session:

        def predict(some: Sequence[LabelledImage], settings: VisionTask) -> list[Prediction]:
            found: list[Prediction] = []
            for image in some:
                fitted, frame = settings.preprocess(read_image(image.path))
                found += settings.postprocess(session.run(fitted[None]), [frame])
            return found

        looked, predictions = (
            list(images[:FIRST]),
            predict(images[:FIRST], task.evaluation_settings()),
        )
        check, clear = _chance(predictions, looked, artifact)
        if not clear and len(images) > FIRST:
            looked += images[FIRST:IMAGES]
            predictions += predict(images[FIRST:IMAGES], task.evaluation_settings())
            check, _ = _chance(predictions, looked, artifact)
        theirs = framework(images[:BY_FRAMEWORK])
        if theirs is None:
            return (check,)
        return check, _agreement(predict(images[:BY_FRAMEWORK], task), theirs)


def _chance(
    predictions: Sequence[Prediction], images: Sequence[LabelledImage], artifact: ModelArtifact
) -> tuple[Check, bool]:
    """Check a model against chance; tell whether the result is clear without more images."""
    spec, kind = artifact.spec, task_kind(artifact.spec.task)
    found = compare_with_chance(
        predictions, [image.truth for image in images], classes=len(spec.class_names)
    )
    reason = (
        f"{found.hits} of {found.of} {kind.hits} in {counted(len(images), 'image')}, "
        f"{found.expected:.1f} by chance"
    )
    verdict = (
        Verdict.FAIL
        if found.at_chance
        else Verdict.PASS
        if found.p <= LEVEL
        else Verdict.NOT_EVALUATED
    )
    rate = found.hits / found.of if found.of else None
    check = Check("chance", rate, found.expected / found.of if found.of else None, verdict, reason)
    return check, found.p <= CLEAR


def _agreement(ours: Sequence[Prediction], theirs: Sequence[Prediction]) -> Check:
    matched, total = agreement(ours, theirs)
    if total < TOO_FEW:
        return Check(
            "framework",
            None,
            AGREEING,
            Verdict.NOT_EVALUATED,
            f"{counted(total, 'prediction')} of both: too few",
        )
    verdict = Verdict.PASS if matched >= AGREEING * total else Verdict.FAIL
    reason = (
        f"{matched} of {counted(total, 'prediction')} have a counterpart in those of the "
        "model's own framework"
    )
    return Check("framework", matched / total, AGREEING, verdict, reason)
