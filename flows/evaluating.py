"""What a release's predictions of its labelled images say, as pictures that MLflow keeps with the version."""

from __future__ import annotations

from pathlib import Path

from components.contracts import InferenceRun, ModelArtifact
from components.images.datasets import load_dataset
from components.images.reading import read_image
from components.monitoring.accuracy import truths_for
from components.vision.evaluation import evaluate_images
from flows.ab_scoring import predictions_of
from flows.steps import Split, step, workplace
from model_registry import draw_evaluation, worst


@step("evaluation")
def evaluation(run: InferenceRun, held_out: Split, artifact: ModelArtifact) -> Path | None:
    """Draw confusions, precision against recall and the worst images of a labelled split.

    Arguments:
        run: predictions of the split, at the version's own thresholds.
        held_out: the split.
        artifact: the model.

    Returns:
        A folder of PNG files; None where there is nothing to compare.
    """
    dataset = load_dataset(held_out.data, held_out.name)
    answers, labels = predictions_of(run, artifact.spec), truths_for(dataset, artifact.spec)
    found = evaluate_images(answers, labels, len(artifact.spec.class_names))
    if found is None:
        return None
    paths = {image.image_id: image.path for image in dataset.images}
    shown = {name: (read_image(paths[name]), answers.get(name), labels[name]) for name in worst(found)}
    draw_evaluation(found, artifact.spec.class_names, shown, workplace() / "figures")
    return workplace() / "figures"
