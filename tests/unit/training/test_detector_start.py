"""Fine-tuning starts from the weights of the checkpoint, training from none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from components.backends.yolo import load_yolo
from components.errors import ConfigError, IncompatibleError
from components.training.trainers.detector import DetectorTraining, absolute_data, train_detector

MODEL = Path(__file__).parents[3] / "flows" / "assets" / "digits.pt"
STILL = DetectorTraining(
    image_size=64, epochs=1, batch=8, learning_rate=1e-9, extra=(("warmup_epochs", 0.0),)
)


def first_kernels(checkpoint: Path) -> np.ndarray:
    return next(load_yolo(checkpoint, trust=True).model.parameters()).detach().float().numpy()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_fine_tuning_starts_from_the_weights_of_the_checkpoint(scenes, tmp_path):
    tuned = train_detector(scenes, tmp_path / "tuned", training=STILL, start_from=MODEL, trust=True)
    np.testing.assert_allclose(first_kernels(tuned.checkpoint), first_kernels(MODEL), atol=1e-3)
    assert tuned.curve.read_text().count("\n") == 2


def test_an_architecture_is_one_that_ultralytics_ships_and_no_file_or_address(
    scenes, tmp_path, monkeypatch
):
    (tmp_path / "mine.yaml").write_text("nc: 1")
    (tmp_path / "yolo11n.yaml").write_text("no architecture")
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "http://example.org/yolo11n", "yolo11q"):
        with pytest.raises(ConfigError, match="a model of Ultralytics"):
            train_detector(scenes, tmp_path / "out", training=DetectorTraining(architecture=name))


def test_training_is_told_where_the_data_is_and_not_where_to_download_it(scenes, tmp_path):
    data = tmp_path / "data.yaml"
    given = yaml.safe_load(scenes.read_text()) | {"download": "import os", "license": "free"}
    given["path"] = str(scenes.parent)
    data.write_text(yaml.safe_dump(given))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    described = yaml.safe_load(absolute_data(data, scratch).read_text())
    assert {"download", "license"}.isdisjoint(described)
    assert list(described["names"].values()) == list("0123456789")


def test_a_checkpoint_whose_classes_are_in_another_order_is_not_trained_on_by_number(
    scenes, tmp_path
):
    turned = yaml.safe_load(scenes.read_text()) | {
        "names": list("9876543210"),
        "path": str(scenes.parent),
    }
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(turned))
    with pytest.raises(IncompatibleError, match="order of the checkpoint, 0, 1, 2"):
        train_detector(
            tmp_path / "data.yaml", tmp_path / "out", training=STILL, start_from=MODEL, trust=True
        )
    assert not (tmp_path / "out").exists()
