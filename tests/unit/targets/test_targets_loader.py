from __future__ import annotations

from pathlib import Path

import pytest

from components.contracts import Precision
from components.errors import ConfigError
from components.targets import BUILT_IN, load_target
from components.targets.accelerators import execution_providers

MINIMAL = 'backends = ["onnxruntime"]\nprecisions = ["fp32"]\n'


@pytest.mark.parametrize(
    ("name", "size_mb", "p95_ms", "preferred", "measured_on_host"),
    [
        ("mobile", 50, 100, Precision.INT8, True),
        ("embedded", 10, 50, Precision.INT8, True),
        ("edge_server", 500, 20, Precision.FP16, False),
        ("workstation", None, None, Precision.FP32, False),
    ],
)
def test_built_in_target_has_its_documented_budget(
    name: str,
    size_mb: float | None,
    p95_ms: float | None,
    preferred: Precision,
    measured_on_host: bool,
) -> None:
    target = load_target(name)
    assert (target.budget.size_mb, target.budget.p95_ms) == (size_mb, p95_ms)
    assert target.precisions[0] is preferred
    assert target.measured_on_host is measured_on_host


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_target_compares_with_fp32_and_bounds_the_accuracy_drop(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    assert Precision.FP32 in target.precisions
    assert target.budget.max_accuracy_drop is not None


def test_users_own_file_is_read_and_named_after_the_file(tmp_path: Path) -> None:
    path = tmp_path / "drone.toml"
    path.write_text(
        'description = "A drone"\nbackends = ["openvino"]\nthreads = 4\nprecisions = ["int8", '
        '"fp32"]\n'
        "[budget]\np95_ms = 30\nmax_accuracy_drop = 0.05\n"
    )
    target = load_target(str(path))
    assert (target.name, target.threads, target.backends) == ("drone", 4, ("openvino",))
    assert (target.budget.p95_ms, target.budget.size_mb) == (30.0, None)


def test_file_may_name_its_target(tmp_path: Path) -> None:
    path = tmp_path / "drone.toml"
    path.write_text(MINIMAL + 'name = "drone-mk2"\n')
    assert load_target(str(path)).name == "drone-mk2"


def test_unknown_target_lists_the_known_ones_and_suggests_the_closest() -> None:
    with pytest.raises(
        ConfigError, match=r"mobile, embedded.*found 'embeded'; did you mean embedded\?"
    ):
        load_target("embeded")  # codespell:ignore embeded


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "thread = 2\n", r"found 'thread'; did you mean threads\?"),
        (MINIMAL + "[budget]\np95 = 2\n", r"\[budget\].*found 'p95'; did you mean p95_ms\?"),
        ('backend = ["onnxruntime"]\nprecisions = ["fp32"]\n', r"did you mean backends\?"),
        ('precisions = ["fp32"]\n', "backends = a list.*add backends"),
        ('backends = []\nprecisions = ["fp32"]\n', "at least one"),
        ('backends = "onnxruntime"\nprecisions = ["fp32"]\n', "a list of different names"),
        (
            'backends = ["onnxruntime"]\nprecisions = ["int7", "fp32"]\n',
            r"'int7'; did you mean int8\?",
        ),
        (
            'backends = ["onnxruntime"]\nprecisions = ["int8"]\n',
            "fp32 among the precisions.*add fp32",
        ),
        ('backends = ["onnxruntime"]\nprecisions = ["fp32", "fp32"]\n', "different names"),
        (MINIMAL + "threads = -1\n", "whole number"),
        (MINIMAL + "threads = true\n", "whole number"),
        (MINIMAL + "measured_on_host = 1\n", "true or false"),
        (MINIMAL + 'accelerators = ["nnap"]\n', r"did you mean nnapi\?"),
        (MINIMAL + "budget = 3\n", r"a table \[budget\]"),
        (MINIMAL + "[budget]\nsize_mb = 0\n", "above 0"),
        (MINIMAL + "[budget]\nsize_mb = nan\n", "above 0"),
        (MINIMAL + "[budget]\np95_ms = '50'\n", "above 0"),
        (MINIMAL + "[budget]\nmax_accuracy_drop = 2\n", "from 0 to 1"),
        ("backends = [\n", "a target in TOML"),
        ("backends = " + 5_000 * "[", "a target in TOML"),
    ],
)
def test_mistake_in_a_file_is_named_with_its_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_target(path)
    assert "own.toml" in str(caught.value)


def test_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="check the path"):
        load_target(tmp_path / "none.toml")


def test_accelerators_become_execution_providers_with_the_cpu_last() -> None:
    assert execution_providers(("gpu", "cuda")) == (
        "CUDAExecutionProvider",
        "WebGpuExecutionProvider",
        "CPUExecutionProvider",
    )
    assert execution_providers(()) == ("CPUExecutionProvider",)
