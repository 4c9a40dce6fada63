"""Registered versions as MLflow models: what goes in, what comes out, and no need of Foveal."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest

from components import telemetry
from components.files import sha256_tree
from flows.runtime.processes import answers, end_family
from model_registry import Release
from model_registry.artifacts.pyfunc import save_pyfunc

pytestmark = pytest.mark.slow

DOG = {
    "class_id": 1,
    "class_name": "dog",
    "confidence": 0.9,
    "x1": 32.0,
    "y1": 16.0,
    "x2": 96.0,
    "y2": 80.0,
}

FRESH = """
import json, sys
import mlflow
import pandas as pd

uri, photo, encoded = sys.argv[1:]
mlflow.set_tracking_uri(uri)
model = mlflow.pyfunc.load_model("models:/served@champion")
inputs = [photo], pd.DataFrame({"image": [photo, "nowhere.jpg"]}), [encoded]
tables = [model.predict(given) for given in inputs]
print(json.dumps([json.loads(table.to_json(orient="records")) for table in tables]))
ours = "components", "model_registry"
print(json.dumps(sorted(name for name in sys.modules if name.partition(".")[0] in ours)))
"""


def saved(release, folder):
    """The MLflow model of a release, without a store."""
    import mlflow.pyfunc

    path = save_pyfunc(
        release, folder / "model", SimpleNamespace(artifact_location=None, model_id="m-0"), "run"
    )
    return mlflow.pyfunc.load_model(str(path)), path


@pytest.fixture(scope="module")
def detector(report, bundle, tmp_path_factory):
    return saved(Release("tiny", report, bundle), tmp_path_factory.mktemp("detector"))


@pytest.fixture(scope="module")
def model(detector):
    return detector[0]


@pytest.fixture(scope="module")
def encoded(photo):
    return base64.b64encode(photo.read_bytes()).decode()


def dogs(table):
    """The predictions of a table of one dog an image, rounded."""
    for found in table["predictions"]:
        assert [{key: _rounded(value) for key, value in item.items()} for item in found] == [DOG]
    return len(table)


def _rounded(value):
    return round(value, 3) if isinstance(value, float) else value


def test_a_fresh_process_loads_the_champion_by_name_without_foveal(
    registry, make_release, bundle, photo, encoded, tmp_path, store_root
):
    version = registry.log_release(make_release("served"))
    registry.promote("served", version.version)
    stored = next((store_root / "artifacts" / "served" / "models").rglob("run.py")).parent
    command = [sys.executable, "-c", FRESH, registry.tracking_uri, str(photo), encoded]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower()
    tables, foveal = (json.loads(line) for line in done.stdout.splitlines())
    (by_path,), (in_column, missing), (by_content,) = tables
    assert by_path["image"] == in_column["image"] == str(photo)
    assert by_path["predictions"] == in_column["predictions"] == by_content["predictions"]
    assert [
        {key: _rounded(value) for key, value in item.items()} for item in by_path["predictions"]
    ] == [DOG]
    assert (missing["predictions"], missing["error"]) == (
        [], "FileNotFoundError: neither an image file nor base64: 'nowhere.jpg'",
    )  # fmt: skip
    assert foveal == []
    assert list(tmp_path.iterdir()) == []
    assert sha256_tree(stored) == sha256_tree(bundle.folder)
    registry.verify(version)  # loading leaves nothing beside the code of the model


def test_every_way_to_give_an_image_gives_the_same(model, photo, encoded):
    array = cv2.imread(str(photo))
    batch = np.stack([array, array])
    for given in (
        [str(photo)],
        np.array([str(photo)]),
        pd.Series([str(photo)]),
        pd.DataFrame({"image": [str(photo)]}),
        pd.DataFrame({"anything": [encoded]}),
        [f"data:image/png;base64,{encoded}"],
        [photo.read_bytes()],
        pd.Series([array]),
        str(photo),
        photo,
        photo.read_bytes(),
        encoded,
        array,
        array.astype(np.int64),
        array.tolist(),
        {"image": str(photo)},
        [{"image": encoded}],
        pd.DataFrame({"id": [7], "image": [encoded]}),
        np.array([[encoded]]),
    ):
        assert dogs(model.predict(given)) == 1
    for given in (
        batch,
        batch.tolist(),
        list(batch),
        pd.Series(list(batch)),
        [photo, array],
        [array, array[:50]],
    ):
        assert dogs_or_cut(model.predict(given)) == 2


def dogs_or_cut(table):
    """How many images have a dog, wherever: one that is cut has it elsewhere."""
    assert table["error"].isna().all()
    return sum(
        len(found) == 1 and found[0]["class_name"] == "dog" for found in table["predictions"]
    )


def test_params_take_the_place_of_the_thresholds_for_one_call(model, encoded):
    assert dogs(model.predict([encoded], params={"confidence": 0.89})) == 1
    assert list(model.predict([encoded], params={"confidence": 0.91})["predictions"]) == [[]]
    assert dogs(model.predict([encoded])) == 1, "the next call has those of the release again"
    with pytest.raises(ValueError, match="confidence between 0 and 1, found 7"):
        model.predict([encoded], params={"confidence": 7})


def test_what_is_missing_is_called_by_its_name(model, tmp_path):
    table = model.predict(["night/shot.jpg", tmp_path / "gone.png", "x" * 3000])
    assert list(table["image"]) == ["night/shot.jpg", str(tmp_path / "gone.png"), "row 2"]
    assert "no image file at" in table["error"][1] and "'night/shot.jpg'" in table["error"][0]


def test_a_table_of_several_columns_names_the_one_with_images(model):
    with pytest.raises(ValueError, match="one column, or one that is called image, found a, b"):
        model.predict(pd.DataFrame({"a": ["x"], "b": ["y"]}))


SERVED = {
    "base64": lambda photo, encoded: {"inputs": [encoded]},
    "a column": lambda photo, encoded: {
        "dataframe_split": {"columns": ["image"], "data": [[encoded]]}
    },
    "records": lambda photo, encoded: {"dataframe_records": [{"image": encoded}]},
    "instances": lambda photo, encoded: {"instances": [{"image": encoded}]},
    "an array": lambda photo, encoded: {"inputs": cv2.imread(str(photo)).tolist()},
    "a batch": lambda photo, encoded: {"inputs": [cv2.imread(str(photo)).tolist()]},
}


def asked(port, body):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return json.loads(answer.read())["predictions"]


def test_mlflow_models_serve_takes_every_kind_of_json_and_opens_no_path(
    detector, photo, encoded, free_port, tmp_path
):
    serve = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        str(detector[1]),
        "--env-manager",
        "local",
    ]
    # as in an activated environment
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **telemetry.SWITCHES, "PATH": path}
    environment.pop("FOVEAL_SERVE_PATHS", None)
    with (tmp_path / "log").open("wb") as log:
        command = [*serve, "--host", "127.0.0.1", "--port", str(free_port)]
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=tmp_path)
    try:
        while not answers(f"http://127.0.0.1:{free_port}/ping"):
            assert server.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.2)
        for name, body in SERVED.items():
            (row,) = asked(free_port, body(photo, encoded))
            assert (row["error"], row["predictions"][0]["class_name"]) == (None, "dog"), name
        (row,) = asked(free_port, {"inputs": [encoded], "params": {"confidence": 0.95}})
        assert (row["predictions"], row["error"]) == ([], None)
        (row,) = asked(free_port, {"inputs": [str(photo)]})
        assert row["image"] == str(photo) and row["error"].startswith("PermissionError: ")
        assert "FOVEAL_SERVE_PATHS" in row["error"] and row["predictions"] == []
    finally:
        end_family(server.pid, grace_s=15)
        server.wait()


def test_paths_are_a_matter_of_the_environment(model, photo, monkeypatch):
    monkeypatch.setenv("FOVEAL_SERVE_PATHS", "0")
    assert model.predict([str(photo)])["error"][0].startswith("PermissionError: ")
    monkeypatch.setitem(sys.modules, "mlflow.pyfunc.scoring_server.app", SimpleNamespace())
    monkeypatch.setenv("FOVEAL_SERVE_PATHS", "1")
    assert dogs(model.predict([str(photo)])) == 1


def test_the_table_has_one_row_an_image_in_order_over_many_batches(model, photo, encoded):
    given = [str(photo), encoded] * 10
    table = model.predict(given)
    assert list(table.columns) == ["image", "predictions", "error"]
    assert list(table["image"]) == [str(photo) if k % 2 == 0 else f"row {k}" for k in range(20)]
    assert table["error"].isna().all()
    assert dogs(table) == 20


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("nowhere.jpg", "neither an image file nor base64"),
        ("", "Error"),
        ("aGVsbG8=", "Error"),
        ("x" * 10_000 + "!", "neither an image file nor base64"),
        (b"\x89PNG\r\n\x1a\n", "Error"),
        ("a" * 3000, "Error"),
        (None, "expected a path"),
        (np.zeros((4, 4), np.uint8), "uint8 BGR array"),
        (np.zeros((4, 4, 3), np.float32), "uint8 BGR array"),
    ],
)
def test_a_bad_image_has_an_error_and_costs_no_other(model, photo, bad, why):
    table = model.unwrap_python_model().predict(None, [str(photo), bad, str(photo)])
    first, error, last = table["error"]
    assert first is last is None
    assert why in error
    assert table["predictions"][1] == []
    assert len(table["predictions"][0]) == len(table["predictions"][2]) == 1


def test_a_served_model_answers_in_strict_json(model, encoded):
    from mlflow.pyfunc.scoring_server import invocations

    body = json.dumps(
        {"dataframe_split": {"columns": ["image"], "data": [[encoded], ["nowhere.jpg"]]}}
    )
    answer = invocations(body, "application/json", model, model.metadata.get_input_schema())
    assert answer.status == 200
    good, bad = json.loads(answer.response, parse_constant=pytest.fail)["predictions"]
    assert good["error"] is None
    assert good["predictions"][0]["class_name"] == "dog"
    assert "nowhere.jpg" in bad["error"]


def test_no_image_at_all_is_an_empty_table(model):
    table = model.predict(pd.DataFrame({"image": pd.Series([], dtype=object)}))
    assert list(table.columns) == ["image", "predictions", "error"]
    assert len(table) == 0


def test_threads_may_share_a_model(model, photo):
    with ThreadPoolExecutor(4) as pool:
        tables = list(pool.map(lambda _: model.predict([str(photo)] * 3), range(8)))
    assert sum(dogs(table) for table in tables) == 24


def test_a_classifier_gives_its_best_classes_without_boxes(classifier, photo, tmp_path):
    model, _ = saved(classifier, tmp_path)
    (best, second, third) = model.predict([str(photo)])["predictions"][0]
    assert set(best) == {"class_id", "class_name", "confidence"}
    assert [item["class_name"] for item in (best, second, third)] == ["owl", "dog", "cat"]
    assert best["confidence"] == pytest.approx(1 / (1 + np.exp(-4) + np.exp(-5)), abs=1e-6)


def test_what_comes_out_is_what_the_signature_says(model, photo):
    from mlflow.models import infer_signature
    from mlflow.types.schema import Array, DataType

    declared = {column.name: column.type for column in model.metadata.signature.outputs}
    table = model.predict([str(photo), "nowhere.jpg"])
    inferred = {column.name: column.type for column in infer_signature(table, table).inputs}
    assert declared["image"] == inferred["image"] == DataType.string
    assert declared["error"] == inferred["error"] == DataType.string
    assert isinstance(declared["predictions"], Array)
    fields = {field.name: field.dtype for field in declared["predictions"].dtype.properties}
    assert fields == {field.name: field.dtype for field in inferred["predictions"].dtype.properties}


def test_the_models_own_example_can_be_predicted(model):
    table = model.predict(model.input_example)
    assert table["error"].isna().all()


def test_nothing_is_pickled_and_requirements_are_pinned_without_foveal(detector):
    _, path = detector
    assert [file.name for file in path.rglob("*.pkl")] == []
    requirements = (path / "requirements.txt").read_text().split()
    runtime = [line for line in requirements if line.startswith("onnxruntime")]
    assert len(runtime) == 1 and not runtime[0].startswith("onnxruntime-gpu"), (
        "the bundle is for a processor"
    )
    assert all("==" in line for line in requirements if line not in runtime)
    assert {line.partition("==")[0] for line in requirements} >= {
        "mlflow",
        "numpy",
        "pandas",
        "pillow",
    }
    assert not any(line.startswith("foveal") for line in requirements)


def test_a_model_measured_on_openvino_asks_for_openvino(report, bundle, tmp_path):
    from dataclasses import replace

    chosen = replace(report.of(report.chosen), backend="openvino")
    release = Release(
        "tiny", replace(report, measurements=(report.measurements[0], chosen)), bundle
    )
    _, path = saved(release, tmp_path)
    assert "openvino==" in (path / "requirements.txt").read_text()
