"""Train the detector that the demo ships, again: `make model` (about an hour on two cores)."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from benchmarks.subject import scratch
from components.datasets.scenes import SceneCounts, write_detection_dataset
from components.training.trainers.detector import DetectorTraining, train_detector
from flows.config.demo import MODEL

TRAINING = DetectorTraining(
    architecture="yolo11n",
    width=0.1875,
    image_size=256,
    epochs=28,
    # Boxes are easy here, telling ten handwritten digits apart is not, and digits are of any
    # colour.
    extra=(("mosaic", 0.0), ("cls", 1.5), ("hsv_h", 0.3)),
)
CURVE = Path(__file__).parents[1] / "docs" / "training-curve.png"
SCENES = SceneCounts(train=3000)


def draw(curve: Path, picture: Path) -> None:
    """The training curve: losses on the left, validation mAP on the right."""
    import pandas as pd
    from matplotlib.figure import Figure

    table = pd.read_csv(curve)
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    losses, accuracy = figure.subplots(1, 2)
    for column, label in (("train_box_loss", "box"), ("train_class_loss", "class")):
        losses.plot(table.epoch, table[column], label=f"training, {label}")
        losses.plot(
            table.epoch,
            table[column.replace("train", "val")],
            linestyle="--",
            label=f"validation, {label}",
        )
    for column, label in (("map50", "mAP50"), ("map50_95", "mAP50-95")):
        accuracy.plot(table.epoch, table[column], label=label)
    losses.set(title="loss", xlabel="epoch")
    accuracy.set(title="accuracy on validation scenes", xlabel="epoch", ylim=(0, 1))
    for axes in (losses, accuracy):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(picture, dpi=110, metadata={"Software": None})


def main() -> None:
    """Train on the demo's own recipe and replace the shipped checkpoint and its curve."""
    with scratch() as folder:
        data = write_detection_dataset(Path(folder) / "digits", counts=SCENES)
        trained = train_detector(data, Path(folder) / "model", training=TRAINING)
        shutil.copy(trained.checkpoint, MODEL)
        shutil.copy(trained.curve, MODEL.with_suffix(".csv"))
    draw(MODEL.with_suffix(".csv"), CURVE)
    sys.stdout.write(
        f"{MODEL.name}: " + ", ".join(f"{k} {v:.4f}" for k, v in trained.metrics.items()) + "\n"
    )


if __name__ == "__main__":
    main()
