"""Pre-processing as graph nodes, which backends, bundles and benchmarks share by construction."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from components.backends.onnx_file import INPUT, read_onnx, save_onnx
from components.backends.onnx_graph import precision_of, replace_items
from components.contracts import Format, ModelArtifact, PassRecord, Precision, VisionSpec
from components.contracts.arrays import Array, Floats32, Image
from components.errors import ModelError, PassError
from components.optimize.context import PassContext, product_path, require
from components.optimize.graph.batch_axis import fix_batch_axis, free_batch_axis
from components.optimize.graph.features import add_embedding
from components.optimize.graph.structure import PREFIX
from components.optimize.graph.tidy import rename_values, tidy
from components.optimize.meaning import UNIT, Network, Normalisation
from components.optimize.opening.ultralytics_export import has_nms
from components.optimize.proof import Proof, assumption, prove_on, record_of
from components.optimize.verify import NetworkForm, OnnxNetwork, require_batches, require_singles

if TYPE_CHECKING:
    import onnx


def network_input(images: Image, normalisation: Normalisation) -> Floats32:
    """Compute the embedded nodes' result in NumPy, as the reference to check the graph against.

    Arguments:
        images: (n, height, width, 3) uint8 BGR.
        normalisation: what the network expects.

    Returns:
        (n, 3, height, width) float32 RGB.
    """
    pixels = images[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    mean, std = (
        np.array(values, np.float32).reshape(1, 3, 1, 1)
        for values in (normalisation.mean, normalisation.std)
    )
    return np.ascontiguousarray((pixels - mean) / std)


def prepend_preprocessing(
    model: onnx.ModelProto,
    spec: VisionSpec,
    normalisation: Normalisation,
    *,
    channels_last: bool,
    batch: int | str = "batch",
) -> None:
    """Replace a tidy `onnx.ModelProto`'s float input by ``images``, uint8 BGR, and nodes between.

    The order is measured: swapping channels as whole planes after the transposition costs 1.5 ms at
    640 px on onnxruntime, swapping them pixel by pixel before it 10 to 20. The cast comes first
    because TensorRT allows uint8 nowhere else.

    Arguments:
        model: changed in place.
        spec: what it means.
        normalisation: what the network expects.
        channels_last: the network takes NHWC.
        batch: the name of a free batch axis, or 1.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    rename_values(model, {INPUT: f"{PREFIX}renamed", graph.input[0].name: f"{PREFIX}input"})
    steps: list[tuple[str, list[Array], dict[str, Any]]] = [
        ("Cast", [], {"to": TensorProto.FLOAT}),
        ("Transpose", [], {"perm": [0, 3, 1, 2]}),
        ("Gather", [np.array([2, 1, 0], np.int64)], {"axis": 1}),
        ("Div", [np.array(255, np.float32)], {}),
    ]
    if normalisation != UNIT:
        steps.append(("Sub", [np.array(normalisation.mean, np.float32).reshape(1, 3, 1, 1)], {}))
        steps.append(("Div", [np.array(normalisation.std, np.float32).reshape(1, 3, 1, 1)], {}))
    if channels_last:
        steps.append(("Transpose", [], {"perm": [0, 2, 3, 1]}))
    nodes, value = [], INPUT
    for number, (operator, constants, attributes) in enumerate(steps):
        name = f"{PREFIX}{number}_{operator}"
        inputs = [value, *(f"{name}_constant" for _ in constants)]
        graph.initializer.extend(
            numpy_helper.from_array(constant, f"{name}_constant") for constant in constants
        )
        value = f"{PREFIX}input" if number == len(steps) - 1 else f"{name}_output"
        nodes.append(helper.make_node(operator, inputs, [value], name=name, **attributes))
    replace_items(graph.node, [*nodes, *graph.node])
    images = helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [batch, *spec.input_size, 3])
    replace_items(graph.input, [images])


def embed(
    model: onnx.ModelProto,
    artifact: ModelArtifact,
    normalisation: Normalisation,
    network: Network,
    form: NetworkForm,
    context: PassContext,
) -> tuple[onnx.ModelProto, Proof, str]:
    """Turn a network's ONNX export into a Foveal model, and prove that it still computes the same.

    The batch axis is freed where a whole batch of calibration images then gives what its images
    give one by one. Where it does not, as with built-in NMS or with sizes that an exporter wrote
    into the graph, the product takes one image a call, and every session calls it image by image.

    Arguments:
        model: the export, an `onnx.ModelProto` with a float image input; not changed.
        artifact: what the network was opened from: its name and meaning.
        normalisation: what the network expects.
        network: the original, which the product is compared with.
        form: how the export takes its input.
        context: the images to compare them on, and the largest batch that will be used.

    Returns:
        The product, which besides the prediction gives an embedding (see `add_embedding`), what it
        was proved on, and why it is called image by image, or an empty string.

    Raises:
        PassError: the product's outputs differ from the original's.
        ModelError: the product does not run.
    """
    name, spec = artifact.path.name, artifact.spec
    plain = tidy(model, name)
    # its own arithmetic is no better than that
    tolerance = 2e-2 if precision_of(model) is Precision.FP16 else 1e-3
    proof = prove_on(
        context.calibration,
        spec,
        lambda image: network(network_input(image, normalisation)),
        context.batch,
    )
    product, reason = deepcopy(plain), ""
    try:
        free_batch_axis(product, form.batch)
        prepend_preprocessing(product, spec, normalisation, channels_last=form.channels_last)
        require_batches(product, spec, proof, name, tolerance)
    except (ModelError, PassError) as error:
        product, reason = deepcopy(plain), why_one_by_one(error, len(proof.images), form.batch)
        fix_batch_axis(product, form.batch)
        prepend_preprocessing(
            product, spec, normalisation, channels_last=form.channels_last, batch=1
        )
        require_singles(product, spec, proof, name, tolerance)
    add_embedding(
        product,
        spec.task,
        proof.images[:1] if reason else proof.images,
        batch=1 if reason else "batch",
    )
    return product, proof, reason


def why_one_by_one(error: ModelError | PassError, batch: int, exported: int | None) -> str:
    """Say why a model is called image by image, for people."""
    if isinstance(error, PassError):
        reason = f"{batch} images in one call do not give what they give one by one"
    else:
        reason = f"its graph does not run with {batch} images in one call"
    if exported is not None and exported > 1:
        reason += (
            f"; each image fills the {exported} places that it was exported with, at "
            f"{exported} times the cost"
        )
    return reason


@dataclass(frozen=True)
class EmbedPreprocessing:
    """Take an ONNX model with a float image input and put the pre-processing inside.

    Arguments:
        normalisation: what the network expects of RGB in 0–1.
        stated: the file or the user says what a classifier's outputs are.
    """

    normalisation: Normalisation = UNIT
    stated: bool = True
    name: ClassVar[str] = "embed_preprocessing"
    accepts: ClassVar[frozenset[Format]] = frozenset({Format.ONNX})
    produces: ClassVar[Format] = Format.ONNX

    def apply(self, artifact: ModelArtifact, context: PassContext) -> ModelArtifact:
        require(artifact, self)
        original = read_onnx(artifact.path, outside=True)
        network = OnnxNetwork(original, artifact.path.name)
        model, proof, reason = embed(
            original, artifact, self.normalisation, network, network.form, context
        )
        origin: dict[str, object] = {
            "widened_from": precision_of(original).value,
            "source_sha256": artifact.sha256,
        }
        if has_nms({entry.key: entry.value for entry in original.metadata_props}):
            origin["built_in_nms"] = True
        if not self.stated:
            origin |= assumption(proof, artifact.spec)
        record = PassRecord(
            self.name, asdict(self.normalisation) | origin | record_of(proof, reason)
        )
        target = product_path(artifact, context, "fp32.onnx")
        return save_onnx(model, target, artifact.spec, (*artifact.history, record))
