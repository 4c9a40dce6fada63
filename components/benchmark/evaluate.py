"""The accuracy of one model on a labelled split, without timing anything."""

from __future__ import annotations

from collections.abc import Callable

from components.backends import get_backend
from components.contracts import ModelArtifact, Prediction
from components.datasets.classes import in_classes_of
from components.datasets.dataset import LabelledDataset
from components.images.reading import read_image
from components.vision import task_for


def evaluate(
    artifact: ModelArtifact,
    backend: str,
    dataset: LabelledDataset,
    *,
    device: str = "cpu",
    threads: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Predict every image with the thresholds of evaluation, and compare with its labels.

    Arguments:
        artifact: the model file.
        backend: what runs it.
        dataset: the split; its classes are matched by name.
        device: as the backend calls it.
        threads: 0 is all cores.
        progress: called as ``progress(done, images)``.

    Returns:
        Metric → value, the deciding one among them.

    Raises:
        DatasetError: there is nothing to measure accuracy on.
        IncompatibleError: it is labelled with classes that the model does not know.
        FovealError: the model cannot be run, or an image cannot be read.
    """
    task = task_for(artifact.spec).evaluation_settings()
    dataset = in_classes_of(dataset, artifact.spec.class_names)
    predictions: list[Prediction] = []
    with get_backend(backend).open(artifact, device=device, threads=threads) as session:
        for image in dataset.images:
            fitted, frame = task.preprocess(read_image(image.path))
            predictions += task.postprocess(session.run(fitted[None]), [frame])
            if progress:
                progress(len(predictions), len(dataset.images))
    return task.evaluate(predictions, [image.truth for image in dataset.images])
