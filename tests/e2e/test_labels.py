"""Labelling by commands: night images go out with pre-labels, return, become training data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from components.contracts import Detections, LabelledImage
from components.datasets.dataset import load_dataset
from components.images.reading import image_size
from components.monitoring import MonitoringStore
from components.training import OriginalData, SplitNames
from components.vision.boxes import iou_matrix
from flows.cli.main import app
from flows.config.retrain import RetrainDataInput
from flows.tasks import labelling
from flows.tasks.predict import predict_images


@pytest.fixture(scope="module")
def night(released, tmp_path_factory) -> Path:
    """Return night images in two folders; the second's lie on their side, as their EXIF says."""
    folder = tmp_path_factory.mktemp("night")
    for number, image in enumerate(night_scenes(released)):
        target = folder / name_of(number, image)
        target.parent.mkdir(exist_ok=True)
        if number % 2:
            exif = Image.Exif()
            exif[0x0112] = 6
            with Image.open(image.path) as upright:
                upright.transpose(Image.Transpose.ROTATE_90).save(
                    target, "jpeg", exif=exif, quality=97
                )
        else:
            shutil.copy(image.path, target)
    return folder


def night_scenes(released) -> tuple[LabelledImage, ...]:
    return load_dataset(released.data, "night").images[:70]


def name_of(number: int, image: LabelledImage) -> str:
    return f"{('cam 1', 'ночь (2)')[number % 2]}/{image.path.name}"


@pytest.fixture(scope="module")
def home(released, night, tmp_path_factory) -> dict[str, str]:
    """The released model with a store of its own, in which that night is kept."""
    folder = tmp_path_factory.mktemp("labelling")
    environment = {"FOVEAL_HOME": str(released.root), "FOVEAL_STORE": str(folder / "store")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        run = predict_images("digits", str(night), folder / "run")
    MonitoringStore(folder / "store").append(run, key="night")
    return environment


@pytest.fixture
def say(home, monkeypatch):
    """Run `foveal labels …` and read the JSON that it prints."""
    for name, value in home.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str | Path) -> dict:
        done = CliRunner().invoke(
            app, ["labels", *map(str, arguments), "--json"], catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return run


def checked(
    folder: Path, tasks: list[dict], truths: dict[str, Detections], skip: int
) -> list[dict]:
    """Return what people would say in Label Studio: truth in per cent, with some tasks skipped."""
    for number, task in enumerate(tasks):
        truth = truths[task["data"]["image_id"]]
        width, height = image_size(folder / task["data"]["image"].partition("?d=")[2])
        regions = []
        for k, (left, top, right, bottom) in zip(
            truth.class_ids.tolist(), truth.xyxy.tolist(), strict=True
        ):
            value = {
                "x": 100 * left / width,
                "y": 100 * top / height,
                "rotation": 0,
                "rectanglelabels": [str(k)],
            }
            value |= {
                "width": 100 * (right - left) / width,
                "height": 100 * (bottom - top) / height,
            }
            sizes = {"original_width": width, "original_height": height}
            regions.append({"type": "rectanglelabels", "value": value, **sizes})
        task["annotations"] = [
            {"result": regions, "was_cancelled": number < skip, "completed_by": 1}
        ]
    return tasks


def box_of(task: dict) -> np.ndarray:
    """The first pre-label in pixels, (1, 4)."""
    region = task["predictions"][0]["result"][0]
    width, height, value = region["original_width"], region["original_height"], region["value"]
    left, top = value["x"] / 100 * width, value["y"] / 100 * height
    return np.array(
        [[left, top, left + value["width"] / 100 * width, top + value["height"] / 100 * height]]
    )


def test_a_night_is_handed_out_comes_back_and_becomes_training_data(released, say, tmp_path):
    """One story, since each step builds on the one before."""
    truths = {
        name_of(number, image): image.truth for number, image in enumerate(night_scenes(released))
    }
    out = say("export", "digits", "--output", tmp_path / "out", "--size", "70")
    file = tmp_path / "out" / "tasks.json"
    tasks = json.loads(file.read_text())
    assert len(out["images"]) == len(tasks) == 70
    for folder in ("cam 1", "ночь (2)"):
        overlaps = [
            iou_matrix(box_of(task), truths[task["data"]["image_id"]].xyxy).max()
            for task in tasks
            if task["data"]["image_id"].startswith(folder) and task["predictions"][0]["result"]
        ]
        assert len(overlaps) > 1 and np.median(overlaps) > 0.7, (
            "pre-labels lie on the upright image"
        )

    file.write_text(json.dumps(checked(file.parent, tasks, truths, skip=3)))
    back = say("import", "digits", file.parent)
    assert (back["added"], back["unlabelled"], back["unknown"], back["gone"]) == (67, 3, [], [])
    assert say("import", "digits", file.parent)["same"] == back["added"]
    status = say("status", "digits", "--minimum", "100")
    assert (status["fresh"], status["missing"]) == (back["added"], 100 - back["added"])

    with labelling.labelled_model("digits") as model:
        assert labelling.ask_for_labels.fn(model.version, model.reference, 5) == 3, (
            "all others have been labelled"
        )
        found = labelling.new_labels.fn("digits", model.spec, RetrainDataInput())
    (new,) = found.parts
    assert found.count == back["added"] == len(load_dataset(new.data, new.name).images)
    for image in load_dataset(new.data, new.name).images:
        apart = [
            abs(one.xyxy - image.truth.xyxy).max()
            for one in truths.values()
            if len(one) == len(image.truth)
        ]
        assert min(apart) < 0.05
    version = labelling.compose.fn(
        "digits",
        model.spec,
        OriginalData(
            released.data / "data.yaml",
            SplitNames("train", "val", "calibration", "golden"),
            conditions=("val",),
        ),
        [new],
        RetrainDataInput(pseudo_share=0.1, pseudo_confidence=0.5),
    )
    assert version.sources["new"] == back["added"], "no night scene is taken for another one"
    assert version.dropped == {}
    assert (
        version.images["known_1"] == 80 and version.images["val"] == 80 + version.images["recent"]
    )
    assert (
        version.images["train"] + version.images["recent"]
        == 24 + back["added"] + version.sources["pseudo"]
    )
    assert (
        load_dataset(version.data, "golden").sha256 == load_dataset(released.data, "golden").sha256
    )
    labelling.mark_learnt.fn("digits", "retraining-1", found.until)
    assert say("status", "digits")["fresh"] == 0
