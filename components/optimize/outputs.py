"""Kind of a classifier's output values, by its graph's last operator or the values themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from components.backends import get_backend
from components.contracts import ModelArtifact, Output, TensorSpec
from components.contracts.arrays import Array, Image
from components.errors import ModelError
from components.optimize.proof import SUM_SLACK
from components.vision import task_for
from components.vision.heads import head_of
from components.vision.heads.scores import Logits

if TYPE_CHECKING:
    import onnx
    import torch

RANGE_SLACK = 1e-3
_LOOKED_AT = 8  # real images

# Operators that leave what the numbers are as it is: those that move, round or average them.
_PASSING = frozenset(
    "Identity Reshape Flatten Squeeze Unsqueeze Transpose Cast CastLike Dropout Clip Relu "
    "QuantizeLinear "
    "DequantizeLinear AveragePool GlobalAveragePool ReduceMean".split()
)
_MEANINGS = {
    **dict.fromkeys(("Softmax", "QLinearSoftmax"), Output.SOFTMAX),
    **dict.fromkeys(("Sigmoid", "HardSigmoid", "QLinearSigmoid"), Output.SIGMOID),
    # The softmax of log-probabilities are the probabilities, so they are read as logits are.
    **dict.fromkeys(("Gemm", "MatMul", "Conv", "LogSoftmax"), Output.LOGITS),
}

_TORCH_PASSING = frozenset(
    "view reshape flatten squeeze unsqueeze contiguous to clone detach dropout dropout_ clamp relu "
    "relu_ mean type_as "
    "adaptive_avg_pool2d avg_pool2d".split()
)
_TORCH_MEANINGS = {
    **dict.fromkeys(("softmax", "_softmax"), Output.SOFTMAX),
    **dict.fromkeys(("sigmoid", "sigmoid_", "hardsigmoid"), Output.SIGMOID),
    **dict.fromkeys(("linear", "addmm", "matmul", "mm", "_convolution", "conv2d"), Output.LOGITS),
    **dict.fromkeys(("log_softmax", "_log_softmax"), Output.LOGITS),
}


def output_of_graph(model: onnx.ModelProto) -> Output | None:
    """Determine a classifier's output kind by the last operator before output 0 of a `ModelProto`.

    None where the graph does not tell, as for a softmax that is spelled out as exponential, sum and
    division.
    """
    from onnx.inliner import inline_local_functions

    model = inline_local_functions(model) if model.functions else model
    constants = {tensor.name for tensor in model.graph.initializer}
    constants |= {node.output[0] for node in model.graph.node if node.op_type == "Constant"}
    producers = {output: node for node in model.graph.node for output in node.output}
    node = producers.get(model.graph.output[0].name) if model.graph.output else None
    while node is not None and node.op_type not in _MEANINGS:
        followed = [value for value in node.input if value not in constants]
        # a layer's bias
        biased = node.op_type == "Add" and len(followed) == 1 and len(node.input) == 2
        if node.op_type not in _PASSING and not biased:
            return None
        node = producers.get(followed[0]) if followed else None
    return _MEANINGS[node.op_type] if node is not None else None


def output_of_torchscript(module: torch.jit.ScriptModule) -> Output | None:
    """The same of a TorchScript module; None where its graph does not tell."""
    results = list(module.inlined_graph.outputs())
    node = results[0].node() if results else None
    while node is not None:
        operator = node.kind().removeprefix("aten::")
        if operator in _TORCH_MEANINGS:
            return _TORCH_MEANINGS[operator]
        inputs = list(node.inputs())
        if not inputs or (
            operator not in _TORCH_PASSING and node.kind() not in {"prim::TupleConstruct"}
        ):
            return None
        node = inputs[0].node()
    return None


def settle_output(said: Output | None, rows: Array, name: str) -> Output:
    """Check what is said of a classifier's numbers by the numbers, or else see it from them.

    Arguments:
        said: by the graph, by metadata or by the user; None where nobody says.
        rows: (n, classes), what the classifier gives for n images that differ widely.
        name: of its file, for errors.

    Raises:
        ModelError: the numbers are others than what is said, or nothing is said and they could be
            several things.
    """
    classes = rows.shape[1]
    if not np.isfinite(rows).all():
        raise ModelError(
            "finite outputs",
            found=f"a NaN or an infinity from {name}",
            hint="export the model again",
        )
    within = bool((rows >= -RANGE_SLACK).all() and (rows <= 1 + RANGE_SLACK).all())
    whole = within and bool((np.abs(rows.sum(axis=1, dtype=np.float64) - 1) <= SUM_SLACK).all())
    if said is None:
        said = Output.SOFTMAX if whole else Output.LOGITS
        if within and not whole:
            found = f"{_described(rows)} in {name}"
            raise ModelError(f"to know what the outputs of {name} are", found=found, hint=_CHOICES)
    if classes == 1 and head_of(said.head).exclusive:
        raise ModelError(
            "one output a class",
            found=f"one number an image from {name}, of which a softmax is always 1",
            hint="export a classifier of two classes with two outputs, p and 1 − p; one class that "
            "is there or not "
            "is output: sigmoid (or sigmoid_logits)",
        )
    wrong = {
        Output.SOFTMAX: not whole,
        Output.SIGMOID: not within,
        Output.LOGITS: whole and classes > 1,
    }
    if wrong.get(said, False):
        raise ModelError(
            f"outputs of {name} that are {_WORDS[said]}", found=_described(rows), hint=_CHOICES
        )
    return said


_WORDS = {
    Output.LOGITS: "logits, to which a softmax is still to be applied",
    Output.SOFTMAX: "probabilities that sum to 1",
    Output.SIGMOID: "scores between 0 and 1",
}
_CHOICES = Logits.remedy


def _described(rows: Array) -> str:
    sums = rows.sum(axis=1, dtype=np.float64)
    lowest, highest = float(rows.min()), float(rows.max())
    return (
        f"numbers from {lowest:.3g} to {highest:.3g} whose rows sum to {sums.min():.3g} to "
        f"{sums.max():.3g}"
    )


def require_scores(outputs: Sequence[TensorSpec], name: str) -> None:
    """Refuse class ids in place of scores.

    Raises:
        ModelError: the first output is of whole numbers.
    """
    if outputs and outputs[0].dtype.startswith(("int", "uint", "bool")):
        raise ModelError(
            "scores, one a class",
            found=f"class ids, {outputs[0].dtype} {outputs[0].shape}, as the first output of "
            f"{name}",
            hint="export the model without its final ArgMax: accuracy, confidence and drift need "
            "the scores",
        )


def require_sound(artifact: ModelArtifact, images: Sequence[Image]) -> None:
    """Refuse a model whose outputs on real images are not those of its head.

    Random images show less: a detector finds nothing in them, and an end-to-end one fills its rows
    with zeros.

    Arguments:
        artifact: an ONNX model with its pre-processing inside.
        images: (height, width, 3) uint8 BGR model inputs; some of them, spread over all, are looked
            at.

    Raises:
        ModelError: scores beyond 0–1, probabilities that do not sum to 1, class ids that are no
            whole numbers of known classes, or numbers that are not finite.
    """
    count = min(_LOOKED_AT, len(images))
    chosen = [images[index * len(images) // count] for index in range(count)]
    task = task_for(artifact.spec)
    with get_backend("onnxruntime").open(artifact, device="cpu", threads=0) as session:
        outputs = [session.run(image[None]) for image in chosen]
    head = head_of(artifact.spec.head)
    unsound = sum(
        not task.valid_outputs(found)[0] or not head.is_read_right(found[0]) for found in outputs
    )
    if unsound:
        raise ModelError(
            f"outputs of a {artifact.spec.head} head on real images",
            found=f"others from {artifact.path.name} for {unsound} of {len(chosen)}",
            hint=head.remedy,
        )
