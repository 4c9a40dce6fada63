"""The output `embedding`: which tensor of a graph it comes from, and nothing else changes."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from components.backends import get_backend, read_onnx
from components.contracts import EMBEDDING, Output
from components.optimize import ModelOptions, open_model
from components.optimize.graph.structure import EMBEDDING_PREFIX, last_layers

_SHAPES = {
    "kernel": (8, 3, 3, 3),
    "squeeze": (8, 8, 1, 1),
    "score": (3, 8, 1, 1),
    "wide": (8 * 16 * 16, 3),
    "hidden": (8, 8),
    "matrix": (8, 3),
    "half": (4, 3),
}
_NUMBERS = {
    "spatial": [2, 3],
    "tokens": [1],
    "rows": [0, 8, -1],
    "pairs": [-1, 4],
    "together": [-1, 6],
}
BODY = [("Conv", "pixels kernel", "features"), ("Relu", "features", "active")]
GATE = [
    ("GlobalAveragePool", "active", "squeezed"),
    ("Conv", "squeezed squeeze", "gate"),
    ("Sigmoid", "gate", "open"),
    ("Mul", "active open", "gated"),
]

# graph → the value that the embedding is the mean of
CLASSIFIERS = {
    "a pooling": (
        [
            *BODY,
            ("GlobalAveragePool", "active", "p"),
            ("Flatten", "p", "v"),
            ("Gemm", "v matrix", "logits"),
        ],
        "active",
    ),
    "a mean": ([*BODY, ("ReduceMean", "active", "v"), ("MatMul", "v matrix", "logits")], "active"),
    "no pooling": ([*BODY, ("Flatten", "active", "v"), ("Gemm", "v wide", "logits")], "active"),
    "a gate, then no pooling": (
        [*BODY, *GATE, ("Flatten", "gated", "v"), ("Gemm", "v wide", "logits")],
        "gated",
    ),
    "scores that are pooled": (
        [
            *BODY,
            ("Conv", "active score", "s"),
            ("GlobalAveragePool", "s", "p"),
            ("Flatten", "p", "logits"),
        ],
        "active",
    ),
    "tokens": (
        [
            *BODY,
            ("Reshape", "active rows", "t"),
            ("Transpose", "t", "u"),
            ("MatMul", "u hidden", "w"),
            ("ReduceMean", "w", "v"),
            ("Gemm", "v matrix", "logits"),
        ],
        "v",
    ),
}


def graph(layers, *, classes: int = 3) -> onnx.ModelProto:
    """Build a classifier of 32 px images by (operator, inputs, output), with a 16 × 16 × 8 map."""
    rng = np.random.default_rng(0)
    nodes = []
    for operator, inputs, output in layers:
        options = {
            "Conv": {"strides": [2, 2], "pads": [1] * 4} if output == "features" else {},
            "ReduceMean": {"axes": [2, 3] if inputs == "active" else [1], "keepdims": 0},
            "Transpose": {"perm": [0, 2, 1]},
        }.get(operator, {})
        nodes.append(helper.make_node(operator, inputs.split(), [output], **options))
    used = {name for node in nodes for name in node.input}
    weights = {
        name: rng.normal(size=shape).astype(np.float32) * 0.3 for name, shape in _SHAPES.items()
    }
    weights |= {name: np.array(numbers, np.int64) for name, numbers in _NUMBERS.items()}
    made = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes])],
        [numpy_helper.from_array(array, name) for name, array in weights.items() if name in used],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def opened(tmp_path):
    """Open such a graph: ``opened(layers)``."""

    def make(layers, *, output=None, **options):
        onnx.save(graph(layers, **options), tmp_path / "model.onnx")
        return open_model(
            tmp_path / "model.onnx", ModelOptions(output=output), workdir=tmp_path / "work"
        )

    return make


def images(artifact, count: int = 3) -> np.ndarray:
    return np.random.default_rng(5).integers(
        0, 256, (count, *artifact.spec.input_size, 3), np.uint8
    )


def run(artifact, batch: np.ndarray) -> list[np.ndarray]:
    with get_backend("onnxruntime").open(artifact, threads=1) as session:
        return list(session.run(batch))


def with_outputs(artifact, batch: np.ndarray, *names: str) -> list[np.ndarray]:
    """What a model gives when its outputs are others."""
    model = read_onnx(artifact.path)
    del model.graph.output[1:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"images": batch})


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifiers_embedding_is_its_last_features_averaged(kind, opened):
    layers, source = CLASSIFIERS[kind]
    artifact = opened(layers)
    assert artifact.embedding == 1
    assert (artifact.outputs[1].name, artifact.outputs[1].shape) == (EMBEDDING, ("batch", 8))
    batch = images(artifact)
    features = with_outputs(artifact, batch, source)[1]
    expected = features.mean(axis=(2, 3)) if features.ndim == 4 else features
    found = run(artifact, batch)[1]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert found.std(axis=0).max() > 0, "one vector for each image, and not the same"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yolo11", "yolo26"])
def test_a_detectors_embedding_is_its_deepest_map_averaged(name, request):
    artifact = request.getfixturevalue(name)
    nodes = read_onnx(artifact.path).graph.node
    source = next(node.input[0] for node in nodes if node.op_type == "Resize")
    batch = images(artifact, 2)
    features = with_outputs(artifact, batch, source)[1]
    assert features.shape[2:] == (4, 4), "stride 32"
    np.testing.assert_allclose(
        run(artifact, batch)[1], features.mean(axis=(2, 3)), rtol=1e-4, atol=1e-6
    )
    assert artifact.outputs[1].shape == ("batch", features.shape[1])


@pytest.mark.parametrize("name", [*CLASSIFIERS, "yolo11", "yolo26"])
def test_predictions_are_the_same_to_the_last_bit_as_without_it(name, opened, request):
    artifact = (
        opened(CLASSIFIERS[name][0]) if name in CLASSIFIERS else request.getfixturevalue(name)
    )
    batch = images(artifact, 2)
    assert np.array_equal(run(artifact, batch)[0], with_outputs(artifact, batch)[0])


def test_images_have_their_own_embedding_at_any_batch_size(yolo11):
    batch = images(yolo11)
    together = run(yolo11, batch)[1]
    apart = np.concatenate([run(yolo11, image[None])[1] for image in batch])
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-6)


def test_a_value_that_is_called_so_already_makes_way(opened):
    artifact = opened(
        [(op, i.replace("active", EMBEDDING), o.replace("active", EMBEDDING)) for op, i, o in BODY]
        + [("Flatten", EMBEDDING, "v"), ("Gemm", "v wide", "logits")]
    )
    assert artifact.outputs[artifact.embedding].shape == ("batch", 8)


def test_a_graph_without_features_is_opened_without_an_embedding(opened):
    layers = [("GlobalAveragePool", "pixels", "p"), ("Flatten", "p", "logits")]
    only_pixels = opened(layers, output=Output.SIGMOID)
    assert [output.name for output in only_pixels.outputs] == ["logits"]
    assert only_pixels.embedding is None


def test_a_tensor_that_has_no_row_for_each_image_is_no_embedding(opened):
    halves = [
        ("GlobalMaxPool", "active", "p"),
        ("Reshape", "p pairs", "v"),
        ("Relu", "v", "w"),
        ("Gemm", "w half", "g"),
    ]
    artifact = opened([*BODY, *halves, ("Reshape", "g together", "logits")], classes=6)
    assert artifact.embedding is None
    assert run(artifact, images(artifact))[0].shape == (3, 6)


def test_a_layer_that_is_averaged_into_the_embedding_is_no_last_layer():
    nodes = [
        helper.make_node("Conv", ["images", "kernel"], ["deep"], "deep"),
        helper.make_node("GlobalAveragePool", ["deep"], ["p"], f"{EMBEDDING_PREFIX}pool"),
        helper.make_node("Flatten", ["p"], [EMBEDDING], f"{EMBEDDING_PREFIX}flatten"),
        helper.make_node("Relu", ["deep"], ["active"], "relu"),
        helper.make_node("Conv", ["active", "kernel"], ["scores"], "head"),
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in ("scores", EMBEDDING)]
    assert last_layers(helper.make_model(helper.make_graph(nodes, "detector", [], outputs))) == (
        "head",
    )
