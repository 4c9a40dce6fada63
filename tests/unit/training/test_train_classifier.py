import csv

import numpy as np
import pytest
import torch
from torchvision import models

from components.contracts import Fit, VisionSpec
from components.errors import (
    ConfigError,
    DatasetError,
    ImageError,
    IncompatibleError,
    ModelError,
    UnavailableError,
)
from components.images.reading import read_image
from components.training import ClassifierTraining, train_classifier
from components.training.trainers.augmentation import augment
from components.vision.fit import fit_image

pytestmark = pytest.mark.slow

SMALL = ClassifierTraining(
    "shufflenet_v2_x0_5", image_size=32, epochs=2, batch=8, learning_rate=0.003
)


def checkpoint(path):
    return torch.load(path, weights_only=True)


def test_a_run_gives_a_checkpoint_without_code_and_a_curve(image_folder, tmp_path):
    done = train_classifier(image_folder(), tmp_path / "out", training=SMALL)
    saved = checkpoint(done.checkpoint)
    assert {name: saved[name] for name in saved if name not in {"state_dict", "mean", "std"}} == {
        "foveal_classifier": 1,
        "architecture": "shufflenet_v2_x0_5",
        "class_names": ["blue", "red"],
        "image_size": 32,
        "fit": "stretch",
        "metrics": done.metrics,
    }
    assert set(done.metrics) == {"top1", "top5"} and done.metrics["top5"] == 1
    with done.curve.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert max(float(row["top1"]) for row in rows) == done.metrics["top1"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["curve.csv", "model.pt"]


def test_the_checkpoint_scores_what_it_says_on_images_prepared_as_for_inference(
    image_folder, tmp_path
):
    data = image_folder()
    done = train_classifier(data, tmp_path / "out", training=SMALL)
    saved = checkpoint(done.checkpoint)
    network = models.get_model(saved["architecture"], weights=None, num_classes=2)
    network.load_state_dict(saved["state_dict"])
    spec = VisionSpec("classify", ("blue", "red"), (32, 32), Fit(saved["fit"]), "logits")
    right = []
    for k, name in enumerate(saved["class_names"]):
        for path in (data / "val" / name).iterdir():
            rgb = fit_image(read_image(path), spec)[0][..., ::-1] / 255
            normal = ((rgb - saved["mean"]) / saved["std"]).astype(np.float32).transpose(2, 0, 1)
            with torch.inference_mode():
                right.append(int(network.eval()(torch.from_numpy(normal)[None]).argmax()) == k)
    assert np.mean(right) == done.metrics["top1"]


def test_colours_are_learnt(image_folder, tmp_path):
    training = ClassifierTraining("resnet18", image_size=32, epochs=4, batch=8, learning_rate=0.001)
    assert (
        train_classifier(image_folder(), tmp_path / "out", training=training).metrics["top1"] > 0.9
    )


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(image_folder, tmp_path):
    data = image_folder()
    one_epoch = {"architecture": "shufflenet_v2_x0_5", "image_size": 32, "epochs": 1, "batch": 8}
    before = torch.get_rng_state()
    weights = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        done = train_classifier(
            data, tmp_path / name, training=ClassifierTraining(**one_epoch, seed=seed)
        )
        weights.append(checkpoint(done.checkpoint)["state_dict"]["fc.weight"])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.get_rng_state(), before), (
        "training must not disturb its caller's random numbers"
    )


def test_fine_tuning_goes_on_from_a_checkpoint_and_keeps_its_architecture(image_folder, tmp_path):
    data = image_folder()
    first = train_classifier(data, tmp_path / "first", training=SMALL)
    gentle = ClassifierTraining("resnet18", image_size=224, epochs=1, batch=8, learning_rate=1e-6)
    second = train_classifier(
        data, tmp_path / "second", training=gentle, start_from=first.checkpoint
    )
    before, after = checkpoint(first.checkpoint), checkpoint(second.checkpoint)
    assert (after["architecture"], after["image_size"]) == ("shufflenet_v2_x0_5", 32)
    moved = after["state_dict"]["fc.weight"] - before["state_dict"]["fc.weight"]
    assert 0 < float(moved.abs().max()) < 1e-4


def test_fine_tuning_on_other_classes_is_refused(image_folder, tmp_path):
    first = train_classifier(image_folder(), tmp_path / "first", training=SMALL)
    other = image_folder(("blue", "green", "red"), name="other")
    with pytest.raises(IncompatibleError, match="blue, red, found blue, green, red"):
        train_classifier(other, tmp_path / "second", training=SMALL, start_from=first.checkpoint)
    assert not (tmp_path / "second").exists()


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("code from the checkpoint was executed",))


@pytest.mark.parametrize("content", ["missing", "text", "pickle", "weights", "truncated"])
def test_what_is_no_checkpoint_is_refused_and_never_executed(image_folder, tmp_path, content):
    data, path = image_folder(), tmp_path / "start.pt"
    if content == "text":
        path.write_text("not a checkpoint")
    elif content == "pickle":
        torch.save({"foveal_classifier": 1, "state_dict": Bomb()}, path)
    elif content == "weights":
        torch.save({"fc.weight": torch.zeros(2)}, path)
    elif content == "truncated":
        whole = train_classifier(data, tmp_path / "whole", training=SMALL).checkpoint.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="a classifier checkpoint that Foveal wrote"):
        train_classifier(data, tmp_path / "out", training=SMALL, start_from=path)
    assert not (tmp_path / "out").exists()


def test_a_last_batch_of_one_image_is_left_out(image_folder, tmp_path):
    training = ClassifierTraining("shufflenet_v2_x0_5", image_size=32, epochs=1, batch=3)
    done = train_classifier(image_folder(each=2), tmp_path / "out", training=training)
    assert done.checkpoint.is_file()


def test_an_unreadable_image_stops_training_by_its_name(image_folder, tmp_path):
    data = image_folder()
    (data / "val" / "red" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    with pytest.raises((ImageError, DatasetError), match=r"torn\.png"):
        train_classifier(data, tmp_path / "out", training=SMALL)
    assert not (tmp_path / "out").exists()


def test_one_class_is_nothing_to_learn(image_folder, tmp_path):
    with pytest.raises(DatasetError, match="at least two classes"):
        train_classifier(image_folder(("red",)), tmp_path / "out", training=SMALL)


@pytest.mark.parametrize(
    ("architecture", "size", "message"),
    [
        ("resnet81", 32, "did you mean resnet18"),
        ("fasterrcnn_resnet50_fpn", 32, "a classifier of torchvision"),
        ("alexnet", 32, "an image size that alexnet takes"),
        ("vit_b_16", 32, "an image size that vit_b_16 takes"),
    ],
)
def test_an_architecture_that_cannot_be_trained_is_refused_before_training(
    image_folder, tmp_path, architecture, size, message
):
    with pytest.raises(ConfigError, match=message):
        train_classifier(
            image_folder(),
            tmp_path / "out",
            training=ClassifierTraining(architecture, image_size=size),
        )


def test_a_device_that_is_not_there_is_named(image_folder, tmp_path):
    training = ClassifierTraining("shufflenet_v2_x0_5", image_size=32, device="nonsense:7")
    with pytest.raises(UnavailableError, match="'nonsense:7'"):
        train_classifier(image_folder(), tmp_path / "out", training=training)


def test_training_that_diverges_says_so(image_folder, tmp_path):
    data = image_folder()
    start = train_classifier(data, tmp_path / "first", training=SMALL).checkpoint
    saved = checkpoint(start)
    saved["state_dict"]["fc.weight"] *= torch.nan
    torch.save(saved, start)
    with pytest.raises(
        ConfigError, match="a finite training loss, found nan in epoch 1; lower learning_rate"
    ):
        train_classifier(data, tmp_path / "out", training=SMALL, start_from=start)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch": 1},
        {"image_size": 8},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
    ],
)
def test_settings_outside_their_range_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ClassifierTraining(**wrong)


def test_augmentation_never_mirrors_and_stays_in_range():
    left = torch.zeros(64, 3, 32, 32)
    left[..., :10] = 1
    changed = augment(left, torch.Generator().manual_seed(0))
    assert changed.shape == left.shape
    assert 0 <= float(changed.min()) and float(changed.max()) <= 1
    assert not torch.equal(changed[0], changed[1])
    assert bool((changed[..., :6].mean((1, 2, 3)) > changed[..., -16:].mean((1, 2, 3))).all())
