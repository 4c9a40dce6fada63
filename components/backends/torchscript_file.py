"""Foveal's TorchScript file: a traced model with pre-processing inside and its meaning beside it.

The entries of ``foveal.spec`` and ``foveal.history`` lie in the archive's ``extra`` folder, where
they can be read without loading the program.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from components.backends.onnx_file import (
    HISTORY_KEY,
    INPUT,
    MAX_SIDE,
    SPEC_KEY,
    output_shape,
    parse_metadata,
)
from components.backends.session import translated
from components.contracts import Format, ModelArtifact, Precision, TensorSpec
from components.errors import ModelError
from components.files import sha256_file

MAX_METADATA = 16_000_000  # bytes; class names and history never come near


def describe_torchscript(path: Path) -> ModelArtifact:
    """Describe a TorchScript file that Foveal wrote, without executing any of it.

    Raises:
        ModelError: the file is missing, corrupt, or does not say what it means.
    """
    if not path.is_file():
        raise ModelError("a model file", found=f"nothing at {path}", hint="check the path")
    spec, history = parse_metadata(read_extra_files(path, (SPEC_KEY, HISTORY_KEY)), path.name)
    if not all(1 <= side <= MAX_SIDE for side in spec.input_size):
        raise ModelError(
            f"an input size of 1 to {MAX_SIDE} px", found=f"{spec.input_size} in {path.name}"
        )
    return ModelArtifact(
        path=path,
        format=Format.TORCHSCRIPT,
        precision=Precision.FP32,
        sha256=sha256_file(path),
        spec=spec,
        inputs=(TensorSpec(INPUT, ("batch", *spec.input_size, 3), "uint8"),),
        outputs=(TensorSpec("output0", output_shape(spec), "float32"),),
        history=history,
    )


def read_extra_files(path: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Those of the named extra files that a TorchScript archive holds, as text.

    Raises:
        ModelError: the archive is damaged, or an entry is absurdly large.
    """
    found: dict[str, str] = {}
    with (
        translated(ModelError, "a TorchScript archive", path.name),
        zipfile.ZipFile(path) as archive,
    ):
        for entry in archive.infolist():
            _, _, name = entry.filename.partition("/extra/")
            if name in names:
                if entry.file_size > MAX_METADATA:
                    raise ModelError(
                        f"metadata below {MAX_METADATA} bytes", found=f"{name} in {path.name}"
                    )
                found[name] = archive.read(entry).decode()
    return found
