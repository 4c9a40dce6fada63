from __future__ import annotations

import json
import zipfile

import pytest

from components.backends import describe_torchscript
from components.backends.onnx_file import SPEC_KEY
from components.backends.torchscript_file import MAX_METADATA
from components.contracts import Format, dump
from components.errors import ModelError


def _archive(path, text):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"archive/extra/{SPEC_KEY}", text)
    return path


def test_the_meaning_is_read_without_loading_the_program(spec, tmp_path):
    artifact = describe_torchscript(_archive(tmp_path / "m.torchscript", json.dumps(dump(spec))))
    assert artifact.format is Format.TORCHSCRIPT
    assert artifact.spec == spec
    assert artifact.outputs[0].shape == ("batch", 3)


def test_metadata_that_unpacks_to_an_absurd_size_is_refused(tmp_path):
    with pytest.raises(ModelError, match="metadata below"):
        describe_torchscript(_archive(tmp_path / "m.torchscript", " " * (MAX_METADATA + 1)))


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "m.torchscript").write_bytes(b"PK, but nothing more")
    with pytest.raises(ModelError, match="TorchScript archive"):
        describe_torchscript(tmp_path / "m.torchscript")
