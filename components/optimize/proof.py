"""Images that equivalence is proved on: calibration images on which the model finds something."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from components.contracts import ModelArtifact, Output, VisionSpec
from components.contracts.arrays import Array, Image, Outputs
from components.vision import task_kind
from components.vision.heads import head_of

CONFIDENT = 0.25  # score from which a detection counts as one
MAX_SAMPLES = 64  # calibration images that are searched for detections
SUM_SLACK = 1e-2  # half precision rounds probabilities; a thousand sum to 1 within this


@dataclass(frozen=True, eq=False)
class Proof:
    """A batch of model inputs with what the original says about them one by one.

    Arguments:
        images: (n ≥ 2, height, width, 3) uint8 BGR, n being the largest batch that will be used.
        expected: the original's outputs for them, each image in a call of its own.
        basis: what kind of images they are, for people.
        telling: they are the user's own, and a detector finds something on them.
    """

    images: Image
    expected: Outputs
    basis: str
    telling: bool


def noise(count: int, spec: VisionSpec) -> Image:
    """(count, height, width, 3) random pixels, the same in every run."""
    return np.random.default_rng(0).integers(0, 256, (count, *spec.input_size, 3), np.uint8)


def one_by_one(predict: Callable[[Image], Outputs], images: Image) -> list[Array]:
    """Return the outputs for images given in a call each, put together along the batch axis."""
    runs = [predict(image[None]) for image in images]
    return [np.concatenate(outputs) for outputs in zip(*runs, strict=True)]


def prove_on(
    samples: Sequence[Image] | None,
    spec: VisionSpec,
    predict: Callable[[Image], Outputs],
    batch: int,
) -> Proof:
    """Choose the images of a proof.

    For a detector they are those on which it finds something, so that no image of a batch can lose
    its detections unseen; they are repeated where there are fewer than the batch holds. Without
    samples they are random pixels.

    Arguments:
        samples: (height, width, 3) uint8 BGR model inputs.
        spec: of the model.
        predict: the original: (1, height, width, 3) uint8 → its outputs.
        batch: the largest number of images that will be given in one call.
    """
    count = max(2, batch)
    if not samples:
        images = noise(count, spec)
        return Proof(
            images, one_by_one(predict, images), "random pixels, as no image was at hand", False
        )
    limit = min(len(samples), MAX_SAMPLES)
    wanted = [samples[k * len(samples) // limit] for k in range(limit)]
    head = head_of(spec.head)
    if not task_kind(spec.task).finds_objects:
        chosen = list(wanted[:count])
        seen = [(image, predict(image[None])) for image in chosen]
        return _proof(seen, count, f"{len(seen)} calibration images", telling=True)
    found: list[tuple[Image, Outputs]] = []
    empty: list[tuple[Image, Outputs]] = []
    for image in wanted:
        outputs = predict(image[None])
        (found if head.finds_something(outputs[0], CONFIDENT) else empty).append((image, outputs))
        if len(found) == count:
            break
    if found:
        return _proof(
            found, count, f"{len(found)} calibration images with detections", telling=True
        )
    basis = f"{len(empty)} calibration images, in none of which it finds anything"
    return _proof(empty[:count], count, basis, telling=False)


def _proof(
    seen: Sequence[tuple[Image, Outputs]], count: int, basis: str, *, telling: bool
) -> Proof:
    """A batch of `count` images, repeated in turn where there are fewer."""
    rows = [seen[k % len(seen)] for k in range(count)]
    images = np.stack([image for image, _ in rows])
    expected = [
        np.concatenate(outputs) for outputs in zip(*(outputs for _, outputs in rows), strict=True)
    ]
    return Proof(images, expected, basis, telling)


def record_of(proof: Proof, one_by_one: str) -> dict[str, object]:
    """Return a proof's record for a file's history.

    `one_by_one` says why the model is called image by image, or is empty.
    """
    record = {
        "proved_on": proof.basis,
        "telling": proof.telling,
        "largest_batch": len(proof.images),
    }
    return record | ({"largest_batch": 1, "one_by_one": one_by_one} if one_by_one else {})


def assumption(proof: Proof, spec: VisionSpec) -> dict[str, object]:
    """Return the record of a classifier's output that is taken for the logits of a softmax.

    Networks that learnt several labels an image by a loss which holds the sigmoid end in the same
    layer, and a constant added to all logits, which a softmax takes out, makes their values alike,
    too: no statistic of them tells one from the other. Log-probabilities alone do, whose
    exponentials sum to 1.

    Returns:
        An empty record for any other head, and for log-probabilities.
    """
    if spec.head != Output.LOGITS.head:
        return {}
    shares = np.exp(np.minimum(proof.expected[0], 1), dtype=np.float64).sum(axis=1)
    known = bool((np.abs(shares - 1) <= SUM_SLACK).all())
    return {} if known else {"assumed_output": Output.LOGITS.value}


def remarks_on(artifact: ModelArtifact) -> tuple[str, ...]:
    """Return the remarks for people on how an artifact was opened and proved, one line each."""
    remarks = []
    for record in artifact.history:
        about = record.parameters
        if "assumed_output" in about:
            remarks.append(
                "its outputs are read as the logits of one class an image (softmax), which its "
                "file does not tell: say model.output: logits if so, or sigmoid_logits if each "
                "class is a yes or no by itself"
            )
        if "one_by_one" in about:
            remarks.append(f"the model is run image by image: {about['one_by_one']}")
        if about.get("built_in_nms"):
            remarks.append(
                "its built-in NMS leaves out all below the confidence of the export, where the "
                "precision-recall curve "
                "ends: the plain export of the same weights measures higher"
            )
        if about.get("telling") is False:
            remarks.append(
                f"its export was compared with the original on {about['proved_on']}: a weak proof"
            )
    return tuple(remarks)
