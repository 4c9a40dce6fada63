from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from components.contracts import Bundle, Verdict
from components.errors import BundleError
from components.files import sha256_file, write_json
from components.package import read_manifest, run_bundle, verify_bundle
from flows.tasks.predict import serving

Change = Callable[[Path], None]


@pytest.fixture
def copied(detector_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(detector_bundle.folder, tmp_path / "copy"))


def edit(path: Path, change: Callable[[Any], None]) -> None:
    values = json.loads(path.read_text())
    change(values)
    write_json(path, values)


def test_fresh_bundle_reproduces_itself_as_folder_and_as_zip(detector_bundle: Bundle) -> None:
    for path in (detector_bundle.folder, detector_bundle.archive):
        verification = verify_bundle(path)
        assert verification.ok
        names = [check.name for check in verification.checks]
        assert names == ["files", "golden_inputs", "golden_outputs", "golden_predictions"]
        assert {check.verdict for check in verification.checks} == {Verdict.PASS}
        assert verification.max_abs_difference == 0
        assert verification.images == 3
        assert (
            verification.checks[-1].reason
            == "3 images agree, 4 rules of reading hold; on onnxruntime"
        )


@pytest.mark.parametrize(
    "name",
    [
        "model.onnx",
        "run.py",
        "golden/0001.png",
        "golden/0002.npz",
        "config.json",
        "manifest.json",
        "README.md",
    ],
)
def test_changed_byte_is_found_and_its_file_named(copied: Path, name: str) -> None:
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(bytes(content))
    with pytest.raises(BundleError, match=f"{name}: its content has changed"):
        verify_bundle(copied)
    with pytest.raises(BundleError, match=name):
        run_bundle(copied, [])


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("manifest.json", '"blue"', '"pink"'),
        ("manifest.json", '"confidence": 0.25', '"confidence": 0.01'),
    ],
)
def test_bundle_that_was_changed_serves_nothing(
    copied: Path, file: str, old: str, new: str
) -> None:
    text = (copied / file).read_text()
    assert old in text
    (copied / file).write_text(text.replace(old, new))
    with pytest.raises(BundleError, match=f"{file}: its content has changed"), serving(str(copied)):
        pass


def test_missing_and_extra_files_are_found_and_named(copied: Path) -> None:
    (copied / "golden" / "0003.png").unlink()
    (copied / "golden" / "extra.txt").write_text("?")
    (copied / "link").symlink_to(copied / "model.onnx")
    (copied / "elsewhere").symlink_to("/")
    with pytest.raises(BundleError) as caught:
        verify_bundle(copied)
    for line in (
        "golden/0003.png: missing",
        "golden/extra.txt: not a file",
        "link: not a file",
        "elsewhere: not a",
    ):
        assert line in str(caught.value)


@pytest.mark.parametrize("text", [None, "", "abc model.onnx\n", "\0\n"])
def test_bundle_without_sums_is_refused(copied: Path, text: str | None) -> None:
    (copied / "SHA256SUMS").unlink()
    if text is not None:
        (copied / "SHA256SUMS").write_text(text)
    with pytest.raises(BundleError, match="SHA256SUMS: "):
        verify_bundle(copied)


def test_nothing_and_anything_else_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="check the path"):
        verify_bundle(tmp_path / "none")
    with pytest.raises(BundleError, match="SHA256SUMS: missing"):
        verify_bundle(tmp_path)
    (tmp_path / "some.zip").write_bytes(b"PK")
    with pytest.raises(BundleError, match=r"some\.zip"):
        verify_bundle(tmp_path / "some.zip")


def test_sums_that_agree_do_not_hide_a_manifest_that_does_not(copied: Path) -> None:
    listing = (copied / "SHA256SUMS").read_text()
    (copied / "README.md").write_text("changed")
    rows = [row for row in listing.splitlines() if not row.endswith("README.md")]
    rows.append(f"{sha256_file(copied / 'README.md')}  README.md")
    (copied / "SHA256SUMS").write_text("\n".join(rows) + "\n")
    with pytest.raises(BundleError, match=r"README\.md as manifest\.json describes it"):
        verify_bundle(copied)


def test_other_schema_is_refused(copied: Path, reseal: Change) -> None:
    edit(copied / "manifest.json", lambda values: values.update(schema=2))
    reseal(copied)
    with pytest.raises(BundleError, match=r"schema 1.*found 2"):
        verify_bundle(copied)


@pytest.mark.parametrize("key", ["model", "target", "benchmark"])
def test_malformed_manifest_is_refused(copied: Path, reseal: Change, key: str) -> None:
    edit(copied / "manifest.json", lambda values: values.update({key: "?"}))
    reseal(copied)
    with pytest.raises(BundleError, match="a bundle's manifest"):
        verify_bundle(copied)


def test_manifest_that_is_nested_too_deeply_is_refused(copied: Path) -> None:
    (copied / "manifest.json").write_text(100_000 * "[")
    with pytest.raises(BundleError, match="a bundle's manifest"):
        read_manifest(copied)


def test_manifest_of_an_unknown_head_is_refused_with_those_that_are_known(
    copied: Path, reseal: Change
) -> None:
    edit(copied / "manifest.json", lambda values: values["model"]["spec"].update(head="detr"))
    reseal(copied)
    with pytest.raises(
        BundleError, match=r"an output head, one of yolo, .*found detr in .*manifest\.json"
    ):
        verify_bundle(copied)


def test_manifest_that_points_out_of_the_bundle_is_refused(copied: Path, reseal: Change) -> None:
    edit(copied / "manifest.json", lambda values: values["model"].update(path="/etc/passwd"))
    reseal(copied)
    with pytest.raises(BundleError, match=r"model\.onnx, found /etc/passwd"):
        verify_bundle(copied)


def test_other_predictions_than_the_golden_ones_fail_without_being_damage(
    copied: Path, reseal: Change
) -> None:
    def move_first_box(values: Any) -> None:
        values["images"][0]["items"][0]["box"] = [0, 0, 5, 5]

    edit(copied / "golden" / "golden.json", move_first_box)
    reseal(copied)
    verification = verify_bundle(copied)
    assert not verification.ok
    (failed,) = verification.failed
    assert failed.name == "golden_predictions"
    assert "golden/0001.png: no red like the expected one" in failed.reason


@pytest.mark.parametrize(
    ("factor", "failed"),
    [
        (0.8, {"golden_outputs", "golden_predictions"}),
        (np.nan, {"golden_outputs", "golden_predictions"}),
        # its scores make decoding give up
        (3, {"golden_inputs", "golden_outputs", "golden_predictions"}),
    ],
)
def test_other_outputs_than_the_golden_ones_fail(
    copied: Path, reseal: Change, factor: float, failed: set[str]
) -> None:
    model = onnx.load(copied / "model.onnx")
    (scale,) = (tensor for tensor in model.graph.initializer if tensor.name == "scale")
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * factor, "scale"))
    onnx.save(model, copied / "model.onnx")
    sha256 = sha256_file(copied / "model.onnx")
    edit(copied / "manifest.json", lambda values: values["model"].update(sha256=sha256))
    reseal(copied)
    verification = verify_bundle(copied)
    assert {check.name for check in verification.failed} == failed
    assert not verification.max_abs_difference <= 0.1


def keep_the_first_of_a_batch(model: onnx.ModelProto) -> None:
    """Let all images of a batch but the first find nothing, as exports for one image do."""
    (output,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = ["whole" if name == output.name else name for name in node.output]
    constants = {"no": 0, "one": 1, "column": [-1, 1, 1]}
    for name, value in constants.items():
        tensor = numpy_helper.from_array(np.array(value, np.int64), name)
        model.graph.initializer.append(tensor)
    model.graph.node.extend(
        [
            helper.make_node("Shape", ["whole"], ["shape"]),
            helper.make_node("Gather", ["shape", "no"], ["count"]),
            helper.make_node("Range", ["no", "count", "one"], ["place"]),
            helper.make_node("Equal", ["place", "no"], ["is_first"]),
            helper.make_node("Cast", ["is_first"], ["flat"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Reshape", ["flat", "column"], ["mask"]),
            helper.make_node("Mul", ["whole", "mask"], [output.name]),
        ]
    )


def test_a_bundle_whose_batch_loses_images_does_not_verify(copied: Path, reseal: Change) -> None:
    """Each golden image alone is as it was: only the largest batch tells."""
    model = onnx.load(copied / "model.onnx")
    keep_the_first_of_a_batch(model)
    onnx.save(model, copied / "model.onnx")
    sha256 = sha256_file(copied / "model.onnx")
    edit(copied / "manifest.json", lambda values: values["model"].update(sha256=sha256))
    reseal(copied)
    (failed,) = verify_bundle(copied).failed
    assert failed.name == "golden_outputs" and "in a batch of " in failed.reason


@pytest.mark.parametrize(
    "stated",
    [
        {"tolerance": {"pixels": 1e9, "outputs": 1e9, "confidence": 1e9, "iou": -1}},
        {"confidence": 2.0},
        {"head": "?"},
    ],
)
def test_bundle_does_not_say_how_exactly_it_is_looked_at(
    copied: Path, reseal: Change, stated: dict[str, Any]
) -> None:
    def move_boxes(values: Any) -> None:
        values["images"][0]["items"][0]["box"] = [0, 0, 5, 5]
        values.update(stated)

    edit(copied / "golden" / "golden.json", move_boxes)
    reseal(copied)
    assert [check.name for check in verify_bundle(copied).failed] == ["golden_predictions"]


def test_precision_is_read_from_the_graph_and_not_from_the_manifest(
    copied: Path, reseal: Change
) -> None:
    edit(copied / "manifest.json", lambda values: values["model"].update(precision="int8"))
    reseal(copied)
    (outputs,) = (check for check in verify_bundle(copied).checks if check.name == "golden_outputs")
    assert outputs.limit == 0.005


def _set(*keys: Any, to: Any) -> Callable[[Any], None]:
    def change(values: Any) -> None:
        for key in keys[:-1]:
            values = values[key]
        values[keys[-1]] = to

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.clear(),
        _set("images", to=[]),
        _set("images", to={"a": 1}),
        _set("images", 0, to="golden/0001.png"),
        _set("images", 0, "image", to="../../etc/passwd"),
        _set("images", 0, "image", to=7),
        _set("images", 0, "arrays", to="golden/0001.png"),
        _set("images", 0, "arrays", to="golden/none.npz"),
        _set("images", 0, "items", to=None),
        _set("images", 0, "items", 0, "confidence", to="much"),
        _set("images", 0, "items", 0, "confidence", to=10**400),
        _set("images", 0, "items", 0, "box", to=[1, 2]),
        lambda values: values["images"][0]["items"][0].pop("class_name"),
    ],
)
def test_malformed_golden_listing_is_refused(
    copied: Path, reseal: Change, change: Callable[[Any], None]
) -> None:
    edit(copied / "golden" / "golden.json", change)
    reseal(copied)
    with pytest.raises(BundleError, match="a readable golden set"):
        verify_bundle(copied)


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"input": np.zeros((64, 64, 3), np.float32), "output_0": np.zeros(3)},
        {"input": np.zeros((64, 64, 3), np.uint8)},
        {"input": np.zeros((64, 64, 3), np.uint8), "output_0": np.full((1, 7, 32), np.nan)},
        {"input": np.array({}, object), "output_0": np.zeros(3)},
    ],
)
def test_malformed_golden_arrays_are_refused(
    copied: Path, reseal: Change, arrays: dict[str, Any]
) -> None:
    np.savez(copied / "golden" / "0001.npz", **arrays)
    reseal(copied)
    with pytest.raises(BundleError, match=r"a readable golden set, found golden/0001\.npz"):
        verify_bundle(copied)


def test_golden_arrays_that_unpack_to_any_size_are_refused(copied: Path, reseal: Change) -> None:
    np.savez_compressed(
        copied / "golden" / "0001.npz", input=np.zeros((64, 64, 3), np.uint8), output_0=np.zeros(9)
    )
    reseal(copied)
    with pytest.raises(BundleError, match="compressed arrays"):
        verify_bundle(copied)


@pytest.mark.parametrize(
    "arrays",
    [
        {"input": np.zeros((9, 9, 3), np.uint8), "output_0": np.zeros((1, 7, 32))},
        {
            "input": np.zeros((64, 64, 3), np.uint8),
            "output_0": np.zeros((1, 7, 32)),
            "output_1": np.zeros(3),
        },
        {"input": np.zeros((64, 64, 3), np.uint8), "output_0": np.zeros(3)},
    ],
)
def test_golden_arrays_of_another_model_fail(
    copied: Path, reseal: Change, arrays: dict[str, Any]
) -> None:
    np.savez(copied / "golden" / "0001.npz", **arrays)
    reseal(copied)
    assert not verify_bundle(copied).ok


def test_backend_that_is_missing_here_is_replaced_by_onnxruntime_and_that_is_said(
    copied: Path, reseal: Change
) -> None:
    edit(copied / "manifest.json", lambda values: values.update(backend="tensorrt"))
    reseal(copied)
    verification = verify_bundle(copied)
    assert verification.ok
    assert (
        "on onnxruntime, as tensorrt on cpu is not on this machine"
        in verification.checks[-1].reason
    )


def test_bundle_reproduces_on_another_backend_within_its_tolerance(
    copied: Path, reseal: Change
) -> None:
    edit(copied / "manifest.json", lambda values: values.update(backend="openvino"))
    reseal(copied)
    verification = verify_bundle(copied)
    assert verification.ok
    assert verification.checks[-1].reason.endswith("on openvino")


def test_run_gives_predictions_in_pixels_and_records_an_image_that_cannot_be_read(
    detector_bundle: Bundle, photos: tuple[Path, ...], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff")
    red, failed, grey = run_bundle(detector_bundle.archive, [photos[0], broken, photos[1]])
    assert red["image"] == str(photos[0])
    best = red["items"][0]
    assert best["class_name"] in {"red", "blue"}
    assert 0.25 < best["confidence"] <= 1
    left, top, right, bottom = best["box"]
    assert 0 <= left < right <= 160
    assert 0 <= top < bottom <= 120
    assert grey == {"image": str(photos[1]), "items": []}
    assert set(failed) == {"image", "error"}


def test_run_of_a_classifier_gives_the_most_probable_classes(
    classifier_bundle: Bundle, photos: tuple[Path, ...]
) -> None:
    (result,) = run_bundle(classifier_bundle.folder, photos[:1])
    confidences = [item["confidence"] for item in result["items"]]
    assert len(confidences) == 3
    assert confidences == sorted(confidences, reverse=True)
    assert sum(confidences) == pytest.approx(1, abs=1e-6)
    assert "box" not in result["items"][0]


def test_manifest_is_typed(detector_bundle: Bundle) -> None:
    manifest = read_manifest(detector_bundle.folder)
    assert manifest.target.name == "mobile"
    assert manifest.benchmark.chosen.latency.p50_ms == 10.0
    assert manifest.benchmark.chosen.checks[0].verdict is Verdict.PASS
    assert manifest.model.history[0].name == "export"
