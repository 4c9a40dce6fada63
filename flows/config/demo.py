"""Parameters of the demo: its model, its data, and what it asks of each flow."""

from __future__ import annotations

from pathlib import Path

from components.benchmark.plan import BenchmarkSettings
from components.datasets.scenes import SceneCounts
from flows.config.release import DataInput, ModelInput, ReleaseConfig
from flows.config.retrain import RetrainConfig, RetrainDataInput
from flows.runtime.settings import Settings

NAME = "digits"
MODEL = Path(__file__).parents[1] / "assets" / "digits.pt"
COUNTS = SceneCounts(train=400, golden=200)


def data_folder(settings: Settings) -> Path:
    """Return the folder that the demo's dataset is written to."""
    return settings.root / "demo" / "digits"


def release_config(settings: Settings) -> ReleaseConfig:
    """The parameters of the demo's release, as a user would write them."""
    data = data_folder(settings)
    return ReleaseConfig(
        name=NAME,
        model=ModelInput(path=MODEL, trust_pickle=True),
        data=DataInput(
            labelled=data / "data.yaml",
            images=str(data / "images" / "day"),
            calibration_split="calibration",
            golden_split="golden",
        ),
        benchmark=BenchmarkSettings(accept_noise=True),  # a demonstration asks nothing
    )


def retrain_config(settings: Settings) -> RetrainConfig:
    """Return the parameters of the demo's retraining; ground truth stands in for human labels."""
    return RetrainConfig(
        name=NAME,
        trigger="drift",
        event="the first night of the demo",
        data=RetrainDataInput(labels=data_folder(settings) / "data.yaml", labels_split="night"),
    )
