"""ONNX models that keep their weights in other files: what is hashed, copied and refused."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from components.backends import read_onnx, sha256_model, weight_files
from components.errors import ModelError
from components.files import sha256_file
from flows.tasks.steps import step_key


def _write(path, *, seed=0, location="weights/m.data"):
    """A model whose matrix lies in another file, of a name that the seed does not change."""
    matrix = numpy_helper.from_array(
        np.random.default_rng(seed).random((64, 64), dtype=np.float32), "matrix"
    )
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "matrix"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 64])],
        [matrix],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data = path.parent / "weights" / "m.data"
    data.parent.mkdir(parents=True, exist_ok=True)
    data.write_bytes(matrix.raw_data)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": str(64 * 64 * 4)}.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def test_new_weights_beside_the_same_file_are_another_model(tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path / "home"))
    path = _write(tmp_path / "m.onnx", seed=0)
    alone, whole, key = (
        sha256_file(path),
        sha256_model(path),
        step_key("open model", {"model": path}),
    )
    assert sha256_model(_write(tmp_path / "copy" / "m.onnx", seed=0)) == whole
    _write(path, seed=1)
    assert sha256_file(path) == alone
    assert sha256_model(path) != whole
    assert step_key("open model", {"model": path}) != key
    assert weight_files(path) == (tmp_path.resolve() / "weights" / "m.data",)
    assert numpy_helper.to_array(read_onnx(path, outside=True).graph.initializer[0]).shape == (
        64,
        64,
    )


def test_a_file_that_holds_all_it_needs_is_hashed_as_it_is(tmp_path):
    for name, contents in {
        "a.yaml": b"names: [a]",
        "b.pt": b"PK\x03\x04",
        "empty": b"",
        "c.bin": b"\x08\x07\xff\xff",
    }.items():
        (tmp_path / name).write_bytes(contents)
        assert weight_files(tmp_path / name) == ()
        assert sha256_model(tmp_path / name) == sha256_file(tmp_path / name)


@pytest.mark.parametrize(
    "place", ["/etc/hostname", "../m.data", "weights/../../m.data", "weights/none.data", ""]
)
def test_weights_that_are_missing_or_lie_elsewhere_are_refused_in_one_line(place, tmp_path):
    (tmp_path / "m.data").write_bytes(bytes(64 * 64 * 4))
    path = _write(tmp_path / "inside" / "m.onnx", location=place)
    for read in (weight_files, sha256_model, lambda file: read_onnx(file, outside=True)):
        with pytest.raises(ModelError, match="beside the model") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(64 * 64 * 4))
    path = _write(tmp_path / "inside" / "m.onnx", location="m.data")
    (path.parent / "m.data").symlink_to(tmp_path / "secret")
    with pytest.raises(ModelError, match="beside the model"):
        read_onnx(path, outside=True)
