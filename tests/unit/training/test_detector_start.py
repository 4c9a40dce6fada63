"""Fine-tuning starts from the weights of the checkpoint, training from none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.backends.yolo import load_yolo
from components.training.detector import DetectorTraining, train_detector

MODEL = Path(__file__).parents[3] / "flows" / "assets" / "digits.pt"
STILL = DetectorTraining(image_size=64, epochs=1, batch=8, learning_rate=1e-9, extra=(("warmup_epochs", 0.0),))


def first_kernels(checkpoint: Path) -> np.ndarray:
    return next(load_yolo(checkpoint, trust=True).model.parameters()).detach().float().numpy()


@pytest.mark.filterwarnings("ignore")
def test_fine_tuning_starts_from_the_weights_of_the_checkpoint(scenes, tmp_path):
    tuned = train_detector(scenes, tmp_path / "tuned", training=STILL, start_from=MODEL, trust=True)
    np.testing.assert_allclose(first_kernels(tuned.checkpoint), first_kernels(MODEL), atol=1e-3)
    assert tuned.curve.read_text().count("\n") == 2
