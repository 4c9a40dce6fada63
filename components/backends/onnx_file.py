"""Foveal's ONNX file: one file that holds its weights, its pre-processing and its own meaning.

The input is ``images``, (batch, height, width, 3) uint8 BGR with a free batch axis; output 0 is the
prediction, and the output ``embedding``, where there is one, what the backbone saw, (batch, c)
float32. Two metadata entries describe it: ``foveal.spec`` (a `VisionSpec`) and ``foveal.history``
(the passes that made it), both JSON. Reading such a file never executes code from it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.backends.onnx_graph import precision_of, sort_nodes, tensor_specs, tensors
from components.backends.session import translated
from components.contracts import (
    Fit,
    Format,
    Interpolation,
    ModelArtifact,
    PassRecord,
    TensorSpec,
    VisionSpec,
    dump,
    load,
)
from components.errors import ModelError
from components.files import replacing, sha256_file, sha256_json
from components.printing import counted
from components.regular import open_regular
from components.vision import require_known
from components.vision.heads import head_of

if TYPE_CHECKING:
    import onnx

INPUT = "images"
SPEC_KEY = "foveal.spec"
HISTORY_KEY = "foveal.history"
MAX_IR_VERSION = 64  # far above today's 13
MAX_BYTES = 2**31  # of a protobuf; what is larger is read for nothing
MAX_SIDE = 8192  # px; a larger claim is a damaged or a hostile file


def describe_onnx(
    path: Path, *, spec: VisionSpec | None = None, history: Sequence[PassRecord] = ()
) -> ModelArtifact:
    """Describe an ONNX file that Foveal wrote.

    Arguments:
        path: the file.
        spec: what it means; read from the file unless given.
        history: the passes that made it; read from the file unless `spec` is given.

    Raises:
        ModelError: the file is missing, corrupt or incomplete, or the graph contradicts the spec.
    """
    model = read_onnx(path)
    if spec is None:
        spec, history = read_spec(model, path.name)
    inputs, outputs = tensor_specs(model)
    check_meaning(spec, inputs, outputs, path.name)
    return ModelArtifact(
        path=path,
        format=Format.ONNX,
        precision=precision_of(model),
        sha256=sha256_file(path),
        spec=spec,
        inputs=inputs,
        outputs=outputs,
        history=tuple(history),
    )


def read_onnx(path: Path, *, outside: bool = False) -> onnx.ModelProto:
    """Read and check an ONNX model.

    Arguments:
        path: the file.
        outside: the file comes from elsewhere, so take up weights that lie in other files of the
            same folder, and accept nodes in any order, as some converters write them, instead of
            refusing both.

    Returns:
        An `onnx.ModelProto` that holds all its weights.

    Raises:
        ModelError: the file is missing or corrupt, or keeps weights elsewhere.
    """
    import onnx

    if not path.is_file():
        raise ModelError("a model file", found=f"nothing at {path}", hint="check the path")
    if (size := path.stat().st_size) >= MAX_BYTES:
        raise ModelError(
            "an ONNX file of under 2 GB, which no protobuf exceeds",
            found=f"{size:,} bytes in {path}",
            hint="export it with its weights in a file beside it",
        )
    with translated(ModelError, "a whole ONNX model", path.name, "export it again"):
        model = onnx.load(path, load_external_data=False)
        _settle_external(model, path, outside)
        if outside:
            sort_nodes(model.graph)
        onnx.checker.check_model(model)
        return model


def save_onnx(
    model: onnx.ModelProto, target: Path, spec: VisionSpec, history: Sequence[PassRecord]
) -> ModelArtifact:
    """Write a model with its meaning to `target`, whole or not at all, and describe it.

    Equal models give equal bytes: other metadata, which may hold dates, is dropped.

    Raises:
        ModelError: the graph contradicts the spec.
    """
    write_spec(model, spec, history)
    with replacing(target) as aside:
        aside.write_bytes(model.SerializeToString(deterministic=True))
        describe_onnx(aside)
    return describe_onnx(target)


def write_spec(model: onnx.ModelProto, spec: VisionSpec, history: Sequence[PassRecord]) -> None:
    """Replace an `onnx.ModelProto`'s metadata by the file's meaning and the passes that made it."""
    del model.metadata_props[:]
    for key, value in describe_metadata(spec, history).items():
        model.metadata_props.add(key=key, value=value)


def describe_metadata(spec: VisionSpec, history: Sequence[PassRecord]) -> dict[str, str]:
    """The two metadata entries of a model file, as JSON text with sorted keys."""
    return {
        HISTORY_KEY: json.dumps([dump(record) for record in history], sort_keys=True),
        SPEC_KEY: json.dumps(dump(spec), sort_keys=True),
    }


def has_spec(model: onnx.ModelProto) -> bool:
    """Tell whether Foveal wrote this `onnx.ModelProto`."""
    return any(entry.key == SPEC_KEY for entry in model.metadata_props)


def read_spec(model: onnx.ModelProto, name: str) -> tuple[VisionSpec, tuple[PassRecord, ...]]:
    """The meaning and the history that an `onnx.ModelProto` carries; `name` is for the error.

    Raises:
        ModelError: it carries none, or none that makes sense.
    """
    return parse_metadata({entry.key: entry.value for entry in model.metadata_props}, name)


def parse_metadata(entries: dict[str, str], name: str) -> tuple[VisionSpec, tuple[PassRecord, ...]]:
    """The inverse of `describe_metadata`.

    Raises:
        ModelError: an entry is missing or malformed, or the task or the head is unknown.
    """
    if SPEC_KEY not in entries:
        raise ModelError(
            f"a model that says what it means (metadata {SPEC_KEY})",
            found=f"none in {name}",
            hint="open it with open_model, which adds it",
        )
    with translated(ModelError, f"readable metadata {SPEC_KEY}", name):
        spec = load(VisionSpec, json.loads(entries[SPEC_KEY]))
        history = load(tuple[PassRecord, ...], json.loads(entries.get(HISTORY_KEY, "[]")))
    require_known(spec, name)
    return spec, history


def check_meaning(
    spec: VisionSpec, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], name: str
) -> None:
    """Refuse a spec that contradicts itself or the graph.

    Raises:
        ModelError: it does.
    """
    if not spec.class_names or head_of(spec.head).task != spec.task:
        found = f"a {spec.head} head for {spec.task} with {counted(len(spec.class_names), 'class')}"
        raise ModelError(
            "a spec with class names and a head of its task", found=f"{found} in {name}"
        )
    if not all(1 <= side <= MAX_SIDE for side in spec.input_size):
        raise ModelError(
            f"an input size of 1 to {MAX_SIDE} px", found=f"{spec.input_size} in {name}"
        )
    require_fit(spec, name)
    wanted = (*spec.input_size, 3)
    if (
        len(inputs) != 1
        or inputs[0].name != INPUT
        or inputs[0].dtype != "uint8"
        or inputs[0].shape[1:] != wanted
    ):
        raise ModelError(
            f"one input {INPUT!r}, uint8 (batch, {', '.join(map(str, wanted))})",
            found=f"{'; '.join(f'{i.name} {i.dtype} {i.shape}' for i in inputs) or 'none'} in "
            f"{name}",
            hint="open it with open_model, which puts the pre-processing into the graph",
        )
    shape = outputs[0].shape if outputs else ()
    if shape and not fits_shape(output_shape(spec), shape):
        raise ModelError(
            f"an output of a {spec.head} head with {counted(len(spec.class_names), 'class')}",
            found=f"shape {shape} in {name}",
            hint="give the class names that the model was trained with",
        )


def require_fit(spec: VisionSpec, name: str) -> None:
    """Refuse a resize that is too small for the crop, and options that the fit does not have.

    Raises:
        ModelError: the spec says one.
    """
    sides = (spec.resize, spec.resize) if isinstance(spec.resize, int) else spec.resize
    if sides and (
        spec.fit is not Fit.CENTER_CROP
        or any(a < b for a, b in zip(sides, _largest(spec), strict=True))
    ):
        raise ModelError(
            f"an image scaled to at least the {spec.input_size} that are cropped of it",
            found=f"resize {spec.resize} and fit {spec.fit} in {name}",
            hint="give a larger resize, or a smaller crop",
        )
    if spec.interpolation is not Interpolation.BILINEAR and spec.fit is Fit.LETTERBOX:
        raise ModelError(
            "a letterbox, which is bilinear",
            found=f"{spec.interpolation} in {name}",
            hint="leave interpolation out",
        )


def _largest(spec: VisionSpec) -> tuple[int, int]:
    """Return the (height, width) that a resize must cover.

    For a shorter side that is the input's longer one, twice.
    """
    return (max(spec.input_size),) * 2 if isinstance(spec.resize, int) else spec.input_size


def fits_shape(wanted: Sequence[int | str], shape: Sequence[int | str]) -> bool:
    """Tell whether two shapes are the same, free axes aside."""
    return len(shape) == len(wanted) and all(
        isinstance(want, str) or isinstance(have, str) or want == have
        for want, have in zip(wanted, shape, strict=True)
    )


def output_shape(spec: VisionSpec) -> tuple[int | str, ...]:
    """The shape of output 0 as the head defines it; strings are free axes."""
    shape: tuple[int | str, ...] = head_of(spec.head).shape(len(spec.class_names))
    return shape


def _settle_external(model: onnx.ModelProto, path: Path, allowed: bool) -> None:
    """Take up weights from other files, if allowed and if they lie in the model's own folder."""
    from onnx.external_data_helper import load_external_data_for_model

    places = _external_places(model)
    if not places:
        return
    if not allowed:
        raise ModelError(
            "an ONNX file that holds its own weights",
            found=f"{path.name} keeps them in {', '.join(places[:3])}",
            hint="open it with open_model, which takes them up",
        )
    _require_beside(path, places)
    load_external_data_for_model(model, str(path.parent.resolve()))


def _external_places(model: onnx.ModelProto) -> list[str]:
    """Return the paths, relative to its folder, at which a model says that it keeps weights."""
    import onnx

    external = [
        tensor for tensor in tensors(model) if tensor.data_location == onnx.TensorProto.EXTERNAL
    ]
    found = [
        {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
        for tensor in external
    ]
    return sorted(set(found))


def _require_beside(path: Path, places: Sequence[str]) -> tuple[Path, ...]:
    """The files of weights of a model, each of which must lie in its own folder or below.

    Raises:
        ModelError: one is missing, or lies elsewhere.
    """
    folder, files = path.parent.resolve(), []
    for place in places:
        file = (folder / place).resolve()
        inside = bool(place) and not Path(place).is_absolute() and ".." not in Path(place).parts
        if not inside or not file.is_relative_to(folder) or not file.is_file():
            raise ModelError(
                "weights in files beside the model",
                found=f"{path.name} keeps them in {place!r}"
                + (", where nothing is" if inside else ""),
                hint="put the .data file next to the model, or export into one file",
            )
        files.append(folder / place)
    return tuple(files)


def weight_files(path: Path) -> tuple[Path, ...]:
    """Return the other files that hold weights of an ONNX model.

    There are none where it holds its own, and none for any other file.

    Raises:
        ModelError: one is missing, or lies outside of the model's folder.
    """
    import onnx

    with open_regular(path) as file:
        start, size = file.read(2), os.fstat(file.fileno()).st_size
    first_is_ir_version = len(start) == 2 and start[0] == 8 and start[1] <= MAX_IR_VERSION
    if not first_is_ir_version or size >= MAX_BYTES:
        return ()
    try:
        places = _external_places(onnx.load(path, load_external_data=False))
    except Exception:  # whatever it is, it is no ONNX model that refers to others
        return ()
    return _require_beside(path, places)


def sha256_model(path: Path) -> str:
    """The sha256 of a model file; where it keeps weights in other files, of all of them together.

    Raises:
        ModelError: see `weight_files`.
    """
    others = weight_files(path)
    if not others:
        return sha256_file(path)
    folder = path.parent.resolve()
    parts = [[file.relative_to(folder).as_posix(), sha256_file(file)] for file in others]
    return sha256_json([sha256_file(path), *parts])
