"""Four releases of different models at once on the embedded default; one release twice at once."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, conclude
from benchmarks.subject import scratch
from components.datasets.scenes import (
    SceneCounts,
    write_classification_dataset,
    write_detection_dataset,
)
from components.training import ClassifierTraining, train_classifier
from flows.config.demo import MODEL
from model_registry import Registry, sqlite_uri
from model_registry.store import open_store

CLASSIFIERS = 3
SCENES = SceneCounts(
    train=24, calibration=32, validation=80, golden=6, day=80, night=2, next_night=2
)
TARGET = (
    'description = "one backend"\nbackends = ["onnxruntime"]\ndevice = "cpu"\nthreads = '
    '0\nprecisions = ["fp32"]\n'
)
COMMON = "target: target.toml\nbenchmark: {rounds: 6, calls: 22}\n"


def _prepare(folder: Path) -> list[str]:
    """Prepare a detector and classifiers of different seeds, with a configuration for each.

    Returns their names.
    """
    scenes = write_detection_dataset(folder / "scenes", counts=SCENES, seed=3)
    crops = write_classification_dataset(folder / "crops", size=32)
    (folder / "target.toml").write_text(TARGET)
    (folder / "scenes.yaml").write_text(
        f"name: scenes\nmodel: {{path: {MODEL}, trust_pickle: true}}\n"
        f"data: {{labelled: {scenes}, images: scenes/images/day, calibration_split: "
        f"calibration}}\n{COMMON}"
    )
    names = [f"crops-{seed}" for seed in range(CLASSIFIERS)]
    for seed, name in enumerate(names):
        training = ClassifierTraining(image_size=32, epochs=2, seed=seed)
        train_classifier(crops, folder / name, training=training)
        (folder / f"{name}.yaml").write_text(
            f"name: {name}\nmodel: {{path: {name}/model.pt}}\n"
            f"data: {{labelled: crops, images: crops/day, calibration_split: "
            f"calibration}}\n{COMMON}"
        )
    return ["scenes", *names]


def _release(folder: Path, names: Sequence[str]) -> tuple[list[Any], list[str], float]:
    """Release all at once; returns what each said, what went wrong, and seconds."""
    ours = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PREFECT_", "MLFLOW_", "FOVEAL_"))
    }
    started = time.perf_counter()
    running = [
        subprocess.Popen(  # noqa: S603 - our own command
            [
                Path(sys.executable).with_name("foveal"),
                "release",
                folder / f"{name}.yaml",
                "--json",
            ],
            env=ours | {"FOVEAL_HOME": str(folder / "home")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    ended = [(process.communicate(), process.returncode) for process in running]
    problems = [f"exit {code}: {err.strip()[-300:]}" for (_, err), code in ended if code]
    return (
        [json.loads(out) for (out, _), code in ended if not code],
        problems,
        time.perf_counter() - started,
    )


def _faults(home: Path, names: Sequence[str]) -> list[str]:
    """Find the faults in MLflow's and in Prefect's database."""
    registry = Registry(sqlite_uri(home / "mlflow" / "mlflow.db"))
    client, faults = open_store(registry.tracking_uri).client, []
    for name in names:
        versions = [(version.version, version.aliases) for version in registry.versions(name)]
        if versions != [(1, ("champion",))]:
            faults.append(f"{name}: versions {versions}")
        experiment = client.get_experiment_by_name(name).experiment_id
        if open_runs := client.search_runs([experiment], "attributes.status = 'RUNNING'"):
            faults.append(f"{name}: {len(open_runs)} open runs")
    for database in (home / "mlflow" / "mlflow.db", home / "prefect" / "prefect.db"):
        with closing(sqlite3.connect(database)) as connection:
            if (found := connection.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                faults.append(f"{database.name}: {found}")
    with closing(sqlite3.connect(home / "prefect" / "prefect.db")) as connection:
        states = connection.execute("SELECT state_type FROM flow_run").fetchall()
    if unfinished := [state for (state,) in states if state != "COMPLETED"]:
        faults.append(f"Prefect keeps flow runs as {unfinished}")
    if (home / "prefect" / "server.json").exists():
        faults.append("a Prefect server was left behind")
    return faults


def measure() -> Figure:
    """Four at once in an empty storage root; then two of the same, as new, at once."""
    with scratch() as name:
        folder = Path(name)
        names = _prepare(folder)
        said, problems, seconds = _release(folder, names)
        twin = (
            (folder / "crops-0.yaml")
            .read_text()
            .replace("name: crops-0", "name: twin")
            .replace("22", "23")
        )
        (folder / "twin.yaml").write_text(twin)
        twins, twin_problems, twin_seconds = _release(folder, ["twin", "twin"])
        problems += twin_problems + _faults(folder / "home", [*names, "twin"])
    text = (
        f"{len(said)} of {len(names)} finished and registered in {seconds:.0f} s, "
        f"{len(problems)} faults"
    )
    details = (
        *problems,
        f"one release twice at once: versions {[one['version'] for one in twins]}, "
        f"{twin_seconds:.0f} s",
        f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}",
    )
    ok = len(said) == len(names) and [one["version"] for one in twins] == [1, 1] and not problems
    return Figure(
        "together", text, "4 of 4, 0 faults, the same one twice is one version", ok, details
    )


if __name__ == "__main__":
    conclude(measure)
