from __future__ import annotations

import numpy as np
import pytest

from components.backends import get_backend, read_onnx
from components.contracts import Precision
from components.errors import PassError
from components.optimize import PassContext, get_pass
from components.optimize.structure import decoding_nodes


@pytest.mark.parametrize("name", ["int8", "int8_conv"])
@pytest.mark.parametrize("detector", ["yolo11", "yolo26"])
def test_a_detectors_scores_survive_int8(name, detector, photos, tmp_path, request):
    source = request.getfixturevalue(detector)
    product = get_pass(name).apply(source, PassContext(tmp_path, photos, "abc"))
    assert product.precision is Precision.INT8
    assert product.size_mb < 0.4 * source.size_mb
    assert product.history[-1].parameters["samples"] == len(photos)
    assert product.history[-1].parameters["calibration_sha256"] == "abc"
    kept = set(decoding_nodes(read_onnx(source.path)))
    layers = [n for n in read_onnx(product.path).graph.node if n.op_type == "DequantizeLinear"]
    assert layers and kept
    batch = np.stack(photos[:2])
    with get_backend("onnxruntime").open(source) as before, get_backend("onnxruntime").open(product) as after:
        a, b = before.run(batch)[0], after.run(batch)[0]
    scores = (
        (lambda out: np.sort(out[:, 4:].ravel()))
        if detector == "yolo11"
        else (lambda out: np.sort(out[..., 4].ravel()))
    )
    assert np.corrcoef(scores(a), scores(b))[0, 1] > 0.8
    assert len(np.unique(scores(b))) > 100, "one scale for pixels and scores would leave a handful of values"


def test_calibration_samples_are_spread_over_the_whole_set(yolo11, photos, tmp_path):
    context = PassContext(tmp_path, photos)
    chosen = context.samples_for(yolo11, 3)
    assert [next(i for i, photo in enumerate(photos) if photo is sample) for sample in chosen] == [0, 2, 4]


@pytest.mark.parametrize("wrong", [np.zeros((32, 32, 3), np.uint8), np.zeros((128, 128, 3), np.float32)])
def test_calibration_samples_that_are_no_model_inputs_are_refused(wrong, yolo11, photos, tmp_path):
    with pytest.raises(PassError, match="at position 1"):
        get_pass("int8").apply(yolo11, PassContext(tmp_path, [photos[0], wrong]))
    assert list(tmp_path.iterdir()) == []
