"""Retrainings that come of twenty identical drift events at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, conclude
from benchmarks.subject import scratch
from components.datasets.scenes import write_classification_dataset
from components.training import ClassifierTraining, train_classifier

EVENTS = 20
TARGET = (
    'description = "one backend"\nbackends = ["onnxruntime"]\ndevice = "cpu"\nthreads = '
    '0\nprecisions = ["fp32"]\n'
)
CONFIG = """name: crops
model: {path: trained/model.pt}
data: {labelled: crops, calibration_split: calibration}
target: target.toml
benchmark: {rounds: 6, calls: 22}
"""
RETRAIN = """data: {labels: crops, labels_split: night, held_out_share: 0.5}
training: {epochs: 2, learning_rate: 0.002}
"""


def measure() -> Figure:
    """Release a small classifier and send the same event to twenty processes.

    It is sent once more when all of them have ended.
    """
    with scratch() as name:
        folder = Path(name)
        train_classifier(
            write_classification_dataset(folder / "crops", size=32),
            folder / "trained",
            training=ClassifierTraining(image_size=32, epochs=4),
        )
        for file, text in (
            ("target.toml", TARGET),
            ("crops.yaml", CONFIG),
            ("retrain.yaml", RETRAIN),
        ):
            (folder / file).write_text(text)
        _answer(_foveal(folder, "release", "crops.yaml", "--json"))
        event = (
            "retrain",
            "crops",
            "--config",
            "retrain.yaml",
            "--trigger",
            "drift",
            "--event",
            "night 1",
            "--json",
        )
        answers = [_answer(process) for process in [_foveal(folder, *event) for _ in range(EVENTS)]]
        late = _answer(_foveal(folder, *event))
        history = _answer(_foveal(folder, "history", "crops", "--json"))
    done = [said for said in answers if said["challenger"] is not None and not said["repeated"]]
    decided = [entry for entry in history if entry["decision"]["event"] == "night 1"]
    states = [said["state"] + (" (repeated)" if said["repeated"] else "") for said in answers]
    ok = (
        len(done) == len(decided) == 1
        and late["repeated"]
        and late["challenger"] == done[0]["challenger"]
    )
    return Figure(
        "events",
        f"{len(done)} retraining, {len(decided)} decision of {EVENTS} identical events at once",
        "1 retraining, also when the event comes again later",
        ok,
        (
            *(f"{states.count(state)} × {state}" for state in sorted(set(states))),
            f"the event again, later: {late['state']}, "
            f"{'nothing was done' if late['repeated'] else 'done again'}",
        ),
    )


def _foveal(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own command
        [Path(sys.executable).parent / "foveal", *arguments],
        cwd=folder,
        env=os.environ | {"FOVEAL_HOME": str(folder / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _answer(process: subprocess.Popen[str]) -> Any:
    out, problems = process.communicate()
    if process.returncode:
        sys.exit(f"exit {process.returncode}: {problems.strip().splitlines()[-1]}")
    return json.loads(out)


if __name__ == "__main__":
    conclude(measure)
