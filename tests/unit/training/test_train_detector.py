import pytest

from components.errors import ConfigError, DatasetError, ModelError, UntrustedModelError
from components.training import DetectorTraining, train_detector

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_size": 100},
        {"image_size": 0},
        {"epochs": 0},
        {"batch": 0},
        {"learning_rate": 0.0},
        {"width": 0.0},
    ],
)
def test_detector_settings_outside_their_range_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DetectorTraining(**wrong)


def test_a_detection_dataset_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DatasetError, match="nowhere"):
        train_detector(tmp_path / "nowhere" / "data.yaml", tmp_path / "out")


def test_wrong_labels_are_found_before_training(tmp_path, image_folder):
    (tmp_path / "data.yaml").write_text("train: data/train\nval: data/val\nnames: [blue, red]\n")
    image_folder()
    (tmp_path / "data" / "train" / "red" / "3.txt").write_text("7 0.5 0.5 0.1 0.1\n")
    with pytest.raises(DatasetError, match=r"3\.txt"):
        train_detector(tmp_path / "data.yaml", tmp_path / "out")


@pytest.mark.parametrize("width", [None, 0.25])
def test_an_unknown_architecture_is_named(scenes, tmp_path, width):
    with pytest.raises(ConfigError, match="'yolo99n'"):
        train_detector(scenes, tmp_path / "out", training=DetectorTraining("yolo99n", width=width))
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_is_only_unpickled_on_the_users_word(scenes, tmp_path):
    start = tmp_path / "start.pt"
    start.write_bytes(b"anything")
    with pytest.raises(UntrustedModelError, match=r"start\.pt"):
        train_detector(scenes, tmp_path / "out", start_from=start)
    with pytest.raises(ModelError, match=r"start\.pt"):
        train_detector(scenes, tmp_path / "out", start_from=start, trust=True)
    assert not (tmp_path / "out").exists()
