"""The demo: the whole loop on real data that installed packages ship, with nothing to configure."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.datasets.dataset import load_dataset
from components.datasets.scenes import write_detection_dataset
from components.printing import short_path
from flows.config.demo import COUNTS, NAME, data_folder, release_config, retrain_config
from flows.config.monitor import MonitorConfig
from flows.reporting.progress import advance
from flows.reporting.retraining import RetrainSummary
from flows.reporting.saved import saved_bundle
from flows.reporting.summary import MonitorSummary, Record, ReleaseSummary
from flows.runtime.settings import Settings


@dataclass(frozen=True)
class Compared:
    """Champion and challenger on one labelled split that neither has learnt from."""

    split: str
    images: int
    metric: str
    before: float
    after: float


@dataclass(frozen=True)
class DemoSummary(Record):
    """A release judged on day images, a drifting night, what was learnt from it, and the next one.

    Arguments:
        release: the first version, and its look at the day.
        night: what it makes of a night.
        retraining: what became of the challenger that learnt from that night.
        next_night: what the champion makes of the next one.
        bundle: of the champion.
        compared: the first version and the champion.
        seconds_to_alarm: from the first scene to the drift of the night.
        seconds: to the end.
        command: how `foveal` is called here.
    """

    release: ReleaseSummary
    night: MonitorSummary
    retraining: RetrainSummary
    next_night: MonitorSummary
    bundle: Path
    compared: tuple[Compared, ...]
    seconds_to_alarm: float
    seconds: float
    command: str

    def to_json(self) -> dict[str, Any]:
        """Convert to plain values; paths are strings."""
        return super().to_json() | {"retraining": self.retraining.to_json()}


def compose(settings: Settings) -> Path:
    """Write the demo's dataset, unless it is there, and return its data.yaml."""
    advance("composing scenes", 0, 1)
    data = write_detection_dataset(data_folder(settings), counts=COUNTS)
    advance("composing scenes", 1, 1)
    return data


def run(settings: Settings) -> DemoSummary:
    """Release the shipped detector, watch it fail by night, learn from it, look at the next night.

    Raises:
        FovealError: as `release`, `monitor` and `retrain` do.
    """
    from flows.monitor import monitor
    from flows.release import release
    from flows.retrain import retrain

    data, started = data_folder(settings), time.perf_counter()
    compose(settings)
    first = release(release_config(settings))
    night = monitor(
        MonitorConfig(name=NAME, images=str(data / "images" / "night"), version=str(first.version))
    )
    alarm = time.perf_counter()
    retrained = retrain(retrain_config(settings))
    champion = retrained.champion or first.version
    next_night = monitor(
        MonitorConfig(name=NAME, images=str(data / "images" / "next_night"), version=str(champion))
    )
    compared = _compare(data / "data.yaml", first.version, champion)
    return DemoSummary(
        first,
        night,
        retrained,
        next_night,
        saved_bundle(NAME, champion) or first.bundle,
        compared,
        seconds_to_alarm=alarm - started,
        seconds=time.perf_counter() - started,
        command=short_path(Path(sys.prefix) / "bin" / "foveal"),
    )


def _compare(data: Path, before: int, after: int) -> tuple[Compared, ...]:
    """Compare both versions by day and on the next night, on digits that were never trained on."""
    from flows.tasks.predict import serving

    compared = []
    for split in ("day", "next_night"):
        dataset, scores = load_dataset(data, split), []
        for version in (before, after):
            with serving(f"{NAME}/{version}") as served:
                scores.append(
                    served.evaluate(
                        dataset, lambda done, total: advance("comparing versions", done, total)
                    )
                )
        metric = "map50_95"
        compared.append(
            Compared(split, len(dataset.images), metric, scores[0][metric], scores[1][metric])
        )
    return tuple(compared)


def forget(settings: Settings) -> None:
    """Remove the demo's data and all finished steps, so that the next run does everything again."""
    for folder in (settings.root / "demo", settings.steps, settings.prefect_home / "results"):
        if folder.exists():
            shutil.rmtree(folder)
