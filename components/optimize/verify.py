"""The proof that a product computes what its original computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from components.backends.onnx_file import INPUT
from components.backends.onnx_graph import precision_of, tensor_specs
from components.backends.onnxruntime import quiet_session, run_within
from components.backends.session import LIMIT_S, free_batch, one_line, translated
from components.contracts import ImageFrame, ModelArtifact, Precision, TensorSpec, VisionSpec
from components.contracts.arrays import Array, Floats32, Outputs
from components.errors import ModelError, PassError
from components.optimize.context import PassContext
from components.optimize.proof import Proof, one_by_one, prove_on
from components.vision import task_for, task_kind
from components.vision.agreement import agreement
from components.vision.heads import head_of

if TYPE_CHECKING:
    import onnx

# share of predictions that must be the same where sums in another order flip some of them
AGREEING = 0.98
AGREEING_LOWERED = 0.9  # the same of a lowered model, in a batch and alone
# times the tolerance that the boxes and scores of a detector may differ where its predictions are
# the same
NOISE = 20


@dataclass(frozen=True)
class NetworkForm:
    """Form of an ONNX network's input.

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


def form_of(model: onnx.ModelProto, name: str) -> NetworkForm:
    """Return the form of an `onnx.ModelProto`'s input.

    Raises:
        ModelError: its input is not that of an image model.
    """
    inputs, _ = tensor_specs(model)
    wanted = "one float input of shape (n, 3, height, width) or (n, height, width, 3)"
    described = "; ".join(f"{i.name} {i.dtype} {i.shape}" for i in inputs) or "none"
    if (
        len(inputs) != 1
        or inputs[0].dtype not in {"float32", "float16"}
        or len(inputs[0].shape) != 4
    ):
        raise ModelError(wanted, found=f"{described} in {name}", hint="export the network alone")
    batch, *sides = inputs[0].shape
    channels_last = sides[0] != 3
    if channels_last and sides[2] != 3:
        raise ModelError(
            wanted, found=f"{described} in {name}", hint="export it with three fixed channels"
        )
    height, width = sides[:2] if channels_last else sides[1:]
    return NetworkForm(
        batch=batch if isinstance(batch, int) else None,
        input_size=(height, width) if isinstance(height, int) and isinstance(width, int) else None,
        channels_last=channels_last,
        half=inputs[0].dtype == "float16",
    )


class OnnxNetwork:
    """ONNX image model as it came, called with (n, 3, height, width) float32 whatever its own form.

    Arguments:
        model: the `onnx.ModelProto`.
        name: of its file, for errors.
        limit_s: how long one image may take, times the batch that the model is fixed to.

    Raises:
        ModelError: its input is not that of an image model, or onnxruntime cannot load it.
    """

    def __init__(self, model: onnx.ModelProto, name: str, *, limit_s: float = LIMIT_S) -> None:
        self.form = form_of(model, name)
        self._limit_s = limit_s * (self.form.batch or 1)
        self._session = quiet_session(model.SerializeToString())
        self._input = self._session.get_inputs()[0].name

    def __call__(self, batch: Floats32) -> list[Array]:
        """The outputs as float32, image by image: a fixed batch is filled by repeating the image.

        An original is what it says of single images: whether a batch gives the same is to be
        proved, not assumed.

        Raises:
            ModelError: it does not end.
        """
        value = batch.transpose(0, 2, 3, 1) if self.form.channels_last else batch
        value = np.ascontiguousarray(value, np.float16 if self.form.half else np.float32)
        filled = [np.repeat(one[None], self.form.batch or 1, axis=0) for one in value]
        runs = [
            [o[:1] for o in run_within(self._session, {self._input: images}, self._limit_s)]
            for images in filled
        ]
        return [np.concatenate(outputs).astype(np.float32) for outputs in zip(*runs, strict=True)]


def require_batches(
    model: onnx.ModelProto, spec: VisionSpec, proof: Proof, name: str, tolerance: float
) -> None:
    """Prove that a model with a free batch axis agrees with the original on a whole batch.

    Arguments:
        model: the `onnx.ModelProto`; its declared outputs are changed to the shapes seen.
        spec: what it means.
        proof: the batch.
        name: of its file, for errors.
        tolerance: see `require_same`.

    Raises:
        ModelError: onnxruntime cannot run it, with a batch or with single images, or it does not
            end.
        PassError: other outputs than the original's.
    """
    session = quiet_session(model.SerializeToString())
    with translated(ModelError, "a graph that takes any number of images", name):
        together = run_within(session, {INPUT: proof.images}, LIMIT_S * len(proof.images))
        alone = run_within(session, {INPUT: proof.images[-1:]}, LIMIT_S)
    _require_equivalent(proof.expected, together, spec, name, tolerance)
    _require_equivalent([output[-1:] for output in proof.expected], alone, spec, name, tolerance)
    _declare_outputs(model, together, "batch")


def require_singles(
    model: onnx.ModelProto, spec: VisionSpec, proof: Proof, name: str, tolerance: float
) -> None:
    """Prove that a model of one image a call agrees with the original; see `require_batches`."""
    session = quiet_session(model.SerializeToString())
    with translated(ModelError, "a model that runs on one image", name):
        found = one_by_one(lambda image: run_within(session, {INPUT: image}, LIMIT_S), proof.images)
    _require_equivalent(proof.expected, found, spec, name, tolerance)
    _declare_outputs(model, found, 1)


def _declare_outputs(model: onnx.ModelProto, seen: Outputs, batch: int | str) -> None:
    from onnx import helper

    for value, output in zip(model.graph.output, seen, strict=True):
        dtype = helper.np_dtype_to_tensor_dtype(output.dtype)
        value.CopyFrom(helper.make_tensor_value_info(value.name, dtype, [batch, *output.shape[1:]]))


def _require_equivalent(
    expected: Outputs, found: Outputs, spec: VisionSpec, name: str, tolerance: float
) -> None:
    """Refuse outputs other than the original's, unless a detector's predictions are still the same.

    Two libraries sum in different orders. A threshold or NMS inside of a graph makes a row of that,
    and a network that amplifies it more than the tolerance.

    Raises:
        PassError: see `require_same`.
    """
    try:
        require_same(expected, found, spec.head, name, tolerance)
    except PassError:
        whole = expected[0].shape == found[0].shape and np.isfinite(found[0]).all()
        if not whole or not task_kind(spec.task).finds_objects:
            raise
        near = (
            head_of(spec.head).ranked
            or deviation(expected[0], found[0], spec.head) <= NOISE * tolerance
        )
        if not near or not agree(expected, found, spec, AGREEING):
            raise


def require_same(expected: Outputs, found: Outputs, head: str, name: str, tolerance: float) -> None:
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
        raise PassError(
            f"an output of shape {expected[0].shape} from {name}", found=str(found[0].shape)
        )
    largest = deviation(expected[0], found[0], head)
    if not largest <= tolerance:
        raise PassError(
            f"outputs of {name} within {tolerance:g} of the original's",
            found=f"a difference of {largest:.2g}",
        )


def deviation(expected: Array, found: Array, head: str) -> float:
    """Return the largest difference of two outputs, as their head counts it; NaN if any is."""
    return float(head_of(head).deviation(expected, found))


def require_lowered(
    model: onnx.ModelProto,
    artifact: ModelArtifact,
    context: PassContext,
    precision: Precision,
    *,
    limit_s: float = LIMIT_S,
) -> None:
    """Refuse a lowered model that does not run, gives no numbers, or differs on images in a batch.

    It is tried on the calibration images on which the original finds something, at the largest
    batch that will be used. How much accuracy it costs is for the benchmark to measure on labelled
    images.

    Arguments:
        model: the product, an `onnx.ModelProto`.
        artifact: what it was made from.
        context: of the pass.
        precision: what it must have become.
        limit_s: how long one image may take.

    Raises:
        PassError: it is no such model.
    """
    hint = f"leave {precision.upper()} out for this model"
    if precision_of(model) is not precision:
        found = f"nothing in {artifact.path.name} that could be converted"
        raise PassError(f"an {precision.upper()} model", found=found, hint=hint)
    original = quiet_session(artifact.path)
    proof = prove_on(
        context.calibration,
        artifact.spec,
        lambda image: run_within(original, {INPUT: image}, limit_s),
        context.batch,
    )
    try:
        session = quiet_session(model.SerializeToString())
        alone = one_by_one(lambda image: run_within(session, {INPUT: image}, limit_s), proof.images)
        together = alone
        if free_batch(artifact):
            together = run_within(session, {INPUT: proof.images}, limit_s * len(proof.images))
    except Exception as error:
        raise PassError(
            "a product that runs", found=f"{artifact.path.name}: {one_line(error)}"
        ) from error
    _require_declared((*together, *alone), artifact.outputs * 2, hint)
    if agree(alone, together, artifact.spec, AGREEING_LOWERED) is False:
        # None: the benchmark shows that it fails
        raise PassError(
            f"a batch of {len(proof.images)} that gives what its images give one by one",
            found=f"other predictions from {artifact.path.name} in {precision.upper()}",
            hint=hint,
        )


def _require_declared(outputs: Sequence[Array], declared: Sequence[TensorSpec], hint: str) -> None:
    for output, wanted in zip(outputs, declared, strict=True):
        if (
            output.shape[1:] != wanted.shape[1:]
            or output.dtype != wanted.dtype
            or not np.isfinite(output).all()
        ):
            raise PassError(
                f"finite outputs of shape {wanted.shape}, {wanted.dtype}",
                found=f"{output.shape}, {output.dtype}, {np.isfinite(output).mean():.0%} finite",
                hint=hint,
            )


def agree(expected: Outputs, found: Outputs, spec: VisionSpec, share: float) -> bool | None:
    """Tell whether outputs mean the same predictions, but for flips by last-digit rounding.

    Of every image at least half of the predictions must have a counterpart, and of all images a
    share of `share`. None where the outputs cannot be decoded.
    """
    task, frame = (
        task_for(spec),
        ImageFrame(spec.input_size[1], spec.input_size[0], 1.0, 1.0, 0.0, 0.0),
    )
    try:
        one, other = (
            task.postprocess(outputs, [frame] * len(outputs[0])) for outputs in (expected, found)
        )
    except ModelError:
        return None
    counts = [agreement([a], [b]) for a, b in zip(one, other, strict=True)]
    matched, total = (sum(column) for column in zip(*counts, strict=True))
    return matched >= share * total and all(2 * known >= every for known, every in counts)
