"""The runner as the device has it: a process of its own that knows nothing of Foveal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from components.contracts import Bundle
from components.package import run_bundle, run_template
from components.package.run_template import damaged_files, disagreement
from components.printing import printed
from tests.loops import endless_where_bright, hours_of_constants, run_apart

pytestmark = pytest.mark.slow

HERE = "tests.unit.package.test_package_runner"
TOLERANCE = {"confidence": 0.02, "iou": 0.9}


def run(
    folder: Path, *arguments: str | Path, without: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Start run.py in a Python that finds neither Foveal nor the packages in `without`."""
    missing = ("components", "flows", "model_registry", "onnx", "torch", *without)
    code = (
        "import runpy, sys\n"
        f"sys.modules.update(dict.fromkeys({missing!r}))\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    return subprocess.run(
        [sys.executable, "-I", "-c", code, folder / "run.py", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder.parent,
    )


def predictions(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("kind", ["detector_bundle", "classifier_bundle"])
@pytest.mark.parametrize(
    "without", [(), ("cv2",), ("PIL",)], ids=["both", "no-opencv", "no-pillow"]
)
def test_runner_verifies_its_bundle_and_agrees_with_foveal(
    request: pytest.FixtureRequest, photos: tuple[Path, ...], kind: str, without: tuple[str, ...]
) -> None:
    bundle: Bundle = request.getfixturevalue(kind)
    verified = run(bundle.folder, "--verify", without=without)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert [line.split(":")[0] for line in verified.stdout.splitlines()] == ["pass"] * 4
    expected = run_bundle(bundle.folder, photos)
    found = predictions(run(bundle.folder, "--json", *photos, without=without))
    for one, other in zip(expected, found, strict=True):
        assert one["image"] == other["image"]
        assert disagreement(one["items"], other["items"], TOLERANCE, 0.25) == ""
        assert len(one["items"]) == len(other["items"])


def test_runner_leaves_its_bundle_as_it_was(
    detector_bundle: Bundle, photos: tuple[Path, ...]
) -> None:
    run(detector_bundle.folder, photos[0])
    assert run(detector_bundle.folder, "--verify").returncode == 0


def test_runner_turns_photographs_upright(
    classifier_bundle: Bundle, detector_bundle: Bundle, tmp_path: Path
) -> None:
    picture = np.zeros((120, 160, 3), np.uint8)
    picture[:, :80] = (0, 0, 230)
    upright, turned = tmp_path / "upright.png", tmp_path / "turned.png"
    cv2.imwrite(str(upright), picture)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to see it as it was taken
    Image.fromarray(np.rot90(picture)[..., ::-1].copy()).save(turned, exif=exif)
    one, other = predictions(run(detector_bundle.folder, "--json", upright, turned))
    assert one["items"]
    assert one["items"] == other["items"]


def test_damaged_image_is_reported_and_the_others_are_predicted(
    detector_bundle: Bundle, photos: tuple[Path, ...], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(photos[0].read_bytes()[:200])
    done = run(detector_bundle.folder, "--json", broken, tmp_path / "none.png", photos[0])
    assert done.returncode == 1
    damaged, missing, fine = (json.loads(line) for line in done.stdout.splitlines())
    assert "error" in damaged
    assert "FileNotFoundError" in missing["error"]
    assert fine["items"]


def test_text_output_is_for_people(detector_bundle: Bundle, photos: tuple[Path, ...]) -> None:
    done = run(detector_bundle.folder, photos[0], photos[1])
    first, detection, *_ = done.stdout.splitlines()
    assert first == str(photos[0])
    assert detection.split()[0] in {"red", "blue"}
    assert len(detection.split()) == 6
    assert f"{photos[1]}: nothing found" in done.stdout.splitlines()
    assert "run by onnxruntime" in done.stderr


def test_threshold_can_be_raised(detector_bundle: Bundle, photos: tuple[Path, ...]) -> None:
    (result,) = predictions(
        run(detector_bundle.folder, "--json", "--confidence", "0.999", photos[0])
    )
    assert result["items"] == []


def test_damage_is_named_and_nothing_is_run(detector_bundle: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(detector_bundle.folder, tmp_path / "copy"))
    (copy / "model.onnx").write_bytes(b"not a model")
    done = run(copy, "--verify")
    assert done.returncode == 1
    assert done.stdout == "FAIL: model.onnx: its content has changed\n"


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("manifest.json", '"blue"', '"pink"'),
        ("config.json", '"confidence": 0.25', '"confidence": 0.01'),
    ],
)
def test_bundle_that_was_changed_does_not_predict(
    detector_bundle: Bundle, photos: tuple[Path, ...], tmp_path: Path, file: str, old: str, new: str
) -> None:
    copy = Path(shutil.copytree(detector_bundle.folder, tmp_path / "copy"))
    text = (copy / file).read_text()
    assert old in text
    (copy / file).write_text(text.replace(old, new))
    done = run(copy, photos[0])
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == f"FAIL: the bundle is damaged: {file}: its content has changed; fetch it again\n"
    )


def test_results_beside_the_runner_are_no_damage_until_the_bundle_is_verified(
    detector_bundle: Bundle, photos: tuple[Path, ...], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(detector_bundle.folder, tmp_path / "copy"))
    (copy / "results.json").write_text("[]")
    assert run(copy, photos[0]).returncode == 0
    assert run(copy, "--verify").stdout == "FAIL: results.json: not a file of this bundle\n"


@pytest.mark.parametrize(
    "name", ["golden/golden.json", "golden/0001.npz", "config.json", "preprocessing.json"]
)
def test_forged_files_end_the_runner_in_one_line(
    detector_bundle: Bundle, tmp_path: Path, reseal: Any, name: str
) -> None:
    copy = Path(shutil.copytree(detector_bundle.folder, tmp_path / "copy"))
    (copy / name).write_text('{"images": 7}')
    reseal(copy)
    done = run(copy, "--verify")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("FAIL: the bundle is damaged: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["model.onnx", "config.json", "golden/golden.json"])
def test_a_file_of_the_bundle_that_is_none_is_named_and_not_waited_for(
    detector_bundle: Bundle, tmp_path: Path, name: str
) -> None:
    copy = Path(shutil.copytree(detector_bundle.folder, tmp_path / "copy"))
    (copy / name).unlink()
    os.mkfifo(copy / name)
    assert damaged_files(copy) == [f"{name}: not a regular file"]
    (copy / "SHA256SUMS").unlink()
    with (copy / "SHA256SUMS").open("wb") as file:
        file.truncate(30_000_000_000)
    assert damaged_files(copy) == [
        "SHA256SUMS: 30,000,000,000 bytes, where 64,000,000 are the most that is read"
    ]


def test_images_that_have_no_end_are_errors_of_their_own(
    detector_bundle: Bundle, photos: tuple[Path, ...], tmp_path: Path
) -> None:
    pipe, zeros, sparse = tmp_path / "pipe.jpg", tmp_path / "zeros.jpg", tmp_path / "sparse.jpg"
    os.mkfifo(pipe)
    zeros.symlink_to("/dev/zero")
    with sparse.open("wb") as file:
        file.truncate(30_000_000_000)
    done = run(detector_bundle.folder, "--json", pipe, zeros, sparse, photos[0])
    *errors, fine = map(json.loads, done.stdout.splitlines())
    assert [error["error"] for error in errors[:2]] == ["ValueError: not a regular file"] * 2
    assert "most that is read" in errors[2]["error"] and fine["items"]


def test_names_do_not_steer_the_terminal(
    detector_bundle: Bundle, photos: tuple[Path, ...], tmp_path: Path, reseal: Any
) -> None:
    copy = Path(shutil.copytree(detector_bundle.folder, tmp_path / "copy"))
    manifest = (copy / "manifest.json").read_text()
    for colour in ("red", "blue"):
        manifest = manifest.replace(f'"{colour}"', f'"{colour}\\u001b[31m\\n"')
    (copy / "manifest.json").write_text(manifest)
    reseal(copy)
    image = tmp_path / "a\x1b]0;b\u202e.png"
    shutil.copy(photos[0], image)
    done = run(copy, image)
    assert not any(character in done.stdout for character in "\x1b\u202e")
    assert (
        done.stdout.splitlines()[0].endswith("a\\x1b]0;b\\u202e.png")
        and "\\x1b[31m\\x0a 0." in done.stdout
    )
    hostile = "".join(map(chr, (*range(0x2100), 0xD800, 0xDC80, 0xDCFF, 0xFFFF)))
    assert run_template.printed(hostile) == printed(hostile)


def test_runner_without_images_says_what_it_wants(detector_bundle: Bundle) -> None:
    done = run(detector_bundle.folder)
    assert done.returncode == 2
    assert "name some images, or --verify" in done.stderr


def test_accelerated_run_names_the_provider_that_ran(
    detector_bundle: Bundle, photos: tuple[Path, ...]
) -> None:
    done = run(detector_bundle.folder, "--accelerate", photos[0])
    assert done.returncode == 0
    assert "ExecutionProvider" in done.stderr


def test_bundle_measured_on_openvino_runs_on_it_and_on_onnxruntime_where_it_is_missing(
    detector_bundle: Bundle, tmp_path: Path, reseal: Any
) -> None:
    copy = Path(shutil.copytree(detector_bundle.folder, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"backend": "openvino"}))
    reseal(copy)
    here, elsewhere = run(copy, "--verify"), run(copy, "--verify", without=("openvino",))
    assert (here.returncode, elsewhere.returncode) == (0, 0), here.stdout + elsewhere.stdout
    assert "run by openvino" in here.stderr
    assert "run by onnxruntime" in elsewhere.stderr


def write_bright_is_endless(folder: Path, *, constants: bool = False) -> None:
    """Write m.onnx, whose output is its input, but that does not end where that is not black."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
            *endless_where_bright("images", "float", "bright" if constants else "scores"),
            *(hours_of_constants("bright", "scores") if constants else ()),
        ],
        "endless where it is bright",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 8, 8, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 8, 8, 3])],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        folder / "m.onnx",
    )


def opened(folder: str, backend: str) -> run_template.Infer:
    config = {"model": "m.onnx", "backend": backend, "threads": 1, "execution_providers": []}
    run_template.LIMIT_S, run_template.OPENING_S = 0.5, 1.0
    return run_template.open_model(Path(folder), config, accelerate=False)[0]


def predict_bright_images(folder: str, backend: str) -> list[str]:
    """Predict black, bright and bright images again, and return what each call says."""
    infer, black = opened(folder, backend), np.zeros((2, 8, 8, 3), np.uint8)
    said = [str(infer(black)[0].shape)]
    for _ in range(2):
        with pytest.raises(run_template.EndlessModel) as error:
            infer(black + 200)
        said.append(str(error.value))
    return said


@pytest.mark.timeout(400)
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_model_that_does_not_end_is_given_up(tmp_path: Path, backend: str) -> None:
    write_bright_is_endless(tmp_path)
    done = run_apart(HERE, f"predict_bright_images({str(tmp_path)!r}, {backend!r})")
    assert done.stdout.splitlines() == [
        "(2, 8, 8, 3)",
        *["the model was still running after 1 s"] * 2,
    ], done.stderr
    assert done.returncode == (backend == "openvino")  # which would wait for the call


@pytest.mark.timeout(400)
def test_a_model_that_cannot_be_loaded_in_time_is_given_up(tmp_path: Path) -> None:
    write_bright_is_endless(tmp_path, constants=True)
    done = run_apart(HERE, f"[opened({str(tmp_path)!r}, 'onnxruntime')]")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        "EndlessModel: the model was still being loaded after 1 s"
    )
