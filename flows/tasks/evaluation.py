"""Scores of two models on the same images, and pictures of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.contracts import InferenceRun, ModelArtifact, Prediction, VisionSpec
from components.datasets.classes import class_ids
from components.datasets.dataset import LabelledDataset, load_dataset
from components.datasets.matching import match_ids
from components.images.reading import read_image
from components.inference import Arm
from components.monitoring.performance.accuracy import stored_boxes, truths_for
from components.statistics.timings import summarise_latency
from components.vision import task_kind
from components.vision.evaluation import evaluate_images
from components.vision.image_score import score_image
from flows.tasks.steps import Split, step, working_folder
from model_registry import draw_evaluation, worst

Batch = Mapping[Arm, InferenceRun]


@dataclass(frozen=True)
class ArmFigures:
    """One arm over all of a test.

    Arguments:
        arm: A or B.
        model: its version.
        images: that it was given.
        failed: those of them without a prediction.
        score: mean score of the labelled ones, or None.
        scored: how many these are.
        p50_ms: from the image in memory to the prediction, of this arm's batch runs; None below its
            floor of samples.
        p95_ms: likewise.
    """

    arm: str
    model: str
    images: int
    failed: int
    score: float | None
    scored: int
    p50_ms: float | None
    p95_ms: float | None


def score_batches(
    batches: Sequence[Batch],
    truths: Mapping[str, Prediction],
    spec: VisionSpec,
    spec_b: VisionSpec | None = None,
) -> dict[str, tuple[float, float]]:
    """Scores of A and B for every labelled image, NaN for an arm that did not see it.

    An image that a version's engine failed on scores 0: no answer is a wrong one. An image that
    cannot be read is no version's fault and has no score.

    Arguments:
        batches: runs of both arms.
        truths: labels with the class ids of A; they are matched by image id, as `match_ids` says.
        spec: of both versions.
        spec_b: of B, where its classes are in another order.

    Raises:
        DatasetError: labels fit images ambiguously.
    """
    if not truths:
        return {}
    answers = dict(zip(Arm, _both_answers(batches, spec, spec_b), strict=True))
    ids = sorted(answers[Arm.A].keys() | answers[Arm.B].keys())
    found = {}
    for label, place in match_ids(sorted(truths), ids).items():
        image_id = ids[place]
        a, b = (_score(answers[arm], image_id, truths[label]) for arm in Arm)
        if not (np.isnan(a) and np.isnan(b)):
            found[image_id] = (a, b)
    return found


def paired_scores(
    a: InferenceRun, b: InferenceRun, dataset: LabelledDataset, spec: VisionSpec
) -> dict[str, tuple[float, float]]:
    """Scores of two versions' runs over the same labelled images, by image id.

    Arguments:
        a: a run of the one.
        b: a run of the other.
        dataset: the labels.
        spec: of both versions.

    Raises:
        DatasetError: labels fit images ambiguously.
        IncompatibleError: they are of other classes than the models'.
    """
    return score_batches([{Arm.A: a, Arm.B: b}], truths_for(dataset, spec), spec)


def agreement(
    batches: Sequence[Batch], spec: VisionSpec, spec_b: VisionSpec | None = None
) -> float | None:
    """Return B's mean score with A's answers as truth, over images that both answered, or None."""
    a, b = _both_answers(batches, spec, spec_b)
    pairs = [(b[image_id], answer) for image_id, answer in a.items() if image_id in b]
    both = [
        score_image(one, other) for one, other in pairs if one is not None and other is not None
    ]
    return float(np.mean(both)) if both else None


def figures(arm: Arm, batches: Sequence[Batch], scores: Sequence[float], model: str) -> ArmFigures:
    """Sum an arm up.

    Arguments:
        arm: which one.
        batches: all of the test.
        scores: of the images that it saw and that were labelled.
        model: its version.
    """
    rows = [row for batch in batches for row in _rows(batch[arm], ["status", *_TIMES])]
    times = [sum(row[name] for name in _TIMES) for row in rows if row["status"] == "ok"]
    latency = summarise_latency([times])
    failed = sum(row["status"] != "ok" for row in rows)
    mean = float(np.mean(scores)) if len(scores) else None
    return ArmFigures(
        arm.value, model, len(rows), failed, mean, len(scores), latency.p50_ms, latency.p95_ms
    )


_TIMES = ("preprocess_ms", "inference_ms", "postprocess_ms")


def _rows(run: InferenceRun, columns: Sequence[str]) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(run.images, columns=list(columns)).to_pylist()
    return rows


def _both_answers(
    batches: Sequence[Batch], spec: VisionSpec, spec_b: VisionSpec | None
) -> tuple[dict[str, Prediction | None], dict[str, Prediction | None]]:
    """Give the answers of A and those of B, with the class ids of A."""
    own = spec_b or spec
    a, b = _answers(batches, Arm.A, spec), _answers(batches, Arm.B, own)
    ids, classes = class_ids(own.class_names, spec.class_names), len(spec.class_names)
    return a, {
        name: None if one is None else one.renumbered(ids, classes) for name, one in b.items()
    }


def _answers(batches: Sequence[Batch], arm: Arm, spec: VisionSpec) -> dict[str, Prediction | None]:
    """Map image ids to predictions, None where the engine failed; leave out unreadable images."""
    return {
        image_id: answer
        for batch in batches
        for image_id, answer in predictions_of(batch[arm], spec).items()
    }


def predictions_of(run: InferenceRun, spec: VisionSpec) -> dict[str, Prediction | None]:
    """Map image ids to predictions, None if the engine failed; a classifier's best class only."""
    kind = task_kind(spec.task)
    columns = ["image_id", "status", "inference_ms", *kind.stored_columns]
    rows = [row for row in _rows(run, columns) if row["inference_ms"] is not None]
    answered = [row for row in rows if row["status"] == "ok"]
    names = [row["image_id"] for row in answered]
    found = kind.restored(
        answered, lambda: stored_boxes(run.detections, names), len(spec.class_names)
    )
    known = {row["image_id"]: answer for row, answer in zip(answered, found, strict=True)}
    return {row["image_id"]: known.get(row["image_id"]) for row in rows}


def _score(answers: Mapping[str, Prediction | None], image_id: str, truth: Prediction) -> float:
    if image_id not in answers:
        return float("nan")
    answer = answers[image_id]
    return 0.0 if answer is None else score_image(answer, truth)


@step("evaluation")
def evaluation(
    runs: tuple[InferenceRun, ...], held_out: tuple[Split, ...], artifact: ModelArtifact
) -> Path | None:
    """Draw confusions, precision against recall and the worst images of the held-out splits.

    Arguments:
        runs: predictions of each split, at the version's own thresholds.
        held_out: the splits.
        artifact: the model.

    Returns:
        A folder of PNG files; None where there is nothing to compare.
    """
    answers: dict[str, Prediction | None] = {}
    labels: dict[str, Prediction] = {}
    paths: dict[str, Path] = {}
    for run, split in zip(runs, held_out, strict=True):
        dataset = load_dataset(split.data, split.name, task=artifact.spec.task)
        answers |= {
            f"{split.name}/{name}": found
            for name, found in predictions_of(run, artifact.spec).items()
        }
        labels |= {
            f"{split.name}/{name}": truth
            for name, truth in truths_for(dataset, artifact.spec).items()
        }
        paths |= {f"{split.name}/{image.image_id}": image.path for image in dataset.images}
    found = evaluate_images(answers, labels, len(artifact.spec.class_names))
    if found is None:
        return None
    shown = {
        name: (read_image(paths[name]), answers.get(name), labels[name]) for name in worst(found)
    }
    draw_evaluation(found, artifact.spec.class_names, shown, working_folder() / "figures")
    return working_folder() / "figures"
