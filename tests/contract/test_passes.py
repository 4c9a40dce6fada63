"""One suite over every pass that lowers precision."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from components.backends import describe_onnx, get_backend
from components.contracts import Format, Precision
from components.errors import PassError
from components.files import sha256_file
from components.optimize import PASSES, PassContext, get_pass, open_model

LOWERING = [
    name
    for name in PASSES
    if name != "embed_preprocessing" and get_pass(name).accepts == frozenset({Format.ONNX})
]


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(2)
    return [rng.integers(0, 256, (32, 32, 3), np.uint8) for _ in range(8)]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("passes")
    rng = np.random.default_rng(0)
    weights = {"kernel": rng.normal(size=(16, 3, 3, 3)) * 0.3, "matrix": rng.normal(size=(16, 4))}
    nodes = [
        helper.make_node("Conv", ["pixels", "kernel"], ["features"]),
        helper.make_node("Relu", ["features"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["vector"]),
        helper.make_node("Gemm", ["vector", "matrix"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 4])],
        [
            numpy_helper.from_array(array.astype(np.float32), name)
            for name, array in weights.items()
        ],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        folder / "m.onnx",
    )
    return open_model(folder / "m.onnx", workdir=folder)


@pytest.fixture(scope="module")
def products(source, images, tmp_path_factory):
    """What every pass makes of the source, each in a folder of its own."""
    return {
        name: get_pass(name).apply(source, PassContext(tmp_path_factory.mktemp(name), images))
        for name in LOWERING
    }


def test_there_are_passes_to_test():
    assert LOWERING == ["fp16", "int8", "int8_conv"]


@pytest.mark.parametrize("name", LOWERING)
def test_a_product_is_a_new_file_that_describes_itself(name, source, products):
    product = products[name]
    assert product == describe_onnx(product.path)
    assert product.precision is not Precision.FP32
    assert product.spec == source.spec
    assert product.inputs == source.inputs
    assert product.outputs == source.outputs
    assert product.outputs[product.embedding].shape == ("batch", 16)
    assert product.history[:-1] == source.history
    assert product.history[-1].name == name
    assert list(product.path.parent.iterdir()) == [product.path]


@pytest.mark.parametrize("name", LOWERING)
def test_the_same_input_gives_the_same_bytes_in_silence(
    name, source, images, products, tmp_path, capfd
):
    again = get_pass(name).apply(source, PassContext(tmp_path, images))
    assert again.sha256 == products[name].sha256
    assert capfd.readouterr().out == ""


def test_the_source_file_stays_as_it_is(source, products):
    assert products
    assert sha256_file(source.path) == source.sha256


@pytest.mark.parametrize("name", LOWERING)
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_products_run_on_every_cpu_backend_near_the_source(name, backend, source, images, products):
    batch = np.stack(images[:3])
    with (
        get_backend(backend).open(source) as before,
        get_backend(backend).open(products[name]) as after,
    ):
        expected, found = before.run(batch), after.run(batch)
    for wanted, got in zip(expected, found, strict=True):
        assert got.dtype == np.float32
        assert np.abs(wanted - got).max() < 0.1 * np.abs(wanted).max()


@pytest.mark.parametrize("name", LOWERING)
def test_a_lowered_model_is_not_lowered_again(name, images, products, tmp_path):
    with pytest.raises(PassError, match="FP32"):
        get_pass(name).apply(products[name], PassContext(tmp_path, images))
    assert list(tmp_path.iterdir()) == []
