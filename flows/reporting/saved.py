"""Saved releases and evaluated windows, reopened for notebooks and scripts, without Prefect."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from components.contracts import DriftDecision, DriftState, InferenceRun, load
from components.errors import ConfigError
from flows.runtime.settings import Settings


@dataclass(frozen=True)
class SavedWindow:
    """An evaluated batch of images, as `nightly` and `monitor` keep it below `monitoring/NAME`.

    Arguments:
        folder: where it is.
        at: when its last image was predicted, in UTC.
        run: its tables.
        decision: what the drift policy said of it.
    """

    folder: Path
    at: datetime
    run: InferenceRun
    decision: DriftDecision

    @property
    def report(self) -> Path:
        """The page that shows the decision."""
        return self.folder / "drift" / "report.html"


def latest_release(name: str) -> Path:
    """Return the newest release's folder: `bundle`, zip, and with images `predictions` and `drift`.

    Arguments:
        name: of the registered model.

    Raises:
        ConfigError: nothing of that name was released from this storage root.
    """
    place = Settings.from_environment().releases / name
    found = [folder for folder in place.glob("*") if folder.name.isdecimal()]
    if not found:
        raise ConfigError(
            f"a release of {name}",
            found=f"none below {place}",
            hint="run make demo, or foveal release",
        )
    return max(found, key=lambda folder: int(folder.name))


def saved_bundle(name: str, version: int) -> Path | None:
    """Return the zip of a version's bundle below this storage root; None if released elsewhere.

    Arguments:
        name: of the registered model.
        version: of it.
    """
    bundle = Settings.from_environment().releases / name / str(version) / f"{name}.zip"
    return bundle if bundle.is_file() else None


def saved_windows(name: str) -> tuple[SavedWindow, ...]:
    """All evaluated batches of a model that this storage root keeps, the latest last.

    Arguments:
        name: of the registered model.
    """
    place = Settings.from_environment().root / "monitoring" / name
    found = [_read(path.parents[1]) for path in place.glob("*/drift/report.json")]
    return tuple(sorted(found, key=lambda window: (window.at, window.folder.name)))


def latest_alarm(name: str) -> SavedWindow:
    """The latest batch that was called a drift.

    Arguments:
        name: of the registered model.

    Raises:
        ConfigError: none was.
    """
    windows = saved_windows(name)
    alarms = [window for window in windows if window.decision.state is DriftState.DRIFT]
    if not alarms:
        raise ConfigError(
            f"a drift of {name}",
            found=f"{len(windows)} judged windows without one",
            hint="there is nothing to explain",
        )
    return alarms[-1]


def _read(folder: Path) -> SavedWindow:
    from components.runs.finished import load_run

    report = json.loads((folder / "drift" / "report.json").read_text(encoding="utf-8"))
    at = datetime.fromisoformat(report["trend_point"]["at"])
    return SavedWindow(
        folder, at, load_run(folder / "predictions"), load(DriftDecision, report["decision"])
    )
