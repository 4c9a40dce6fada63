"""Training time, which must be under a minute, and accuracy of the small torchvision classifier."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.figure import Figure, conclude
from benchmarks.subject import scratch
from components.datasets.scenes import write_classification_dataset
from components.training.trainers.classifier import ClassifierTraining, train_classifier

BAR_S = 60
TRAINING = ClassifierTraining(image_size=32, epochs=6)  # the digits were scanned at 8 × 8


def measure() -> Figure:
    """Train on the digit crops and read the validation accuracy of the best epoch."""
    with scratch() as folder:
        data = write_classification_dataset(Path(folder) / "crops")
        started = time.perf_counter()
        trained = train_classifier(data, Path(folder) / "model", training=TRAINING)
        seconds = time.perf_counter() - started
    text = f"trained in {seconds:.0f} s, top-1 {trained.metrics['top1']:.4f} on validation"
    return Figure("classifier", text, f"< {BAR_S} s", seconds < BAR_S)


if __name__ == "__main__":
    conclude(measure)
