"""`foveal.InferencePipeline` over registered versions."""

from __future__ import annotations

import pytest

from components.errors import RegistryError
from components.images.reading import read_image
from foveal import InferencePipeline, PipelineSettings


@pytest.fixture
def released(registry, make_release, tmp_path, monkeypatch):
    """The registry of the environment, with two versions of a model, the first one champion."""
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path / "root"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.tracking_uri)
    registry.log_release(make_release("ensemble"))
    registry.promote("ensemble", 1)
    registry.log_release(make_release("ensemble", noise_floor=0.02))
    return registry


def test_registered_names_are_opened_and_named_in_results(released, bundle, photo):
    settings = PipelineSettings(combine={"method": "wbf", "weights": [1, 2, 1]})
    models = ("ensemble@champion", "ensemble/2", bundle.folder)
    with InferencePipeline.open(*models, settings=settings, threads=1) as pipeline:
        result = pipeline.predict(read_image(photo), image_id="a")
    assert result.error == ""
    assert result.models[:2] == ("ensemble/1", "ensemble/2")
    assert [(item.class_name, round(item.confidence, 4)) for item in result.items] == [("dog", 0.9)]
    with InferencePipeline.open("ensemble", threads=1) as champion:
        assert champion.model_names == ("ensemble/1",)
        assert champion.predict(photo).items[0].box == pytest.approx(result.items[0].box)
    with pytest.raises(RegistryError, match="choose one of these"):
        InferencePipeline.open("ensemble/7")
