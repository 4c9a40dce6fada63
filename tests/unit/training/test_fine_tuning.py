import re
import zipfile
from pathlib import Path

import pytest
import torch

from components.backends.yolo import load_yolo
from components.contracts import TrainedModel
from components.errors import ConfigError, IncompatibleError, ModelError, UntrustedModelError
from components.training import (
    ClassifierTraining,
    FineTuning,
    StartingPoint,
    fine_tune,
    train_classifier,
    training_device,
)
from components.training.checkpoint import load_checkpoint
from components.training.trainers import TRAINERS
from tests.conftest import MODEL

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("blend", [0.0, -0.1, 1.1])
def test_a_blend_outside_its_range_is_refused(blend):
    with pytest.raises(ConfigError, match="blend"):
        FineTuning(blend=blend)


def test_training_takes_a_gpu_where_torch_can_use_one_and_what_was_named_otherwise():
    """So it follows the image that it runs in, unless a form names a device."""
    assert training_device("auto") == ("cuda:0" if torch.cuda.is_available() else "cpu")
    assert [training_device(name) for name in ("cpu", "cuda:1", "nonsense:7")] == [
        "cpu",
        "cuda:1",
        "nonsense:7",
    ]
    assert FineTuning().device == "auto"


@pytest.fixture
def champion(image_folder, tmp_path):
    data = image_folder()
    training = ClassifierTraining("mobilenet_v3_small", image_size=32, epochs=1, batch=8)
    return data, train_classifier(data, tmp_path / "champion", training=training).checkpoint


def test_a_small_blend_stays_near_the_old_weights(champion, tmp_path):
    data, checkpoint = champion
    old = load_checkpoint(checkpoint).network.state_dict()

    def moved(blend: float) -> float:
        asked = FineTuning(epochs=1, learning_rate=0.01, batch=8, blend=blend)
        tuned = fine_tune(
            StartingPoint(checkpoint, 32), data, tmp_path / f"tuned{blend}", training=asked
        )
        new = load_checkpoint(tuned.checkpoint)
        assert set(tuned.metrics) == {"top1", "top5"} and tuned.curve.is_file()
        assert new.metrics == tuned.metrics and tuned.blend == blend
        weights = new.network.state_dict()
        return sum(
            float((weights[name] - old[name]).norm()) for name in old if name.endswith("weight")
        )

    whole, part = moved(1.0), moved(0.25)
    assert whole > 0
    assert part == pytest.approx(0.25 * whole, rel=0.02)


class Forgetful:
    """A trainer whose average is worth half of what it trained."""

    metric = "top1"

    @staticmethod
    def train(step, output, progress):
        output.mkdir()
        for name in ("model.pt", "curve.csv"):
            (output / name).write_text("trained")
        return TrainedModel(output / "model.pt", {"top1": 0.9}, output / "curve.csv")

    @staticmethod
    def blend(step, trained, output):
        output.write_text("average")
        return {"top1": 0.89 if step.settings.blend > 0.5 else 0.45}


@pytest.mark.parametrize(("asked", "taken", "kept"), [(0.6, 0.6, "average"), (0.2, 1.0, "trained")])
def test_the_blend_that_was_taken_is_told(asked, taken, kept, image_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(TRAINERS, "classify", f"{Forgetful.__module__}:Forgetful")
    start = StartingPoint(tmp_path / "start.pt", 32)
    tuned = fine_tune(start, image_folder(), tmp_path / "out", training=FineTuning(blend=asked))
    assert (tuned.blend, tuned.checkpoint.read_text()) == (taken, kept)


def test_fine_tuning_on_other_classes_is_refused(champion, image_folder, tmp_path):
    other = image_folder(("blue", "green"), name="other")
    with pytest.raises(IncompatibleError, match="green"):
        fine_tune(StartingPoint(champion[1], 32), other, tmp_path / "tuned")
    assert not (tmp_path / "tuned").exists()


def test_a_detector_is_fine_tuned_on_the_users_word_and_blended(scenes, tmp_path, capsys):
    asked = FineTuning(epochs=1, blend=0.5)
    with pytest.raises(UntrustedModelError):
        fine_tune(StartingPoint(MODEL, 64), scenes, tmp_path / "tuned", training=asked)
    seen: list[tuple[int, int]] = []
    tuned = fine_tune(
        StartingPoint(MODEL, 64, trust=True),
        scenes,
        tmp_path / "tuned",
        training=asked,
        progress=lambda epoch, epochs: seen.append((epoch, epochs)),
    )
    assert seen[0] == (1, 1)
    assert capsys.readouterr().out == "", "what a command prints may be JSON"
    old, new = (
        load_yolo(path, trust=True).model.float().state_dict() for path in (MODEL, tuned.checkpoint)
    )
    assert any(not torch.equal(old[name], new[name]) for name in old)
    assert set(tuned.metrics) == {"map50_95", "map50"}
    assert not folders_in(tuned.checkpoint)


def test_the_shipped_detector_does_not_say_where_it_was_trained():
    assert not folders_in(MODEL)


def folders_in(checkpoint: Path) -> list[bytes]:
    """Absolute paths in what a checkpoint says of itself."""
    with zipfile.ZipFile(checkpoint) as archive:
        pickled = archive.read(
            next(name for name in archive.namelist() if name.endswith("data.pkl"))
        )
    return re.findall(rb"(?<!/)/[\w.-]+/[\x20-\x7e]*", pickled)


def test_a_checkpoint_that_would_fill_the_memory_is_refused_before_it_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", b"\0" * 120_000_000)
    with pytest.raises(ModelError, match="unpacks from 0 to 120 MB"):
        load_checkpoint(tmp_path / "bomb.pt")
