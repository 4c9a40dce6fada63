from __future__ import annotations

import numpy as np
import pytest

from components.backends import get_backend
from components.contracts import Precision
from components.errors import PassError
from components.optimize import PassContext, get_pass

pytestmark = pytest.mark.slow


def _scores(output, artifact):
    """Return all scores ascending: an end-to-end detector gives equal ones in any order."""
    end_to_end = artifact.spec.head == "yolo_end2end"
    return np.sort((output[..., 4] if end_to_end else output[:, 4:]).ravel())


@pytest.mark.parametrize("name", ["int8", "int8_conv"])
@pytest.mark.parametrize("detector", ["yolo11", "yolo26"])
def test_a_detectors_scores_survive_int8_alike_on_both_cpu_backends(
    name, detector, photos, tmp_path, request
):
    """OpenVINO was far off where activations were stored as int8 and the CPU lacks VNNI."""
    source = request.getfixturevalue(detector)
    product = get_pass(name).apply(source, PassContext(tmp_path, photos, "abc"))
    assert product.precision is Precision.INT8
    assert product.size_mb < 0.45 * source.size_mb
    assert product.history[-1].parameters["samples"] == len(photos)
    assert product.history[-1].parameters["calibration_sha256"] == "abc"
    batch = np.stack(photos[:2])
    with get_backend("onnxruntime").open(source) as session:
        expected = _scores(session.run(batch)[0], source)
    found = {}
    for backend in ("onnxruntime", "openvino"):
        with get_backend(backend).open(product) as session:
            found[backend] = _scores(session.run(batch)[0], source)
        assert np.corrcoef(expected, found[backend])[0, 1] > 0.8
        assert len(np.unique(found[backend])) > 100, (
            "one scale for pixels and scores would leave a handful of values"
        )
    rounding = np.abs(found["onnxruntime"] - expected).mean()
    assert np.abs(found["onnxruntime"] - found["openvino"]).mean() < 2 * rounding


def test_calibration_samples_are_spread_over_the_whole_set(yolo11, photos, tmp_path):
    context = PassContext(tmp_path, photos)
    chosen = context.samples_for(yolo11, 3)
    assert [next(i for i, photo in enumerate(photos) if photo is sample) for sample in chosen] == [
        0,
        2,
        4,
    ]


@pytest.mark.parametrize(
    "wrong", [np.zeros((32, 32, 3), np.uint8), np.zeros((128, 128, 3), np.float32)]
)
def test_calibration_samples_that_are_no_model_inputs_are_refused(wrong, yolo11, photos, tmp_path):
    with pytest.raises(PassError, match="at position 1"):
        get_pass("int8").apply(yolo11, PassContext(tmp_path, [photos[0], wrong]))
    assert list(tmp_path.iterdir()) == []
