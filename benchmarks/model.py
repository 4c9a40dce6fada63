"""Train the detector that the demo ships, again: `make model` (about an hour on two cores)."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from benchmarks.subject import scratch
from components.images.digits import SceneCounts, write_detection_dataset
from components.training.detector import DetectorTraining, train_detector
from flows.demo import MODEL

TRAINING = DetectorTraining(architecture="yolo11n", width=0.125, image_size=256, epochs=30)
SCENES = SceneCounts(train=3000)


def main() -> None:
    """Train on the demo's own recipe and replace the shipped checkpoint and its curve."""
    with scratch() as folder:
        data = write_detection_dataset(Path(folder) / "digits", counts=SCENES)
        trained = train_detector(data, Path(folder) / "model", training=TRAINING)
        shutil.copy(trained.checkpoint, MODEL)
        shutil.copy(trained.curve, MODEL.with_suffix(".csv"))
    sys.stdout.write(f"{MODEL.name}: " + ", ".join(f"{k} {v:.4f}" for k, v in trained.metrics.items()) + "\n")


if __name__ == "__main__":
    main()
