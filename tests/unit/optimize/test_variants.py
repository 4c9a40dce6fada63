from __future__ import annotations

import pytest

from components.contracts import Precision
from components.errors import ConfigError, PassError
from components.optimize import PassContext, get_pass, make_variants, open_model


@pytest.fixture
def source(write_network, tmp_path):
    return open_model(write_network(), workdir=tmp_path / "work")


def test_the_source_comes_first_and_both_ways_to_int8_are_made(source, tmp_path, photos):
    context = PassContext(tmp_path / "work", [photo[:32, :32] for photo in photos])
    variants = make_variants(
        source, [Precision.INT8, Precision.FP16, Precision.INT8, Precision.FP32], context
    )
    assert variants[0] == source
    assert [variant.history[-1].name for variant in variants[1:]] == ["int8", "int8_conv", "fp16"]
    assert len({variant.path for variant in variants}) == 4


def test_int8_without_calibration_images_names_the_pass(source, tmp_path):
    with pytest.raises(PassError, match=r"pass int8: .*calibration"):
        make_variants(source, [Precision.INT8], PassContext(tmp_path / "work"))


def test_variants_start_from_fp32_only(source, tmp_path):
    half = get_pass("fp16").apply(source, PassContext(tmp_path / "work"))
    with pytest.raises(PassError, match="FP32"):
        make_variants(half, [Precision.FP16], PassContext(tmp_path / "work"))


def test_an_unknown_pass_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ConfigError, match="int8_conv"):
        get_pass("int4")
