"""The proof that a product computes what its original computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.backends.onnx_file import INPUT, precision_of, tensor_specs
from components.backends.onnxruntime import quiet_session
from components.backends.session import one_line
from components.contracts import Head, ModelArtifact, Precision, VisionSpec
from components.errors import ModelError, PassError
from components.optimize.meaning import Outputs

TIE = 1e-3  # scores closer than this, relative to the best, may swap places
_BOX = 4  # numbers of a box; a detector's scores follow them
MAX_ROWS = 300  # of an end-to-end detector that are looked for among the product's


@dataclass(frozen=True)
class NetworkForm:
    """How an ONNX network takes its input.

    Arguments:
        batch: the batch size that it is fixed to, or None.
        input_size: the (height, width) that it is fixed to, or None.
        channels_last: NHWC instead of NCHW.
        half: float16 instead of float32.
    """

    batch: int | None = None
    input_size: tuple[int, int] | None = None
    channels_last: bool = False
    half: bool = False


def form_of(model: Any, name: str) -> NetworkForm:
    """How an `onnx.ModelProto` takes its input.

    Raises:
        ModelError: its input is not that of an image model.
    """
    inputs, _ = tensor_specs(model)
    wanted = "one float input of shape (n, 3, height, width) or (n, height, width, 3)"
    described = "; ".join(f"{i.name} {i.dtype} {i.shape}" for i in inputs) or "none"
    if len(inputs) != 1 or inputs[0].dtype not in {"float32", "float16"} or len(inputs[0].shape) != 4:
        raise ModelError(wanted, found=f"{described} in {name}", mend="export the network alone")
    batch, *sides = inputs[0].shape
    channels_last = sides[0] != 3
    if channels_last and sides[2] != 3:
        raise ModelError(wanted, found=f"{described} in {name}", mend="export it with three fixed channels")
    height, width = sides[:2] if channels_last else sides[1:]
    return NetworkForm(
        batch=batch if isinstance(batch, int) else None,
        input_size=(height, width) if isinstance(height, int) and isinstance(width, int) else None,
        channels_last=channels_last,
        half=inputs[0].dtype == "float16",
    )


class OnnxNetwork:
    """An ONNX image model as it came, called with (n, 3, height, width) float32 whatever its own form.

    Arguments:
        model: the `onnx.ModelProto`.
        name: of its file, for errors.

    Raises:
        ModelError: its input is not that of an image model, or onnxruntime cannot load it.
    """

    def __init__(self, model: Any, name: str) -> None:
        self.form = form_of(model, name)
        self._session = quiet_session(model.SerializeToString())
        self._input = self._session.get_inputs()[0].name

    def __call__(self, batch: npt.NDArray[np.float32]) -> list[npt.NDArray[Any]]:
        """The outputs as float32; where the batch size is fixed, image by image, each repeated to fill it."""
        value = batch.transpose(0, 2, 3, 1) if self.form.channels_last else batch
        value = np.ascontiguousarray(value, np.float16 if self.form.half else np.float32)
        if self.form.batch is None:
            runs = [self._session.run(None, {self._input: value})]
        else:
            filled = [np.repeat(one[None], self.form.batch, axis=0) for one in value]
            runs = [[o[:1] for o in self._session.run(None, {self._input: images})] for images in filled]
        return [np.concatenate(outputs).astype(np.float32) for outputs in zip(*runs, strict=True)]


def noise(count: int, spec: VisionSpec) -> npt.NDArray[np.uint8]:
    """(count, height, width, 3) random pixels, the same in every run."""
    return np.random.default_rng(0).integers(0, 256, (count, *spec.input_size, 3), np.uint8)


def settle_outputs(model: Any, spec: VisionSpec, name: str, images: npt.NDArray[np.uint8]) -> Outputs:
    """Prove the batch axis of a model with ``images`` input free, and declare the output shapes seen.

    Arguments:
        model: the `onnx.ModelProto`; its declared outputs are changed.
        spec: what it means.
        name: of its file, for errors.
        images: (n ≥ 2, height, width, 3) uint8.

    Returns:
        The outputs for all images in one call.

    Raises:
        ModelError: a batch does not give what its images give one by one.
    """
    from onnx import helper

    session = quiet_session(model.SerializeToString())
    try:
        together = session.run(None, {INPUT: images})
        apart = zip(*(session.run(None, {INPUT: one[None]}) for one in images), strict=True)
        require_same([np.concatenate(outputs) for outputs in apart], together, spec.head, name, 1e-3)
    except Exception as error:
        raise ModelError(
            "a model that takes batches",
            found=f"{name}: {one_line(error)}",
            mend="export it again with a free batch axis (dynamic=True) and without built-in NMS",
        ) from error
    for value, output in zip(model.graph.output, together, strict=True):
        dtype = helper.np_dtype_to_tensor_dtype(output.dtype)
        value.CopyFrom(helper.make_tensor_value_info(value.name, dtype, ["batch", *output.shape[1:]]))
    return together  # type: ignore[no-any-return]


def require_same(expected: Outputs, found: Outputs, head: Head, name: str, tolerance: float) -> None:
    """Refuse outputs that are not the original's.

    Arguments:
        expected: the original's outputs.
        found: the product's.
        head: how output 0 is read; the others are not looked at.
        name: of the model, for the error.
        tolerance: largest difference allowed, relative to each channel's largest magnitude.

    Raises:
        PassError: the shapes or the numbers differ.
    """
    if expected[0].shape != found[0].shape:
        raise PassError(f"an output of shape {expected[0].shape} from {name}", found=str(found[0].shape))
    largest = deviation(expected[0], found[0], head)
    if not largest <= tolerance:
        raise PassError(
            f"outputs of {name} within {tolerance:g} of the original's",
            found=f"a difference of {largest:.2g}",
        )


def deviation(expected: npt.NDArray[Any], found: npt.NDArray[Any], head: Head) -> float:
    """Largest difference of two predictions, relative to each channel's largest magnitude; NaN if any is.

    Scores of a detector count as they are, in 0–1: a well-trained one gives random pixels scores of a millionth, whose
    last digits say nothing.
    The rows of an end-to-end detector are compared as a set, since equal scores may come in any order; rows whose
    score is as low as the last one's are left out, since the last bit may decide which of them make the list.
    """
    if head is Head.YOLO_END2END:
        pairs = zip(expected, found, strict=True)
        return max(_row_deviation(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in pairs)
    axes = (0, 2) if head is Head.YOLO else None
    scale = np.maximum(np.abs(expected).max(axis=axes, keepdims=True), 1e-9)
    if head is Head.YOLO:
        scale[:, _BOX:] = np.maximum(scale[:, _BOX:], 1.0)
    return float((np.abs(expected - found) / scale).max())


def _row_deviation(expected: npt.NDArray[np.float64], found: npt.NDArray[np.float64]) -> float:
    """The same for the (k, 6) rows of one image: how far the farthest row is from its nearest counterpart."""
    scale = np.maximum(np.abs(expected).max(axis=0), 1e-9)
    clear = expected[expected[:, _BOX] > expected[:, _BOX].min() + TIE * scale[_BOX]][:MAX_ROWS]
    scale[_BOX] = max(scale[_BOX], 1.0)
    scores = np.abs(np.sort(expected[:, _BOX]) - np.sort(found[:, _BOX])).max()
    distances = (np.abs(clear[:, None] - found[None]) / scale).max(axis=2).min(axis=1)
    return float(max(scores, distances.max(initial=0.0)))


def require_finite(model: Any, artifact: ModelArtifact, precision: Precision = Precision.FP16) -> None:
    """Refuse a lowered model that does not run, or whose outputs are not numbers of the original's shape.

    How much accuracy it costs is for the benchmark to measure on labelled images.

    Arguments:
        model: the product, an `onnx.ModelProto`.
        artifact: what it was made from.
        precision: what it must have become.

    Raises:
        PassError: it is no such model.
    """
    if precision_of(model) is not precision:
        raise PassError(
            f"an {precision.upper()} model",
            found=f"nothing in {artifact.path.name} that could be converted",
            mend=f"leave {precision.upper()} out for this model",
        )
    try:
        outputs = quiet_session(model.SerializeToString()).run(None, {INPUT: noise(2, artifact.spec)})
    except Exception as error:
        raise PassError("a product that runs", found=f"{artifact.path.name}: {one_line(error)}") from error
    for output, declared in zip(outputs, artifact.outputs, strict=True):
        if output.shape[1:] != declared.shape[1:] or output.dtype != declared.dtype or not np.isfinite(output).all():
            raise PassError(
                f"finite outputs of shape {declared.shape}, {declared.dtype}",
                found=f"{output.shape}, {output.dtype}, {np.isfinite(output).mean():.0%} finite",
                mend=f"leave {precision.upper()} out for this model",
            )
