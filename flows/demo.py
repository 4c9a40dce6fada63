"""The demo: the whole loop on real data that installed packages ship, with nothing to configure."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.images.digits import SceneCounts, write_detection_dataset
from flows.config import DataInput, ModelInput, MonitorConfig, ReleaseConfig
from flows.formats import short
from flows.progress import advance
from flows.settings import Settings
from flows.summary import MonitorSummary, ReleaseSummary

NAME = "digits"
MODEL = Path(__file__).parent / "assets" / "digits.pt"
COUNTS = SceneCounts(train=400)


@dataclass(frozen=True)
class DemoSummary:
    """A release judged on day images, and the same version judged on night images."""

    release: ReleaseSummary
    night: MonitorSummary
    mlflow_command: str
    mlflow_page: str
    prefect_command: str

    def to_json(self) -> dict[str, Any]:
        """Plain values; paths are strings."""
        return {
            "release": self.release.to_json(),
            "night": self.night.to_json(),
            "mlflow_command": self.mlflow_command,
            "mlflow_page": self.mlflow_page,
            "prefect_command": self.prefect_command,
        }


def data_folder(settings: Settings) -> Path:
    """Where the demo's dataset is written."""
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
    )


def run(settings: Settings) -> DemoSummary:
    """Write the scenes, release the shipped detector, then look at a night of images.

    Raises:
        FovealError: as `release` and `monitor` do.
    """
    from flows.monitoring import monitor
    from flows.pipeline import release

    advance("composing scenes", 0, 1)
    write_detection_dataset(data_folder(settings), counts=COUNTS)
    advance("composing scenes", 1, 1)
    released = release(release_config(settings))
    night = monitor(MonitorConfig(name=NAME, images=str(data_folder(settings) / "images" / "night")))
    programs = f"DO_NOT_TRACK=true {short(Path(sys.prefix) / 'bin')}"
    store = (
        f"sqlite:///{short(settings.root)}/mlflow/mlflow.db" if settings.embedded_tracking else settings.tracking_uri
    )
    return DemoSummary(
        released,
        night,
        mlflow_command=f"{programs}/mlflow ui --backend-store-uri {store}",
        mlflow_page=f"http://127.0.0.1:5000/#/models/{NAME}?workflowType=machine_learning",
        prefect_command=f"PREFECT_HOME={short(settings.prefect_home)} {programs}/prefect server start",
    )


def forget(settings: Settings) -> None:
    """Remove the demo's data and all finished steps, so that the next run does everything again."""
    for folder in (settings.root / "demo", settings.steps, settings.prefect_home / "results"):
        if folder.exists():
            shutil.rmtree(folder)
