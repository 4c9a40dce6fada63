"""`foveal.InferencePipeline` over real bundles."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import foveal
from components.contracts import Bundle
from components.errors import BundleError, FovealError
from foveal import InferencePipeline, PipelineSettings, read_config


@pytest.fixture
def red() -> np.ndarray:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:32, :32, 2] = 200
    return image


def test_folders_zips_and_files_of_bundles_are_opened_together(
    detector_bundle: Bundle, red: np.ndarray
) -> None:
    models = (detector_bundle.folder, str(detector_bundle.archive))
    with (
        InferencePipeline.open(detector_bundle.folder, threads=1) as single,
        InferencePipeline.open(*models, detector_bundle.folder / "model.onnx", threads=1) as three,
    ):
        one, result = single.predict(red), three.predict(red)
    assert one.items and {item.class_name for item in one.items} == {"red"}
    assert result.prediction == one.prediction
    assert len(result.models) == 3 and result.models[2] == "model.onnx"


def test_a_bundle_is_opened_with_the_thresholds_that_it_was_released_with(
    detector_bundle: Bundle, red: np.ndarray
) -> None:
    with InferencePipeline.resolve(str(detector_bundle.folder)) as variant:
        assert (variant.confidence, variant.iou) == (0.25, 0.7)


def test_an_unpacked_bundle_is_there_until_the_pipeline_is_closed(detector_bundle: Bundle) -> None:
    unpacked = []

    class Watched(InferencePipeline):
        @classmethod
        def resolve(cls, model):
            context = super().resolve(model)

            class Noted:
                def __enter__(self):
                    variant = context.__enter__()
                    unpacked.append(variant.artifact.path)
                    return variant

                def __exit__(self, *error):
                    return context.__exit__(*error)

            return Noted()

    with Watched.open(detector_bundle.archive, threads=1):
        assert unpacked[0].exists()
    assert not unpacked[0].exists()


def test_a_damaged_bundle_and_a_name_that_nothing_has_are_refused(
    detector_bundle: Bundle, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(detector_bundle.folder, tmp_path / "copy"))
    (copied / "config.json").write_text("{}")
    with pytest.raises(BundleError, match=r"config\.json"):
        InferencePipeline.open(copied)
    with pytest.raises(FovealError):
        InferencePipeline.open(tmp_path / "none.onnx")


def test_settings_are_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(
        "combine: {method: wbf, weights: [2, 1]}\nflips: [horizontal, both]\n"
        "tiling: {size: 640}\nkeep: {region: [[0, 0], [9, 0], [9, 9]], confidence: {bolt: 0.4}}\n"
    )
    settings = read_config(path, PipelineSettings)
    assert settings == PipelineSettings(
        combine={"method": "wbf", "weights": (2, 1)},
        flips=("horizontal", "both"),
        tiling={"size": 640},
        keep={"region": ((0, 0), (9, 0), (9, 9)), "confidence": {"bolt": 0.4}},
    )
    assert settings.tiling is not None and settings.tiling.overlap == 0.2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("combine: {iuo: 0.5}", "combine.iuo is unknown, did you mean iou"),
        ("tiling: {overlap: 0.2}", "tiling.size is missing"),
        ("keep: {region: [[0, 0], [1, 1]]}", "at least three"),
        ("combine: {weights: [1, -1]}", "positive weight"),
    ],
)
def test_wrong_settings_are_one_clear_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(text)
    with pytest.raises(foveal.FovealError, match=said) as caught:
        read_config(path, PipelineSettings)
    assert "\n" not in str(caught.value) and "pipeline.yaml" in str(caught.value)
