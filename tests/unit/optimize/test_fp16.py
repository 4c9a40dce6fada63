from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from components.backends import get_backend
from components.errors import PassError
from components.optimize import PassContext, get_pass, open_model


@pytest.mark.slow
@pytest.mark.parametrize("detector", ["yolo11", "yolo26"])
def test_half_the_size_and_nearly_the_same_outputs(detector, photos, tmp_path, request):
    source = request.getfixturevalue(detector)
    product = get_pass("fp16").apply(source, PassContext(tmp_path))
    assert product.size_mb < 0.55 * source.size_mb
    assert product.outputs[0].dtype == "float32"
    batch = np.stack(photos[:2])
    with get_backend("onnxruntime").open(source) as session:
        expected = scores_of(session.run(batch)[0], source)
    for backend in ("onnxruntime", "openvino"):
        with get_backend(backend).open(product) as session:
            np.testing.assert_allclose(
                scores_of(session.run(batch)[0], source), expected, atol=0.05
            )


def scores_of(output, artifact):
    """Return all scores ascending: an end-to-end detector gives equal ones in any order."""
    end_to_end = artifact.spec.head == "yolo_end2end"
    return np.sort((output[..., 4] if end_to_end else output[:, 4:]).ravel())


def test_a_weight_beyond_float16_is_an_error_not_an_infinity(write_network, tmp_path):
    path = write_network()
    model = onnx.load(path)
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "bias")
    bias.CopyFrom(numpy_helper.from_array(np.array([1e5, 0, 0], np.float32), "bias"))
    onnx.save(model, path)
    source = open_model(path, workdir=tmp_path / "work")
    with pytest.raises(PassError, match="float16's range"):
        get_pass("fp16").apply(source, PassContext(tmp_path / "work"))
