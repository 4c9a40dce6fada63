"""A task and a head of a test go through the whole chain: a file, and a line a table."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper

from components.datasets.dataset import load_dataset
from components.datasets.labels import LabelTask
from components.labelling.book import LabelStore
from components.labelling.dataset import write_labelled
from components.vision import TASKS
from flows.runtime.settings import Settings
from tests.conftest import LIMIT_S, clean_environment, complaints, prefect_server

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SIDE, CELL, SQUARE = 64, 16, 8  # px: of an image, of a place for a square, of a square
DAY, NIGHT = (0, 4), (9, 15)  # squares an image
IMAGES = 60
SPLITS = {
    "calibration": (16, DAY),
    "val": (IMAGES, DAY),
    "golden": (300, DAY),  # what shows that two models that never differ do not
    "day": (IMAGES, DAY),
    "night": (IMAGES, NIGHT),
}


def draw(path: Path, squares: int, rng: np.random.Generator) -> list[tuple[float, ...]]:
    """Draw white squares over dark noise; return each's left, top, right and bottom as shares."""
    image = rng.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
    boxes = []
    for place in rng.choice((SIDE // CELL) ** 2, squares, replace=False):
        y, x = (
            int(cell) * CELL + int(rng.integers(CELL - SQUARE))
            for cell in divmod(int(place), SIDE // CELL)
        )
        image[y : y + SQUARE, x : x + SQUARE] = 255
        boxes.append((x / SIDE, y / SIDE, (x + SQUARE) / SIDE, (y + SQUARE) / SIDE))
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return boxes


def yolo_rows(boxes: Sequence[tuple[float, ...]]) -> str:
    return "".join(
        f"0 {(a + c) / 2:.6f} {(b + d) / 2:.6f} {c - a:.6f} {d - b:.6f}\n" for a, b, c, d in boxes
    )


def write_dataset(folder: Path) -> dict[str, list[tuple[float, ...]]]:
    """Write labelled splits, and images by day and by night; returns the boxes by file name."""
    rng, boxes = np.random.default_rng(0), {}
    for split, (count, (low, high)) in SPLITS.items():
        for number in range(count):
            path = folder / "images" / split / f"{split}-{number:03d}.png"
            boxes[path.name] = draw(path, int(rng.integers(low, high, endpoint=True)), rng)
            label = folder / "labels" / split / f"{path.stem}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(yolo_rows(boxes[path.name]))
    splits = "".join(f"{split}: images/{split}\n" for split in SPLITS)
    (folder / "data.yaml").write_text(
        f"path: .\ntrain: images/calibration\n{splits}names: [square]\n"
    )
    return boxes


def write_model(path: Path, *, bright: float) -> None:
    """Write a network that counts squares by bright pixels: (n, 3, 64, 64) RGB → log(1 + count)."""
    weights = {
        "grey": np.full((1, 3, 1, 1), 1 / 3, np.float32),
        "bright": np.array([bright], np.float32),
        "share": np.array([SIDE * SIDE / SQUARE**2 / (1 - bright)], np.float32),
        "one": np.array([1], np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["pixels", "grey"], ["greys"]),
        helper.make_node("Sub", ["greys", "bright"], ["above"]),
        helper.make_node("Relu", ["above"], ["lights"]),
        helper.make_node("GlobalAveragePool", ["lights"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Mul", ["flat", "share"], ["count"]),
        helper.make_node("Add", ["count", "one"], ["more"]),
        helper.make_node("Log", ["more"], ["log_count"]),
    ]
    graph = helper.make_graph(
        nodes,
        "counter",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("log_count", TensorProto.FLOAT, ["n", 1])],
        [onnx.numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path
    )


@dataclass(frozen=True)
class Toy:
    """A released counter.

    Arguments:
        folder: of its data, models and storage root.
        boxes: of all images, by file name.
        said: by `foveal release --json`.
    """

    folder: Path
    boxes: dict[str, list[tuple[float, ...]]]
    said: dict[str, Any]

    def foveal(self, *arguments: str | Path) -> dict[str, Any]:
        return foveal(self.folder, *arguments)

    def counts(self, predictions: str | Path) -> dict[str, float]:
        """Stored counts by file name."""
        rows = pd.read_parquet(predictions)
        assert (rows.status == "ok").all()
        return dict(zip(rows.image_id, rows.prediction_value, strict=True))

    def true(self, split: str) -> dict[str, float]:
        return {
            name: float(len(boxes))
            for name, boxes in self.boxes.items()
            if name.startswith(f"{split}-")
        }


def started(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command with the toy's two lines in the tables."""
    return subprocess.run(
        [sys.executable, "-m", "tests.toy", *map(str, arguments)],
        env=clean_environment(folder / "home") | {"PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )


def foveal(folder: Path, *arguments: str | Path, codes: Sequence[int] = (0,)) -> dict[str, Any]:
    """The same; returns its JSON."""
    done = started(folder, *arguments, "--json")
    assert done.returncode in codes, done.stderr
    return dict(json.loads(done.stdout))


def write_config(folder: Path, model: str) -> Path:
    config = folder / f"{model}.yaml"
    config.write_text(
        f"name: squares\nmodel: {{path: {model}.onnx, task: count, class_names: [square], "
        f"image_size: {SIDE}}}\n"
        "data: {labelled: data/data.yaml, images: data/images/day, calibration_split: calibration, "
        "golden_split: golden, golden_images: 3}\n"
        "target: target.toml\nbenchmark: {rounds: 6, calls: 20}\n"
    )
    return config


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    boxes = write_dataset(folder / "data")
    (folder / "target.toml").write_text(
        'description = "one backend"\nbackends = ["onnxruntime"]\ndevice = "cpu"\nthreads = 1\n'
        'precisions = ["fp32", "fp16"]\n'
    )
    write_model(folder / "first.onnx", bright=0.5)
    said = foveal(folder, "release", write_config(folder, "first"))
    with prefect_server(folder / "home"):
        yield Toy(folder, boxes, said)


def test_release_measures_its_own_metric_and_registers_the_first_version_as_champion(toy):
    rows = {row["variant"]: row for row in toy.said["variants"]}
    assert toy.said["metric"] == "exact"
    assert rows["fp32 · onnxruntime"]["accuracy"] == 1.0
    assert [row["error"] for row in rows.values()] == ["", ""]
    assert (toy.said["version"], toy.said["aliases"]) == (1, ["champion"])


def test_every_image_of_a_batch_has_one_row_with_its_count(toy):
    assert toy.counts(toy.said["window"]["predictions"]) == toy.true("day")


def test_bundle_verifies_and_its_own_runner_decodes_as_the_head_does(toy, tmp_path):
    bundle = Path(toy.said["bundle"])
    toy.foveal("bundle", "verify", bundle)
    with zipfile.ZipFile(bundle) as packed:
        packed.extractall(tmp_path)
    run = next(tmp_path.rglob("run.py"))
    done = subprocess.run(
        [sys.executable, run, "--verify"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {line.split(":")[0] for line in done.stdout.splitlines()} == {"pass"}


def test_predicted_counts_are_shown_by_predict_and_by_the_bundle(toy, tmp_path):
    night = toy.folder / "data" / "images" / "night"
    counts = toy.true("night")
    done = started(toy.folder, "predict", "squares", night, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    lowest, highest = min(counts.values()), max(counts.values())
    line = f"{sum(counts.values()):g} × square, {lowest:g} to {highest:g} an image"
    assert line in done.stdout.splitlines()

    image = night / next(iter(counts))
    wanted = {"class_id": 0, "class_name": "square", "confidence": pytest.approx(1, abs=0.01)}
    done = started(toy.folder, "bundle", "run", toy.said["bundle"], image, "--json")
    (row,) = json.loads(done.stdout)
    (item,) = row["items"]
    assert (row["image"], item) == (str(image), wanted | {"value": counts[image.name]})
    with zipfile.ZipFile(toy.said["bundle"]) as packed:
        packed.extractall(tmp_path)
    run = next(tmp_path.rglob("run.py"))
    done = subprocess.run([sys.executable, run, image], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1].endswith(f" value {counts[image.name]:g}")


def test_a_drift_of_what_cannot_be_retrained_asks_for_labels_and_says_so(toy, monkeypatch):
    toy.foveal("monitor", "squares", "--images", toy.folder / "data" / "images" / "night")
    asked = toy.folder / "asked.yaml"
    asked.write_text("name: squares\ndata: {queue_size: 7}\n")
    retrain = ("retrain", "squares", "--config", asked)
    said = toy.foveal(*retrain, "--trigger", "drift", "--event", "night-1")

    (champion,) = (one for one in (1, 2) if f"squares/{one} " in said["reason"])
    reason = (
        f"squares/{champion} was released from {('first', 'second')[champion - 1]}.onnx; "
        "training takes detect and classify, not count; 7 images wait in the labelling queue: "
        "train elsewhere and release the result"
    )
    assert said["reason"] == reason
    assert (said["state"], said["champion"], said["queued"]) == ("not_trainable", champion, 7)
    assert (said["challenger"], said["missing"], said["dataset"]) == (None, 0, None)
    monkeypatch.setenv("FOVEAL_HOME", str(toy.folder / "home"))
    waiting = LabelStore(Settings.from_environment().store, "squares").waiting()
    names = {Path(image.uri).name for image in waiting}
    assert len(names) == 7 and names <= toy.true("night").keys()
    with closing(sqlite3.connect(toy.folder / "home" / "prefect" / "prefect.db")) as database:
        runs = database.execute("select name, state_type, state_name from flow_run").fetchall()
    assert ("squares: not trainable", "COMPLETED", "not trainable") in runs

    again = toy.foveal(*retrain, "--trigger", "drift", "--event", "night-1")
    assert (again["repeated"], again["queued"]) == (True, 7)


def test_a_retraining_by_hand_of_what_cannot_be_retrained_is_an_error(toy):
    toy.foveal("monitor", "squares", "--images", toy.folder / "data" / "images" / "night")
    done = started(toy.folder, "retrain", "squares")
    assert done.returncode != 0
    (line,) = complaints(done.stderr)
    assert "expected a champion that was released from a checkpoint" in line
    assert "training takes detect and classify, not count" in line
    assert "images of the queue, train elsewhere" in line


def test_day_is_ok_and_night_with_more_squares_is_drift_of_the_count(toy):
    assert toy.said["window"]["state"] == "ok"
    labels = ("--labels", toy.folder / "data" / "data.yaml", "--labels-split", "night")
    seen = toy.foveal(
        "monitor", "squares", "--images", toy.folder / "data" / "images" / "night", *labels
    )
    assert toy.counts(seen["window"]["predictions"]) == toy.true("night")
    assert seen["window"]["state"] == "drift"
    assert "prediction_value" in " ".join(seen["window"]["reasons"])
    checks = {check["name"]: check for check in seen["checks"]}
    assert checks["accuracy_drop"]["verdict"] == "pass"
    assert Path(seen["window"]["report"]).is_file()


def test_labels_are_exported_imported_kept_and_read_as_counts(toy, tmp_path, monkeypatch):
    toy.foveal("monitor", "squares", "--images", toy.folder / "data" / "images" / "night")
    toy.foveal(
        "labels",
        "export",
        "squares",
        "--output",
        tmp_path / "out",
        "--format",
        "yolo",
        "--size",
        "5",
    )
    images = {path: path.name.partition("-")[2] for path in (tmp_path / "out" / "images").iterdir()}
    assert len(images) == 5
    assert list((tmp_path / "out" / "labels").iterdir()) == []  # a count is no box to correct
    for path, name in images.items():
        (tmp_path / "out" / "labels" / f"{path.stem}.txt").write_text(yolo_rows(toy.boxes[name]))
    done = toy.foveal("labels", "import", "squares", tmp_path / "out", "--confirmed")
    assert (done["added"], done["refused"]) == (5, [])

    monkeypatch.setitem(TASKS, "count", "tests.toy.plugins:CountThings")
    monkeypatch.setenv("FOVEAL_HOME", str(toy.folder / "home"))
    store = LabelStore(Settings.from_environment().store, "squares")
    kept = write_labelled(store, tmp_path / "kept", LabelTask("count", ("square",)))
    truths = [image.truth for image in load_dataset(kept.data, kept.split, task="count").images]
    assert sorted(truth.value for truth in truths) == sorted(
        toy.true("night")[name] for name in images.values()
    )


def test_challenger_goes_through_the_gates(toy):
    write_model(toy.folder / "second.onnx", bright=0.6)
    said = toy.foveal("release", write_config(toy.folder, "second"))
    assert said["version"] == 2
    command = (
        "gates",
        "squares",
        "2",
        "--data",
        toy.folder / "data" / "data.yaml",
        "--against",
        "1",
    )
    report = foveal(toy.folder, *command, codes=(0, 1))  # 1: p95 is undecided on a busy machine
    gates = {gate["name"]: gate for gate in report["gates"]}
    assert (gates["golden"]["champion"], gates["golden"]["challenger"]) == (1.0, 1.0)
    assert gates["golden"]["verdict"] == "pass"
    assert {name for name, gate in gates.items() if gate["verdict"] == "fail"} <= {"p95_ms"}
