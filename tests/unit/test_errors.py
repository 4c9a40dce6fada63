"""Every error is a line that can be read, whatever was found."""

from __future__ import annotations

import pickle

import pytest

from components.errors import ConfigError, DatasetError
from flows.config.base import read_config, validate_config
from flows.config.release import ReleaseConfig


def test_a_huge_value_does_not_make_a_huge_line():
    error = DatasetError("labels", found=f"{'x' * 50_000} in a.txt", hint="mend a.txt")
    assert len(str(error)) < 4200 and " … " in str(error)
    assert str(error).endswith("x in a.txt; mend a.txt")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301


def test_a_text_that_is_too_long_to_be_scanned_shows_no_part_of_a_secret():
    error = DatasetError(
        "labels", found=f"{'x' * 99_980} https://me:s3cret-{'y' * 3_000_000}@host/a"
    )
    assert len(str(error)) < 4200 and "s3cret" not in str(error)


def test_an_error_is_one_line():
    assert (
        str(DatasetError("labels", found="a\n  b\r\nc", hint="d\ne"))
        == "expected labels, found a b c; d e"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "name: " + "[" * 5_000,
        "name: digits\nmodel: {path: "
        + "x" * 1_000_000
        + "}\nsurprise: ["
        + "1, " * 100_000
        + "]\n",
        "a: &a [x, x]\n"
        + "".join(f"b{k}: &b{k} [*{'a' if k == 0 else f'b{k - 1}'}, *a]\n" for k in range(3)),
        "a: &a [*a]\n",
    ],
)
def test_a_deep_endless_or_long_configuration_is_a_short_line(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_config(tmp_path / "config.yaml", ReleaseConfig)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 5000


def test_a_huge_wrong_value_is_shortened():
    values = {
        "name": "digits",
        "model": {"path": "m.onnx"},
        "data": {"labelled": "d"},
        "benchmark": ["x" * 10**7],
    }
    with pytest.raises(ConfigError) as caught:
        validate_config(values, ReleaseConfig, source="here")
    assert len(str(caught.value)) < 2000
