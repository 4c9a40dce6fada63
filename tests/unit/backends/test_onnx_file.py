from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from components.backends import describe_onnx, read_onnx, save_onnx, write_spec
from components.backends.onnx_file import SPEC_KEY, weight_files
from components.contracts import PassRecord, Precision
from components.errors import ModelError


def test_a_saved_file_describes_itself(model_file, spec):
    artifact = describe_onnx(model_file)
    assert artifact.spec == spec
    assert artifact.history == (PassRecord("export_onnx", {"opset": 17}),)
    assert artifact.precision is Precision.FP32
    assert artifact.inputs[0].shape == ("batch", 16, 16, 3)
    assert artifact.outputs[0].shape == ("batch", 3)


def test_equal_models_give_equal_bytes_whatever_their_metadata_said(graph, spec, tmp_path):
    first = save_onnx(graph, tmp_path / "a.onnx", spec, ())
    graph.metadata_props.add(key="date", value="2026-01-01")
    second = save_onnx(graph, tmp_path / "b.onnx", spec, ())
    assert first.sha256 == second.sha256


@pytest.mark.parametrize("contents", [b"", b"not a model", b"\x08\x08", b"\x00" * 500])
def test_a_file_that_is_no_model_is_refused_in_one_line(contents, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(contents)
    with pytest.raises(ModelError) as caught:
        describe_onnx(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_refused(model_file):
    model_file.write_bytes(model_file.read_bytes()[:-40])
    with pytest.raises(ModelError):
        describe_onnx(model_file)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match="nothing at"):
        describe_onnx(tmp_path / "none.onnx")


def test_a_file_without_a_spec_is_refused(graph, tmp_path):
    onnx.save(graph, tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=SPEC_KEY):
        describe_onnx(tmp_path / "model.onnx")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"task": "fly"}', 100_000 * "["])
def test_a_malformed_spec_is_refused(text, graph, spec, tmp_path):
    write_spec(graph, spec, ())
    next(entry for entry in graph.metadata_props if entry.key == SPEC_KEY).value = text
    onnx.save(graph, tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="readable metadata"):
        describe_onnx(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    "changes",
    [
        {"class_names": ("cat", "dog")},
        {"class_names": ()},
        {"input_size": (32, 32)},
        {"input_size": (0, 16)},
        {"input_size": (10**9, 10**9)},
        {"task": "detect"},
        {"head": "yolo"},
    ],
)
def test_a_spec_that_contradicts_the_graph_is_never_written(changes, graph, spec, tmp_path):
    with pytest.raises(ModelError):
        save_onnx(graph, tmp_path / "model.onnx", replace(spec, **changes), ())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({"task": "segment"}, "a task, one of detect, classify"),
        ({"head": "detr"}, "an output head, one of yolo, "),
    ],
)
def test_a_task_or_a_head_that_no_table_has_is_refused_with_those_that_are_known(
    changes, known, graph, spec, tmp_path
):
    write_spec(graph, replace(spec, **changes), ())
    onnx.save(graph, tmp_path / "model.onnx")
    with pytest.raises(
        ModelError, match=rf"{known}.*found {next(iter(changes.values()))} in model\.onnx"
    ):
        describe_onnx(tmp_path / "model.onnx")


def test_weights_that_are_shorter_than_they_claim_are_refused(graph, spec, tmp_path):
    graph.graph.initializer[0].dims[0] = 10**12
    write_spec(graph, spec, ())
    (tmp_path / "model.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(ModelError):
        describe_onnx(tmp_path / "model.onnx")


def test_weights_in_a_second_file_are_taken_up_from_outside_only(graph, tmp_path):
    weight = numpy_helper.to_array(graph.graph.initializer[0]).copy()
    onnx.save(
        graph, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0
    )
    with pytest.raises(ModelError, match=r"m\.data"):
        read_onnx(tmp_path / "m.onnx")
    model = read_onnx(tmp_path / "m.onnx", outside=True)
    np.testing.assert_array_equal(numpy_helper.to_array(model.graph.initializer[0]), weight)


@pytest.mark.parametrize("place", ["../secret.data", "/etc/hostname", "folder/../../secret.data"])
def test_weights_outside_the_models_folder_are_never_read(place, graph, tmp_path):
    (tmp_path / "secret.data").write_bytes(b"\0" * 100)
    folder = tmp_path / "model"
    folder.mkdir()
    weight = graph.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=place)
    (folder / "m.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(ModelError, match="beside the model"):
        read_onnx(folder / "m.onnx", outside=True)


def test_nodes_in_any_order_are_sorted_from_outside_only(graph, tmp_path):
    nodes = list(graph.graph.node)
    del graph.graph.node[:]
    graph.graph.node.extend(reversed(nodes))
    (tmp_path / "m.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(ModelError):
        read_onnx(tmp_path / "m.onnx")
    model = read_onnx(tmp_path / "m.onnx", outside=True)
    assert [node.op_type for node in model.graph.node] == ["Cast", "ReduceMean", "MatMul"]


def test_precision_is_read_from_the_graph(graph, spec, tmp_path):
    graph.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float16), "half"))
    graph.graph.node.append(helper.make_node("Identity", ["half"], ["unused"]))
    assert save_onnx(graph, tmp_path / "m.onnx", spec, ()).precision is Precision.FP16


def test_a_file_that_no_protobuf_can_be_as_large_as_is_not_read(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x08")
    os.truncate(path, 2**31)
    assert weight_files(path) == ()
    with pytest.raises(ModelError, match="under 2 GB"):
        read_onnx(path)
