"""Engines of models are started where their calls have limits, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STARTS = {
    r"\bInferenceSession\(": {"components/backends/onnxruntime.py"},
    r"\bcompile_model\(": {"components/backends/openvino.py"},
    r"\bread_model\(": {"components/backends/openvino.py"},
    r"\bquantize_static\(": {"components/optimize/passes/int8_conv.py"},
    r"\bnncf\.quantize\(": {"components/optimize/passes/int8.py"},
}
RUNNER = "components/package/run_template.py"  # with limits of its own: it imports nothing of ours


@pytest.mark.parametrize("call", STARTS)
def test_only_files_with_limits_start_an_engine(call: str) -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for package in ("components", "flows", "model_registry", "foveal")
        for path in (ROOT / package).rglob("*.py")
        if re.search(call, path.read_text(encoding="utf-8"))
    }
    assert found - {RUNNER} == STARTS[call]
