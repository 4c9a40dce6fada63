"""What a release's predictions of its labelled images say, as pictures that MLflow keeps with the version."""

from __future__ import annotations

from pathlib import Path

from components.contracts import InferenceRun, ModelArtifact, Prediction
from components.images.datasets import load_dataset
from components.images.reading import read_image
from components.monitoring.accuracy import truths_for
from components.vision.evaluation import evaluate_images
from flows.ab_scoring import predictions_of
from flows.steps import Split, step, workplace
from model_registry import draw_evaluation, worst


@step("evaluation")
def evaluation(runs: tuple[InferenceRun, ...], held_out: tuple[Split, ...], artifact: ModelArtifact) -> Path | None:
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
        dataset = load_dataset(split.data, split.name)
        answers |= {f"{split.name}/{name}": found for name, found in predictions_of(run, artifact.spec).items()}
        labels |= {f"{split.name}/{name}": truth for name, truth in truths_for(dataset, artifact.spec).items()}
        paths |= {f"{split.name}/{image.image_id}": image.path for image in dataset.images}
    found = evaluate_images(answers, labels, len(artifact.spec.class_names))
    if found is None:
        return None
    shown = {name: (read_image(paths[name]), answers.get(name), labels[name]) for name in worst(found)}
    draw_evaluation(found, artifact.spec.class_names, shown, workplace() / "figures")
    return workplace() / "figures"
