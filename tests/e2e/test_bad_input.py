"""Bad input: one clear line, a non-zero exit, no traceback, nothing half-written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import complaints

MODEL = Path(__file__).parents[2] / "flows" / "assets" / "digits.pt"
TRUSTED = f"model: {{path: {MODEL}, trust_pickle: true}}"


def assert_one_clear_line(done, *words):
    assert done.returncode not in (0, 70), done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert len(complaints(done.stderr)) == 1, done.stderr
    for word in words:
        assert word in done.stderr


def nothing_registered(root: Path) -> bool:
    return not (root / "mlflow").exists() and not (root / "releases").exists()


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        (
            "name: x\nmodle: {path: a.pt}\ndata: {labelled: d}",
            ["modle", "did you mean model"],  # codespell:ignore
        ),
        (
            "name: x\nmodel: {path: a.pt}\ndata: {labeled: d}",
            ["data.labeled", "did you mean labelled"],
        ),
        ("name: x\nmodel: {path: a.pt}", ["data is missing"]),
        ("name: [x", ["valid YAML"]),
        ("- a\n- b", ["name, model, data"]),
        ("name: 'a b'\nmodel: {path: a.pt}\ndata: {labelled: d}", ["letters, digits"]),
        ("name: x\nmodel: {path: nowhere.onnx}\ndata: {labelled: DATA}", ["nowhere.onnx"]),
        (f"name: x\n{TRUSTED}\ndata: {{labelled: DATA}}\ntarget: mobil", ["mobil", "mobile"]),
        (
            f"name: x\n{TRUSTED}\ndata: {{labelled: DATA, validation_split: test}}",
            ["test", "golden"],
        ),
        (f"name: x\n{TRUSTED}\ndata: {{labelled: nowhere.yaml}}", ["nowhere.yaml"]),
        (f"name: x\n{TRUSTED}\ndata: {{labelled: DATA, images: nowhere/}}", ["nowhere"]),
    ],
)
def test_a_wrong_configuration_is_one_clear_line(command, scenes, tmp_path, yaml, words):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.replace("DATA", str(scenes)))
    assert_one_clear_line(command("release", config), *words)
    assert nothing_registered(tmp_path / "home")


def test_a_missing_configuration_is_one_clear_line(command):
    assert_one_clear_line(command("release", "nowhere.yaml"), "nowhere.yaml")


def test_a_dataset_without_labels_is_one_clear_line(command, scenes, tmp_path):
    folder = tmp_path / "bare"
    (folder / "images" / "val").mkdir(parents=True)
    for path in sorted((scenes.parent / "images" / "golden").iterdir()):
        (folder / "images" / "val" / path.name).write_bytes(path.read_bytes())
    (folder / "data.yaml").write_text("names: [a]\nval: images/val\ntrain: images/val\n")
    config = tmp_path / "config.yaml"
    config.write_text(f"name: x\n{TRUSTED}\ndata: {{labelled: {folder}/data.yaml}}\n")
    assert_one_clear_line(command("release", config), "label")
    assert nothing_registered(tmp_path / "home")


@pytest.mark.parametrize(
    ("suffix", "content"), [(".onnx", b"not a model at all"), (".pt", b"PK\x03\x04 torn zip")]
)
def test_a_corrupt_model_fails_in_the_flow_with_one_clear_line(
    released, scenes, tmp_path, suffix, content
):
    model = tmp_path / f"model{suffix}"
    model.write_bytes(content)
    config = tmp_path / "config.yaml"
    config.write_text(
        f"name: broken\nmodel: {{path: {model}, trust_pickle: true, task: detect}}\ndata: "
        f"{{labelled: {scenes}, "
        "calibration_split: calibration}\n"
    )
    assert_one_clear_line(released.foveal("release", config), model.name)
    assert not (released.root / "releases" / "broken").exists()


def test_a_pickle_that_nobody_trusts_is_not_opened(released, scenes, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        f"name: x\nmodel: {{path: {MODEL}}}\ndata: {{labelled: {scenes}, calibration_split: "
        f"calibration}}\n"
    )
    assert_one_clear_line(released.foveal("release", config), "trust_pickle", "code")


@pytest.mark.parametrize(
    "arguments",
    [
        ("monitor", "nobody", "--images", "IMAGES"),
        ("predict", "nobody@champion", "IMAGES"),
        ("predict", "nowhere/bundle", "IMAGES"),
        ("bundle", "verify", "nowhere"),
        ("bundle", "run", "nowhere", "a.jpg"),
    ],
)
def test_an_unknown_model_or_bundle_is_one_clear_line(released, scenes, arguments):
    images = str(scenes.parent / "images" / "golden")
    assert_one_clear_line(released.foveal(*(part.replace("IMAGES", images) for part in arguments)))


def test_a_budget_that_no_variant_meets_says_which_limit_and_registers_nothing(released, tmp_path):
    target = tmp_path / "tiny.toml"
    target.write_text(
        'description = "smaller than any model"\nbackends = ["onnxruntime"]\ndevice = '
        '"cpu"\nthreads = 1\n'
        'precisions = ["fp32"]\n[budget]\nsize_mb = 0.1\n'
    )
    config = tmp_path / "config.yaml"
    text = released.config.read_text().replace("name: digits", "name: tiny")
    config.write_text(re.sub("^target: .*", f"target: {target}", text, flags=re.MULTILINE))
    done = released.foveal("release", config)
    assert_one_clear_line(done, "MB exceeds the limit of 0.10 MB by")
    assert not (released.root / "releases" / "tiny").exists()
