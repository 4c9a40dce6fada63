"""The first look at a model, before anything is made of it: above chance, and in agreement with its own framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.backends import get_backend
from components.contracts import (
    Check,
    Classification,
    Detections,
    LabelledImage,
    ModelArtifact,
    Prediction,
    TaskType,
    Verdict,
)
from components.images.reading import read_image
from components.vision import VisionTask, boxes, task_for
from components.vision.agreement import agreement
from components.vision.metrics import only

IMAGES = 128  # looked at, at most
FIRST = 32  # after so many a model that is clearly better than chance is believed
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
        The check ``chance``, and ``framework`` where that is here. One that the images are too few for is
        `not_evaluated`.

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

        looked, predictions = list(images[:FIRST]), predict(images[:FIRST], task.evaluation_settings())
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
    """The check, and whether it is so clear that no more images are needed."""
    spec = artifact.spec
    found = luck(predictions, [image.truth for image in images], classes=len(spec.class_names))
    what = "objects found" if spec.task is TaskType.DETECT else "images classified right"
    reason = f"{found.hits} of {found.of} {what} in {len(images)} images, {found.expected:.1f} by chance"
    verdict = Verdict.FAIL if found.at_chance else Verdict.PASS if found.p <= LEVEL else Verdict.NOT_EVALUATED
    rate = found.hits / found.of if found.of else None
    check = Check("chance", rate, found.expected / found.of if found.of else None, verdict, reason)
    return check, found.p <= CLEAR


def _agreement(ours: Sequence[Prediction], theirs: Sequence[Prediction]) -> Check:
    matched, total = agreement(ours, theirs)
    if total < TOO_FEW:
        return Check("framework", None, AGREEING, Verdict.NOT_EVALUATED, f"{total} predictions of both are too few")
    verdict = Verdict.PASS if matched >= AGREEING * total else Verdict.FAIL
    reason = f"{matched} of {total} predictions have a counterpart in those of the model's own framework"
    return Check("framework", matched / total, AGREEING, verdict, reason)


RESAMPLES = 999
LEVEL = 0.05  # a hit rate that one in twenty deals of the labels reaches is not above chance
USEFUL_DETECTOR = 0.3  # share of the objects; what is below may be chance
SAME_OBJECT = 0.5  # IoU
FEW = 5  # images or objects: one that is right half of the time misses all of them in one case of thirty
_SEED = 0


@dataclass(frozen=True)
class Luck:
    """The hits of a model, and those that chance gives.

    Arguments:
        hits: images of which the best class is right, or objects that were found.
        of: how many there are.
        expected: mean hits when the labels are dealt out anew.
        p: share of the deals with as many hits or more.
        highest: upper bound of the hit rate, one-sided at 97.5 %.
        useful: the hit rate below which a model could be at chance.
    """

    hits: int
    of: int
    expected: float
    p: float
    highest: float
    useful: float

    @property
    def at_chance(self) -> bool:
        """Not above chance, and surely not useful; one that hits none of a few is not useful either."""
        return self.p > LEVEL and (self.highest < self.useful or (self.hits == 0 and self.of >= FEW))


def luck(predictions: Sequence[Prediction], truths: Sequence[Prediction], *, classes: int) -> Luck:
    """Compare a model's hits with those that chance gives.

    Arguments:
        predictions: a prediction for each image; detections down to a low confidence.
        truths: the ground truth of the same images.
        classes: how many classes the model knows.

    Raises:
        IncompatibleError: predictions or truths are of several kinds.
    """
    if isinstance(truths[0], Classification):
        return _luck_of_classes(only(Classification, predictions), only(Classification, truths), classes)
    table = _objects_found(only(Detections, predictions), only(Detections, truths))
    total = sum(len(truth) for truth in only(Detections, truths))
    return _compare(int(table.trace()), total, _dealt(table), USEFUL_DETECTOR)


def _luck_of_classes(predictions: Sequence[Classification], truths: Sequence[Classification], classes: int) -> Luck:
    said = np.array([prediction.class_id for prediction in predictions])
    true = np.array([truth.class_id for truth in truths])
    if len(set(true.tolist())) == 1:  # dealing out equal labels changes nothing
        by_chance = np.random.default_rng(_SEED).binomial(len(true), 1 / max(classes, 2), RESAMPLES).astype(np.float64)
    else:
        by_chance = _dealt(said[:, None] == true[None])
    useful = (1 + by_chance.mean() / len(true)) / 2  # half way from chance to always right
    return _compare(int((said == true).sum()), len(true), by_chance, useful)


def _compare(hits: int, total: int, by_chance: npt.NDArray[np.float64], useful: float) -> Luck:
    from scipy.special import betaincinv

    p = (1 + int((by_chance >= hits).sum())) / (1 + len(by_chance))
    highest = 1.0 if hits >= total else float(betaincinv(hits + 1, total - hits, 0.975))  # Clopper and Pearson, 1934
    return Luck(hits, total, float(by_chance.mean()), p, highest, float(useful))


def _dealt(table: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Hits when the labels are dealt out anew: sums of one entry a row and a column of (images, images)."""
    numbers, rows = np.random.default_rng(_SEED), np.arange(len(table))
    return np.array([float(table[rows, numbers.permutation(len(table))].sum()) for _ in range(RESAMPLES)])


def _objects_found(predictions: Sequence[Detections], truths: Sequence[Detections]) -> npt.NDArray[np.int64]:
    """(images, images) how many objects of each truth the best detections of each image would have found.

    Twice as many detections an image count as it holds objects on average, the best first: a thousand guesses hit
    something anywhere.
    """
    limit = max(5, 2 * int(np.ceil(np.mean([len(truth) for truth in truths]))))
    table = np.zeros((len(predictions), len(truths)), np.int64)
    for row, found in enumerate(predictions):
        best = np.argsort(-found.scores, kind="stable")[:limit]
        corners, ids = found.xyxy[best], found.class_ids[best]
        for column, truth in enumerate(truths):
            if len(best) and len(truth):
                near = boxes.iou_matrix(corners, truth.xyxy) >= SAME_OBJECT
                table[row, column] = int((near & (ids[:, None] == truth.class_ids[None])).any(axis=0).sum())
    return table
