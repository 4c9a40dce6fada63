from __future__ import annotations

import importlib.util

import pytest

from components.backends import describe_onnx, get_backend
from components.errors import UnavailableError


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed here"
)
def test_without_tensorrt_it_says_how_to_get_it(model_file):
    backend = get_backend("tensorrt")
    assert "pip install 'foveal[gpu]'" in str(backend.unavailable_reason())
    with pytest.raises(UnavailableError, match="not installed"):
        backend.open(describe_onnx(model_file), device="gpu")
