from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.contracts import BenchmarkReport, Bundle, Format, ModelArtifact, Precision
from components.errors import BundleError, ConfigError, ImageError
from components.files import sha256_file
from components.package import read_manifest, verify_bundle, write_bundle
from components.package.run_template import TOLERANCES

Photos = tuple[Path, ...]


def pack(report: BenchmarkReport, output: Path, photos: Photos, **changes: Any) -> Bundle:
    settings: dict[str, Any] = {"name": "colours", "golden": photos, "details": {}} | changes
    return write_bundle(report, output, **settings)


def test_model_in_the_bundle_is_byte_for_byte_the_one_that_was_measured(
    detector_bundle: Bundle, report: BenchmarkReport
) -> None:
    shipped = detector_bundle.folder / "model.onnx"
    measured = report.of("int8").artifact
    assert shipped.read_bytes() == measured.path.read_bytes()
    manifest = read_manifest(detector_bundle.folder)
    assert manifest.model.sha256 == measured.sha256 == sha256_file(shipped)
    assert manifest.benchmark.chosen.sha256 == measured.sha256
    assert manifest.artifact(detector_bundle.folder).path == shipped


def test_golden_images_are_the_originals_byte_for_byte_with_inputs_outputs_and_predictions(
    detector_bundle: Bundle, photos: Photos
) -> None:
    golden = json.loads((detector_bundle.folder / "golden" / "golden.json").read_text())
    real = [entry for entry in golden["images"] if "rule" not in entry]
    assert [entry["source"] for entry in real] == ["photo 0.png", "photo 1.png", "photo 2.png"]
    for entry, photo in zip(real, photos, strict=True):
        assert (detector_bundle.folder / entry["image"]).read_bytes() == photo.read_bytes()
        arrays = np.load(detector_bundle.folder / entry["arrays"], allow_pickle=False)
        assert arrays["input"].shape == (64, 64, 3)
        assert arrays["output_0"].shape == (1, 7, 32)
    found = [[item["class_name"] for item in entry["items"]] for entry in golden["images"]]
    assert set(found[0]) == {"red", "blue"}
    assert found[1] == []
    rules = [entry["rule"] for entry in golden["images"] if "rule" in entry]
    assert rules == ["transparency", "exif", "grey", "16-bit"]


def test_same_arguments_give_the_same_bytes(
    detector_bundle: Bundle, report: BenchmarkReport, photos: Photos, tmp_path: Path
) -> None:
    again = pack(report, tmp_path, photos, details={"datasets": {"val": "abc"}})
    assert again.sha256 == detector_bundle.sha256 == sha256_file(detector_bundle.archive)


def test_zip_holds_exactly_the_folder(detector_bundle: Bundle, tmp_path: Path) -> None:
    with zipfile.ZipFile(detector_bundle.archive) as archive:
        archive.extractall(tmp_path)
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o100644}
    names = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    assert names == sorted(
        p.relative_to(detector_bundle.folder) for p in detector_bundle.folder.rglob("*")
    )


def test_sums_can_be_checked_with_sha256sum(detector_bundle: Bundle) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=detector_bundle.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files = [path for path in detector_bundle.folder.rglob("*") if path.is_file()]
    assert done.stdout.count(": OK") == len(files) - 1


def test_configuration_says_how_to_run_it_on_the_target(detector_bundle: Bundle) -> None:
    config = json.loads((detector_bundle.folder / "config.json").read_text())
    assert (config["backend"], config["threads"], config["batch_size"]) == ("onnxruntime", 1, 2)
    assert (config["confidence"], config["iou"], config["max_detections"]) == (0.25, 0.7, 300)
    assert config["execution_providers"] == [
        "NnapiExecutionProvider",
        "CUDAExecutionProvider",
        "WebGpuExecutionProvider",
        "CPUExecutionProvider",
    ]
    preprocessing = json.loads((detector_bundle.folder / "preprocessing.json").read_text())
    assert (preprocessing["fit"], preprocessing["padding"]) == ("letterbox", 114)
    assert preprocessing["input"]["shape"] == ["batch", 64, 64, 3]


def test_readme_tells_how_to_run_it_and_what_was_measured_where(detector_bundle: Bundle) -> None:
    text = (detector_bundle.folder / "README.md").read_text()
    for expected in (
        "python run.py --verify",
        "| **int8** | 0.8000 | 10.00 [9.80, 10.30] | 12.00 | 2.00 [1.90, 2.10] |",
        "blue, green, red",
        "cpu Test CPU",
        "measured on the host, not on a device of the target mobile",
        "noise floor of the run was 1.2%",
    ):
        assert expected in text


def test_thresholds_and_other_details_are_kept(
    report: BenchmarkReport, photos: Photos, tmp_path: Path
) -> None:
    bundle = pack(
        report, tmp_path, photos, details={"confidence": 0.95, "iou": 0.4, "commit": "abc"}
    )
    manifest = read_manifest(bundle.folder)
    assert (manifest.thresholds.confidence, manifest.thresholds.iou) == (0.95, 0.4)
    assert manifest.details["commit"] == "abc"
    golden = json.loads((bundle.folder / "golden" / "golden.json").read_text())
    assert not any(entry["items"] for entry in golden["images"])


def test_tolerance_is_wider_for_integer_arithmetic() -> None:
    for name in ("outputs", "confidence"):
        limits = [
            TOLERANCES[precision.value][name]
            for precision in (Precision.FP32, Precision.FP16, Precision.INT8)
        ]
        assert limits == sorted(set(limits))


def test_new_bundle_takes_the_place_of_an_old_one(
    report: BenchmarkReport, photos: Photos, tmp_path: Path
) -> None:
    pack(report, tmp_path, photos)
    bundle = pack(report, tmp_path, photos[:1])
    assert verify_bundle(bundle.folder).images == verify_bundle(bundle.archive).images == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["colours", "colours.zip"]


def test_folder_in_the_way_that_is_no_bundle_is_left_alone(
    report: BenchmarkReport, photos: Photos, tmp_path: Path
) -> None:
    (tmp_path / "colours").mkdir()
    (tmp_path / "colours" / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="choose another place"):
        pack(report, tmp_path, photos)
    assert (tmp_path / "colours" / "thesis.txt").read_text() == "mine"


def test_file_that_changed_after_the_benchmark_is_not_packed(
    detector: ModelArtifact,
    report_of: Callable[..., BenchmarkReport],
    photos: Photos,
    tmp_path: Path,
) -> None:
    copy = tmp_path / "model.onnx"
    copy.write_bytes(detector.path.read_bytes() + b"\0")
    changed = report_of(replace(detector, path=copy))
    with pytest.raises(BundleError, match="it has changed since: run the benchmark again"):
        pack(changed, tmp_path / "out", photos)
    copy.unlink()
    with pytest.raises(BundleError, match="nothing at"):
        pack(changed, tmp_path / "out", photos)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"golden": ()}, ConfigError, "at least one golden image"),
        ({"name": "a/b"}, ConfigError, "leave out slashes"),
        ({"name": ".."}, ConfigError, "leave out slashes"),
        ({"details": {"when": Path("x")}}, ConfigError, "details of JSON values"),
        ({"details": {"confidence": 1.5}}, ConfigError, "confidence between 0 and 1"),
        ({"details": {"iou": "high"}}, ConfigError, "iou between 0 and 1"),
        ({"golden": (Path(__file__),)}, ImageError, "test_package_write"),
    ],
)
def test_bad_argument_is_refused_and_leaves_nothing(
    report: BenchmarkReport,
    photos: Photos,
    tmp_path: Path,
    changes: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        pack(report, tmp_path, photos, **changes)
    assert list(tmp_path.iterdir()) == []


def test_report_without_a_choice_is_not_packed(
    report: BenchmarkReport, photos: Photos, tmp_path: Path
) -> None:
    none = replace(report, chosen=None, reasons=("no variant meets every limit of mobile",))
    with pytest.raises(BundleError, match="found no variant meets every limit of mobile"):
        pack(none, tmp_path, photos)


def test_only_onnx_is_packed(
    detector: ModelArtifact,
    report_of: Callable[..., BenchmarkReport],
    photos: Photos,
    tmp_path: Path,
) -> None:
    with pytest.raises(BundleError, match=r"an ONNX file.*torchscript chosen"):
        pack(report_of(replace(detector, format=Format.TORCHSCRIPT)), tmp_path, photos)
