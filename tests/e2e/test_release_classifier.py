"""A classifier through the same chain: trained on an image folder, released, loaded and watched."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd
import pytest


def test_the_measured_accuracy_of_the_baseline_is_that_of_the_trained_network(
    trained_classifier, released_classifier
):
    top1 = trained_classifier.metrics["top1"]
    rows = {row["variant"]: row for row in released_classifier.said["variants"]}
    assert top1 > 0.5
    assert rows["fp32 · onnxruntime"]["accuracy"] == pytest.approx(top1, abs=0.01)
    assert all(row["accuracy"] > top1 - 0.1 for row in rows.values() if not row["error"])


def test_every_image_has_one_row_with_its_class(trained_classifier, released_classifier):
    images = pd.read_parquet(released_classifier.said["window"]["predictions"])
    assert len(images) == len(list((released_classifier.data / "day").rglob("*.jpg")))
    assert (images.status == "ok").all()
    right = (
        images.image_id.str.split("/").str[0].astype(int) == images.prediction_class.astype(int)
    ).mean()
    assert right == pytest.approx(trained_classifier.metrics["top1"], abs=0.15)


def test_day_is_ok_and_night_is_drift(released_classifier):
    assert released_classifier.said["window"]["state"] == "ok"
    done = released_classifier.foveal(
        "monitor", "crops", "--images", released_classifier.data / "night", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["window"]["state"] == "drift"


def test_the_bundle_verifies_and_the_champion_predicts_in_a_fresh_process(released_classifier):
    root = released_classifier.root
    verified = released_classifier.foveal("bundle", "verify", released_classifier.said["bundle"])
    assert verified.returncode == 0, verified.stderr
    image = next((released_classifier.data / "day" / "7").iterdir())
    script = (
        "import sys, mlflow\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "found = mlflow.pyfunc.load_model('models:/crops@champion').predict([sys.argv[2]])\n"
        "print(found.to_json(orient='records'))\n"
    )
    uri = f"sqlite:///{root / 'mlflow' / 'mlflow.db'}"
    done = subprocess.run(
        [sys.executable, "-c", script, uri, str(image)],
        capture_output=True,
        text=True,
        check=False,
        cwd=root.parent,
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout.strip().splitlines()[-1])
    assert row["error"] is None
    assert row["predictions"][0]["class_name"] in set("0123456789")
