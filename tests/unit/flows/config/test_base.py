"""Parameters: one model for YAML, the UI's form and Python; wrong ones are named in one line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest

from components.contracts import Fit, Interpolation
from components.errors import ConfigError
from components.optimize import Fitting
from flows.config.base import read_config, validate_config
from flows.config.monitor import MonitorConfig, NightlyConfig
from flows.config.release import DataInput, ModelInput, ReleaseConfig

MINIMAL = "name: parts\nmodel: {path: best.onnx}\ndata: {labelled: parts/data.yaml}\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "parts.yaml"
    path.write_text(text)
    return path


def test_relative_paths_are_relative_to_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    config = read_config(written(tmp_path, MINIMAL), ReleaseConfig)
    assert config.model.path == tmp_path / "best.onnx"
    assert config.data.labelled == tmp_path / "parts" / "data.yaml"


def test_urls_and_absolute_paths_stay_as_they_are(tmp_path):
    text = MINIMAL.replace("parts/data.yaml", "/data/parts.yaml, images: 's3://bucket/shots'")
    config = read_config(written(tmp_path, text), ReleaseConfig)
    assert config.data.labelled == Path("/data/parts.yaml")
    assert config.data.images == "s3://bucket/shots"


def test_a_target_file_is_relative_to_the_configuration_and_a_built_in_name_is_not(tmp_path):
    assert (
        read_config(written(tmp_path, MINIMAL + "target: mobile\n"), ReleaseConfig).target
        == "mobile"
    )
    config = read_config(written(tmp_path, MINIMAL + "target: mine.toml\n"), ReleaseConfig)
    assert config.target == str(tmp_path / "mine.toml")


def test_defaults_need_no_configuration(tmp_path):
    config = read_config(written(tmp_path, MINIMAL), ReleaseConfig)
    assert config.benchmark.rounds * config.benchmark.calls >= 130  # enough for a p95
    assert not config.model.trust_pickle
    assert config.promote == "verified"


@pytest.mark.parametrize(
    ("addition", "words"),
    [
        ("benchmark: {round: 7}\n", ["benchmark.round", "did you mean rounds"]),
        ("benchmark: {rounds: many}\n", ["benchmark.rounds", "'many'"]),
        ("thresholds: {iou: 2}\n", ["thresholds.iou", "less than or equal to 1"]),
        ("promote: always\n", ["promote", "verified"]),
        ("colour: red\n", ["colour is unknown", "known are name, model"]),
    ],
)
def test_a_wrong_field_is_named_with_its_place(tmp_path, addition, words):
    with pytest.raises(ConfigError) as caught:
        read_config(written(tmp_path, MINIMAL + addition), ReleaseConfig)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def model(**fields):
    return validate_config({"path": "best.onnx", **fields}, ModelInput, source="here")


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, None),
        ({"image_size": 640}, (640, 640)),
        ({"image_size": [480, 640]}, (480, 640)),
        ({"fit": {"resize": 256, "crop": 224}}, (224, 224)),
        ({"fit": {"resize": 256, "crop": 224}, "image_size": [224, 224]}, (224, 224)),
        ({"fit": {"resize": [224, 320]}}, (224, 320)),
        ({"fit": {"resize": [256, 256]}, "image_size": 224}, (224, 224)),
        ({"fit": "stretch", "image_size": 96}, (96, 96)),
    ],
    ids=str,
)
def test_the_model_s_input_is_a_square_a_rectangle_or_the_crop(fields, size):
    asked = model(**fields)
    assert asked.input_size == size
    assert validate_config(asked.model_dump(mode="json"), ModelInput, source="again") == asked


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"image_size": 4},
            "image_size: expected a side in pixels, 8 to 8192, or [height, width], got 4",
        ),
        ({"image_size": [480, 640, 3]}, "or [height, width], got [480, 640, 3]"),
        ({"image_size": True}, "or [height, width]"),
        ({"image_size": "640"}, "or [height, width]"),
        (
            {"fit": "zoom"},
            "fit: expected letterbox, stretch, center_crop, or the fields resize, crop",
        ),
        ({"fit": {"resze": 256}}, "fit: resze is unknown, did you mean resize?"),
        ({"fit": {"crop": [224]}}, "fit: crop: expected a side in pixels"),
        ({"fit": {"resize": 256, "crop_pct": 0.9}}, "resize or crop_pct, not both"),
        (
            {"fit": {"crop": 224}, "image_size": 256},
            "the image_size 256 as fit's crop, which is 224",
        ),
    ],
    ids=str,
)
def test_a_size_or_a_fit_that_cannot_be_is_named_in_one_line(fields, words):
    with pytest.raises(ConfigError) as caught:
        model(**fields)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_described_crop_is_what_the_model_is_opened_with():
    from flows.tasks.components import fitting

    assert fitting(model(fit={"resize": 232, "crop": 224, "interpolation": "bicubic"})) == Fitting(
        Fit.CENTER_CROP, 232, Interpolation.BICUBIC
    )
    assert fitting(model(fit={"resize": [224, 320]})) == Fitting(Fit.STRETCH)
    assert fitting(model(fit={"resize": [256, 256], "crop": 224})) == Fitting(
        Fit.CENTER_CROP, (256, 256)
    )
    assert fitting(model(fit="stretch")) is Fit.STRETCH


def test_all_problems_are_named_at_once():
    with pytest.raises(ConfigError, match=r"name is missing.*images is missing"):
        validate_config({}, NightlyConfig, source="here")


@pytest.mark.parametrize("values", [{}, {"images": "shots", "since": "2026-11-01"}])
def test_monitoring_takes_images_or_a_time_range_and_not_both(values):
    with pytest.raises(ConfigError, match="either images or a time range"):
        validate_config({"name": "digits", **values}, MonitorConfig, source="here")


def test_a_time_without_a_zone_is_meant_here_and_kept_in_utc():
    config = validate_config(
        {"name": "digits", "since": "2026-11-01T12:00:00"}, MonitorConfig, source="here"
    )
    assert config.since == datetime(2026, 11, 1, 12).astimezone() and config.since.tzinfo is UTC


def test_the_form_describes_every_field():
    def undescribed(schema: dict) -> list[str]:
        return [
            f"{name}.{field}"
            for name, definition in schema["$defs"].items()
            for field, body in definition.get("properties", {}).items()
            if "description" not in body
        ]

    assert undescribed(ReleaseConfig.model_json_schema()) == []
    assert undescribed(NightlyConfig.model_json_schema()) == []


def test_of_a_retrained_model_the_file_that_was_given_at_first_is_logged():
    data = DataInput(labelled="data.yaml")
    given = ReleaseConfig(name="parts", model=ModelInput(path="best.pt"), data=data)
    again = ReleaseConfig(
        name="parts", model=ModelInput(path="steps/model.pt", original="best.pt"), data=data
    )
    assert given.logged() == given.model_dump(mode="json")
    assert again.logged()["model"]["path"] == "best.pt"
    assert ReleaseConfig(**again.logged()) == given, "the next retraining reads it"


def test_the_form_offers_the_built_in_targets_and_calls_everything_by_a_title():
    from components.targets.loader import BUILT_IN
    from flows.config.release import BuiltInTarget

    assert set(get_args(BuiltInTarget)) == set(BUILT_IN)
    schema = ReleaseConfig.model_json_schema()
    assert schema["properties"]["target"]["anyOf"][0]["enum"] == list(get_args(BuiltInTarget))
    assert schema["$defs"]["ModelInput"]["title"] == "Model"
    titles = [
        field.get("title", "a model")
        for model in (schema, *schema["$defs"].values())
        for field in model.get("properties", {}).values()
    ]
    assert {"Trust pickle", "IoU", "Calibration images"} <= set(titles)
    assert not [title for title in titles if title.isidentifier() and "_" in title], (
        "named by the field alone"
    )
