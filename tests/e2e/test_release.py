"""The chain, end to end, through the command line: what a user finds after `foveal release`."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from model_registry import sqlite_uri


def test_release_says_where_everything_is_and_it_is_there(released):
    said = released.said
    assert (said["name"], said["version"]) == ("digits", 1)
    assert "champion" in said["aliases"]
    assert sum(row["chosen"] for row in said["variants"]) == 1
    for place in (said["bundle"], said["window"]["predictions"], said["window"]["report"]):
        assert Path(place).is_file()


def test_variants_cover_precisions_and_backends_with_measured_accuracy(released):
    rows = {row["variant"]: row for row in released.said["variants"]}
    assert {name.split(" · ")[1] for name in rows} == {"onnxruntime", "openvino"}
    assert any(name.startswith("int8") for name in rows)
    assert all(0 < row["accuracy"] <= 1 for row in rows.values() if not row["error"])


def test_every_image_has_a_row_and_its_detections_add_up(released):
    images = pd.read_parquet(released.said["window"]["predictions"])
    detections = pd.read_parquet(
        Path(released.said["window"]["predictions"]).with_name("detections.parquet")
    )
    assert len(images) == 80
    assert (images.status == "ok").all()
    assert images.prediction_count.sum() == len(detections)
    assert images.model.unique().tolist() == ["digits/1"]


def test_day_is_ok_and_night_is_drift(released):
    assert released.said["window"]["state"] == "ok"
    done = released.foveal(
        "monitor", "digits", "--images", released.data / "images" / "night", "--json"
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["window"]["state"] == "drift"
    assert any("brightness" in reason for reason in said["window"]["reasons"])


def test_people_see_the_release_in_prefect_while_it_runs_and_afterwards(released):
    with closing(sqlite3.connect(released.root / "prefect" / "prefect.db")) as database:
        rows = database.execute("select type, key, data from artifact order by updated").fetchall()
    found = {key: (kind, json.loads(str(data))) for kind, key, data in rows}
    assert {
        "variants",
        "latency-and-accuracy",
        "drift-decision",
        "drift-report",
        "release",
    } <= found.keys()
    assert found["latency-and-accuracy"][1].startswith(
        "![Median latency and accuracy of the variants](data:image/png"
    )
    assert "](file://" in found["drift-report"][1], "no server shows it"
    assert found["drift-decision"][1].count("data:image/jpeg;base64,") == 12
    bars = {key: value for key, (kind, value) in found.items() if kind == "progress"}
    assert bars and set(bars.values()) == {100.0}, bars


def test_unreadable_images_are_rows_and_the_run_goes_on(released, tmp_path):
    shots = tmp_path / "shots"
    shots.mkdir()
    for path in sorted((released.data / "images" / "day").iterdir())[:60]:
        (shots / path.name).write_bytes(path.read_bytes())
    (shots / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    (shots / "empty.png").write_bytes(b"")
    done = released.foveal("monitor", "digits", "--images", shots, "--json")
    assert done.returncode == 0, done.stderr
    window = json.loads(done.stdout)["window"]
    assert (window["images"], window["failed"]) == (62, 2)
    images = pd.read_parquet(window["predictions"]).set_index("image_id")
    assert set(images.index[images.status == "error"]) == {"broken.jpg", "empty.png"}
    assert images.loc["empty.png", "error"]


def test_the_same_release_again_repeats_nothing_and_registers_nothing_new(released):
    done = released.foveal("release", released.config, "--json")
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert again["version"] == 1
    assert again["variants"] == released.said["variants"]


def test_the_champion_loads_as_pyfunc_in_a_fresh_process(released):
    image = next((released.data / "images" / "day").iterdir())
    script = (
        "import sys, mlflow\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "found = mlflow.pyfunc.load_model('models:/digits@champion').predict([sys.argv[2]])\n"
        "print(found.to_json(orient='records'))\n"
    )
    uri = f"sqlite:///{released.root / 'mlflow' / 'mlflow.db'}"
    done = subprocess.run(
        [sys.executable, "-c", script, uri, str(image)],
        capture_output=True,
        text=True,
        check=False,
        cwd=released.root.parent,
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout.strip().splitlines()[-1])) == 1


def test_the_bundle_verifies_and_a_changed_byte_is_found(released, tmp_path):
    import shutil

    bundle = Path(released.said["folder"]) / "bundle"
    assert released.foveal("bundle", "verify", bundle).returncode == 0
    assert released.foveal("bundle", "verify", released.said["bundle"]).returncode == 0
    damaged = tmp_path / "bundle"
    shutil.copytree(bundle, damaged)
    model = next(damaged.rglob("*.onnx"))
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(bytes(content))
    done = released.foveal("bundle", "verify", damaged)
    assert done.returncode != 0
    assert model.name in done.stderr
    assert "Traceback" not in done.stderr


def test_predict_agrees_between_registry_and_bundle(released, tmp_path):
    images = released.data / "images" / "golden"
    tables = []
    for model, name in (
        ("digits@champion", "one"),
        (str(Path(released.said["folder"]) / "bundle"), "two"),
    ):
        done = released.foveal("predict", model, images, "--output", tmp_path / name, "--json")
        assert done.returncode == 0, done.stderr
        table = pd.read_parquet(tmp_path / name / "detections.parquet")
        tables.append(table.drop(columns=[column for column in table if column == "model"]))
    pd.testing.assert_frame_equal(*tables)


def test_mlflow_keeps_pictures_of_the_evaluation_that_show_something(released, tmp_path):
    from mlflow import MlflowClient

    client = MlflowClient(sqlite_uri(released.root / "mlflow" / "mlflow.db"))
    run = client.get_model_version_by_alias("digits", "champion").run_id
    names = {Path(found.path).name for found in client.list_artifacts(run, "evaluation")}
    assert names == {"confusion_matrix.png", "precision_recall.png", "worst_images.png"}
    folder = Path(client.download_artifacts(run, "evaluation", str(tmp_path)))
    pictures = {}
    for path in folder.iterdir():
        with Image.open(path) as picture:
            assert (picture.format, min(picture.size) > 300) == ("PNG", True)
            pictures[path.stem] = np.asarray(picture.convert("RGB"), np.int16)
    for name, pixels in pictures.items():
        assert 0.01 < (pixels < 250).any(axis=2).mean() < 0.99, f"{name} is blank"

    worst, confusions = pictures["worst_images"], pictures["confusion_matrix"]
    confusions = confusions[:, : confusions.shape[1] * 4 // 5]  # without the scale of colours
    assert share_of(confusions, (8, 48, 107), 60) > 0.01  # most objects lie on the diagonal
    assert share_of(worst, (16, 185, 129), 30) > 1e-4, "no label is drawn"
    assert share_of(worst, (239, 68, 68), 30) > 1e-4, "no prediction is drawn"


def share_of(pixels: np.ndarray, colour: tuple[int, int, int], within: int) -> float:
    """Share of (h, w, 3) RGB pixels that differ from a colour by less than that in each channel."""
    return float((np.abs(pixels - np.array(colour)) < within).all(axis=2).mean())


def test_prefect_kept_the_history_with_artifacts(released):
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(released.root / "prefect" / "prefect.db")) as database:
        tasks = {row[0].rsplit("-", 1)[0] for row in database.execute("select name from task_run")}
        artifacts = {row[0] for row in database.execute("select key from artifact")}
    assert {
        "open model",
        "optimize",
        "benchmark",
        "package",
        "register",
        "batch inference",
        "drift report",
    } <= tasks
    assert {"variants", "drift-decision", "release"} <= artifacts


def test_nothing_lands_in_the_working_directory(released):
    # the parameters, and what the command had as the user's home folder
    ours = {"digits.yaml", "user"}
    assert {path.name for path in released.root.parent.iterdir()} == {"home"} | ours


@pytest.mark.parametrize("part", ["README", "manifest.json", "SHA256SUMS"])
def test_the_bundle_is_documented_and_summed(released, part):
    assert list((Path(released.said["folder"]) / "bundle").glob(f"{part}*"))


@pytest.mark.parametrize("name", ["predict", "monitor", "nightly", "bundle run"])
def test_a_command_of_which_all_images_failed_ends_with_1_and_with_their_rows(
    released, tmp_path, name
):
    broken = _broken(tmp_path / "broken")
    arguments = {
        "predict": ("predict", "digits", broken, "--output", tmp_path / "out"),
        "monitor": ("monitor", "digits", "--images", broken, "--no-tell"),
        "nightly": ("nightly", "digits", "--images", broken),
        "bundle run": ("bundle", "run", released.said["bundle"], *sorted(broken.iterdir())),
    }
    done = released.foveal(*arguments[name], "--json")
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)


def test_a_release_of_which_all_images_failed_is_a_release_and_says_so(released, tmp_path):
    broken, config = _broken(tmp_path / "broken"), tmp_path / "digits.yaml"
    images = f"{released.data}/images/day"
    config.write_text(released.config.read_text().replace(images, str(broken)))
    done = released.foveal("release", config, "--json")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "is released, but" in line]
    assert "none of 2 images could be predicted: see " in line


def _broken(folder: Path) -> Path:
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(b"no image")
    return folder
