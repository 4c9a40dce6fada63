"""Shared parts: one small dataset and one release, made through the command line, for all tests that look at it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components import telemetry

telemetry.switch_off()

COMMAND = Path(sys.executable).parent / "foveal"
MODEL = Path(__file__).parents[1] / "flows" / "assets" / "digits.pt"


def clean_environment(root: Path) -> dict[str, str]:
    """This process's environment without what would send a command elsewhere, and with its own storage root."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "MLFLOW_", "FOVEAL_"))}
    return ours | telemetry.SWITCHES | {"FOVEAL_HOME": str(root)}


def foveal(*arguments: str | Path, root: Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the `foveal` command as a user does."""
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        env=clean_environment(root),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )


@dataclass(frozen=True)
class Released:
    """A finished release of the shipped detector over small splits.

    Arguments:
        root: the storage root.
        data: folder of the dataset.
        config: the YAML file.
        said: what `foveal release --json` printed.
    """

    root: Path
    data: Path
    config: Path
    said: dict[str, Any]

    def foveal(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Another command over the same storage root."""
        return foveal(*arguments, root=self.root, cwd=self.root.parent)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory) -> Path:
    """A small digit dataset; returns its data.yaml."""
    from components.images.digits import SceneCounts, write_detection_dataset

    counts = SceneCounts(train=24, calibration=32, validation=80, golden=6, day=80, night=80)
    return write_detection_dataset(tmp_path_factory.mktemp("scenes") / "digits", counts=counts, seed=3)


@pytest.fixture(scope="session")
def released(tmp_path_factory, scenes) -> Released:
    """The shipped detector, released once for the whole session."""
    folder = tmp_path_factory.mktemp("released")
    config = folder / "digits.yaml"
    config.write_text(
        "name: digits\n"
        f"model: {{path: {MODEL}, trust_pickle: true}}\n"
        "data:\n"
        f"  labelled: {scenes}\n"
        f"  images: {scenes.parent}/images/day\n"
        "  calibration_split: calibration\n"
        "  calibration_images: 16\n"
        "  golden_split: golden\n"
        "  golden_images: 3\n"
        "benchmark: {rounds: 7, calls: 20}\n"
    )
    done = foveal("release", config, "--json", root=folder / "home", cwd=folder)
    assert done.returncode == 0, done.stderr
    return Released(folder / "home", scenes.parent, config, json.loads(done.stdout))


@pytest.fixture
def command(tmp_path):
    """`foveal` over an empty storage root, run from an empty folder: ``command("release", "x.yaml")``."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    return lambda *arguments: foveal(*arguments, root=tmp_path / "home", cwd=folder)
