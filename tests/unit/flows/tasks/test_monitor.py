"""What a night does about images that are gone and hosts that do not answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pydantic import ValidationError

from components.contracts import Fit, InferenceRun, LoadedModel, ModelVersion, VisionSpec
from components.errors import IncompatibleError
from components.images.sources import ImageSource, list_images
from components.inference.batch.tables import detections_schema
from components.monitoring import MonitoringStore, Watermark
from flows.config.ab_test import AbConfig
from flows.config.batch_inference import BatchConfig
from flows.config.monitor import MonitorConfig, NightlyConfig
from flows.reporting.progress import reading
from flows.runtime.settings import Settings
from flows.tasks.monitoring import window as watching
from flows.tasks.monitoring.health import accuracy_of


@pytest.fixture
def shots(tmp_path, monkeypatch):
    """A folder with two images, below a storage root of its own."""
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FOVEAL_ALERT_URLS", raising=False)
    place = tmp_path / "shots"
    place.mkdir()
    for name in ("a.jpg", " a.jpg"):
        Image.new("RGB", (8, 8)).save(place / name)
    return place


VERSION = ModelVersion("digits", 3, "run")


def planned_earlier(config: NightlyConfig, hours: int = 24):
    store = Settings.from_environment().store
    images = list_images(config.images)
    return Watermark(store, config.name, config.images).next_window(
        images, at=datetime.now(UTC) - timedelta(hours=hours), version="3"
    )


def test_a_plan_of_an_earlier_night_is_taken_up_while_one_of_its_images_is_left(shots):
    config = NightlyConfig(name="digits", images=str(shots))
    earlier = planned_earlier(config)
    (shots / "a.jpg").unlink()
    told = []
    with reading(told.append):
        found = watching.plan_window.fn(config, VERSION)
    assert found.window == earlier and found.given_up == ()
    (line,) = told
    assert line.startswith("goes on with an unfinished night, planned at ") and line.endswith(
        " UTC: 2 images"
    )
    assert watching.images_of(found.window).listed == earlier.images


def test_a_plan_whose_images_are_all_gone_is_given_up_with_a_word(shots):
    config = NightlyConfig(name="digits", images=str(shots))
    planned_earlier(config)
    for path in list(shots.iterdir()):
        path.unlink()
    Image.new("RGB", (9, 9)).save(shots / "new.jpg")
    told = []
    with reading(told.append):
        found = watching.plan_window.fn(config, VERSION)
    assert told == []
    assert [image.image_id for image in found.window.images] == ["new.jpg"]
    (line,) = found.given_up
    assert "gave up the window of" in line and "none of its 2 images is there any more" in line
    watching.commit_window.fn(config, found.window)
    assert watching.plan_window.fn(config, VERSION) == watching.Planned(None)


class Registered:
    """A registry of versions 1 and 3."""

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        return tuple(ModelVersion(name, number, "run") for number in (1, 3))


@pytest.mark.parametrize(("planned_for", "version"), [("", ""), ("3", ""), ("1", "1"), ("99", "")])
def test_a_window_is_done_by_the_version_it_was_planned_for_unless_that_was_deleted(
    shots, monkeypatch, planned_for, version
):
    monkeypatch.setattr(watching, "registry", Registered)
    config = NightlyConfig(name="digits", images=str(shots))
    window = replace(planned_earlier(config), version=planned_for)
    told = []
    with reading(told.append):
        assert watching.version_of_plan.fn(window, VERSION) == version
    assert len(told) == (planned_for == "99")
    if told:
        assert (
            "was planned for version 99 of digits, which was deleted; goes on with version 3"
            in told[0]
        )


def test_a_dead_host_is_told_once_and_again_when_it_answers(shots):
    config = NightlyConfig(name="digits", images=str(shots))
    run = InferenceRun(Path("out"), "digits/3", 3, (), 1.0, 1, (("https://dead", 2),))
    told = []
    for night, unreachable in enumerate([run.unreachable, run.unreachable, (), ()]):
        window = planned_earlier(config, hours=night)
        window = replace(window, key=f"{night}" * 64, images=(ImageSource("a", "b"),) * 5)
        arrivals = watching.watch_places.fn(
            config, VERSION, window, replace(run, unreachable=unreachable)
        )
        told.append([(alert.rule, alert.status.value) for alert in arrivals.alerts])
    assert told == [
        [("unreachable_places", "firing")],
        [],
        [("unreachable_places", "resolved")],
        [],
    ]


@pytest.mark.parametrize(
    "address", ["https://host/all.csv?token=hush", "https://us'er:pa'ss@host/shots"]
)
def test_an_address_with_a_secret_is_no_parameter_of_a_flow(address):
    for kind, named in (
        (NightlyConfig, {"name": "digits"}),
        (MonitorConfig, {"name": "digits"}),
        (BatchConfig, {"model": "digits"}),
        (AbConfig, {"name": "digits", "a": "1", "b": "2"}),
    ):
        with pytest.raises(ValidationError, match="without a secret"):
            kind(**named, images=address)


CATS_AND_DOGS = VisionSpec("classify", ("cat", "dog"), (32, 32), Fit.STRETCH, "logits")
MODEL = LoadedModel(VERSION, Path("bundle"), None, CATS_AND_DOGS)


@pytest.fixture
def predicted(tmp_path) -> InferenceRun:
    """Sixty cats, found to be cats, and the detections that a classifier has none of."""
    folder, at = tmp_path / "run", datetime.now(UTC)
    folder.mkdir()
    ids = [f"{k}.png" for k in range(60)]
    images = {
        "image_id": ids,
        "status": ["ok"] * 60,
        "sha256": ids,
        **{name: [1.0] * 60 for name in ("brightness", "contrast", "sharpness")},
        "prediction_class": [0] * 60,
        "prediction_confidence": [0.9] * 60,
        "predicted_at": pa.array([at] * 60, pa.timestamp("us", "UTC")),
    }
    pq.write_table(pa.table(images), folder / "images.parquet")
    pq.write_table(detections_schema().empty_table(), folder / "detections.parquet")
    return InferenceRun(folder, "digits/3", 60, (), 1.0, 1)


def labelled(folder: Path, classes: dict[str, range]) -> NightlyConfig:
    """A night's parameters with labels in `folder`: class → numbers of its images."""
    for name, numbers in classes.items():
        (folder / "val" / name).mkdir(parents=True)
        for k in numbers:
            Image.new("RGB", (8, 8), (k, 0, 0)).save(folder / "val" / name / f"{k}.png")
    return NightlyConfig(name="digits", images="shots", labels=folder)


def test_labels_of_a_class_that_the_model_lacks_cost_a_night_its_accuracy_alone(
    shots, predicted, tmp_path
):
    key = MonitoringStore(Settings.from_environment().store).append(predicted)
    strange = labelled(tmp_path / "strange", {"cat": range(40), "unicorn": range(40, 43)})
    told = []
    with reading(told.append):
        assert accuracy_of(strange, MODEL, frozenset([key])) is None
    (line,) = told
    assert "accuracy is not measured: " in line
    assert "cat, dog" in line and "unicorn (images: 3)" in line
    with pytest.raises(IncompatibleError, match="unicorn"):
        accuracy_of(strange, MODEL, predicted)
    known = labelled(tmp_path / "known", {"cat": range(40), "dog": range(40, 43)})
    report = accuracy_of(known, MODEL, frozenset([key]))
    assert report is not None and report.matched == 43


def test_labels_of_another_task_cost_a_night_its_accuracy_alone(shots, predicted, tmp_path):
    key = MonitoringStore(Settings.from_environment().store).append(predicted)
    (tmp_path / "labels").mkdir()
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "0.png")
    (tmp_path / "labels" / "0.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    data = tmp_path / "data.yaml"
    data.write_text("path: .\nval: images\nnames: [cat, dog]\n")
    config = NightlyConfig(name="digits", images="shots", labels=data)
    told = []
    with reading(told.append):
        assert accuracy_of(config, MODEL, frozenset([key])) is None
    assert "accuracy is not measured: " in told[-1]
