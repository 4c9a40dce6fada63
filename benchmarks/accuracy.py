"""Accuracy of the shipped detector on validation scenes whose handwriting it has never seen."""

from __future__ import annotations

from pathlib import Path

from benchmarks.figure import Figure, conclude
from benchmarks.subject import Subject, scratch
from components.benchmark import evaluate

BAR, SIZE_BAR_MB = 0.95, 6.0


def measure() -> Figure:
    """Evaluate the checkpoint's FP32 export over the whole validation split."""
    from flows.config.demo import MODEL

    with scratch() as folder:
        subject = Subject(Path(folder))
        scores = evaluate(subject.source, "onnxruntime", subject.dataset)
        images = len(subject.dataset.images)
    size = MODEL.stat().st_size / 1e6
    text = f"mAP50 {scores['map50']:.4f} on {images} images, {size:.2f} MB"
    details = tuple(f"{name}: {value:.4f}" for name, value in scores.items())
    ok = scores["map50"] >= BAR and size <= SIZE_BAR_MB
    return Figure("accuracy", text, f"≥ {BAR}, ≤ {SIZE_BAR_MB} MB", ok, details)


if __name__ == "__main__":
    conclude(measure)
