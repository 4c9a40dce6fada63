from __future__ import annotations

from components.backends import read_onnx
from components.optimize.graph.structure import decoding_nodes, preprocessing_nodes


def _kinds(artifact):
    model = read_onnx(artifact.path)
    names = set(decoding_nodes(model))
    return [node.op_type for node in model.graph.node if node.name in names], model


def test_a_yolo_heads_decoding_begins_behind_the_last_convolutions(yolo11):
    kinds, model = _kinds(yolo11)
    assert kinds.count("Conv") == 1, "the integral over the box distribution, and no layer"
    assert {"Softmax", "Sigmoid", "Concat"} <= set(kinds)
    assert kinds.count("Sigmoid") == 1, "activations inside the network do not decode"
    last_layers = [
        node for node in model.graph.node if "/cv2." in node.name or "/cv3." in node.name
    ]
    assert not {node.name for node in last_layers} & set(decoding_nodes(model))


def test_an_end_to_end_heads_selection_is_decoding(yolo26):
    kinds, _ = _kinds(yolo26)
    assert kinds.count("TopK") == 2
    assert "Conv" not in kinds


def test_preprocessing_is_found_by_its_names(yolo11):
    model = read_onnx(yolo11.path)
    assert [name.split("_")[-1] for name in preprocessing_nodes(model)] == [
        "Cast",
        "Transpose",
        "Gather",
        "Div",
    ]
