from __future__ import annotations

import pytest

from components.backends import BACKENDS, available_backends, get_backend
from components.errors import ConfigError


def test_every_backend_in_the_table_goes_by_its_name():
    assert [get_backend(name).name for name in BACKENDS] == list(BACKENDS)


def test_an_unknown_backend_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ConfigError, match="onnxruntime, openvino, tensorrt, torch"):
        get_backend("onnx")


def test_a_backend_is_available_when_it_gives_no_reason_against_it():
    reasons = {name: get_backend(name).unavailable_reason() for name in BACKENDS}
    assert available_backends() == tuple(name for name, reason in reasons.items() if reason is None)
    assert all(reason for name, reason in reasons.items() if name not in available_backends())
