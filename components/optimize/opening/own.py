"""Foveal's own ONNX files, taken as they are.

But what a graph says of a whole batch is proved, not believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.backends.onnx_file import INPUT, read_onnx, save_onnx
from components.backends.onnxruntime import quiet_session, run_within
from components.backends.session import LIMIT_S, free_batch
from components.contracts import ModelArtifact, PassRecord, Precision
from components.contracts.arrays import Image, Outputs
from components.errors import ModelError, PassError
from components.optimize.context import PassContext, product_path
from components.optimize.opening.embed import why_one_by_one
from components.optimize.proof import prove_on, record_of
from components.optimize.verify import require_batches, require_singles

if TYPE_CHECKING:
    import onnx


def prove_own(artifact: ModelArtifact, context: PassContext) -> ModelArtifact:
    """Run a file, and take its free batch axis away where a batch differs from its single images.

    Arguments:
        artifact: as the file describes itself.
        context: the images to try it on, and the largest batch that will be used.

    Returns:
        The same artifact, or one whose batch axis is 1; its history says why.

    Raises:
        ModelError: it does not run.
    """
    session, spec, name = quiet_session(artifact.path), artifact.spec, artifact.path.name

    def alone(image: Image) -> Outputs:
        return run_within(session, {INPUT: image}, LIMIT_S)

    proof = prove_on(context.calibration, spec, alone, context.batch)
    if not free_batch(artifact):
        return artifact
    # its own arithmetic is no better than that
    tolerance = 1e-3 if artifact.precision is Precision.FP32 else 2e-2
    model: onnx.ModelProto = read_onnx(artifact.path)
    try:
        require_batches(model, spec, proof, name, tolerance)
    except (ModelError, PassError) as error:
        reason = why_one_by_one(error, len(proof.images), None)
    else:
        return artifact
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    batch.dim_value = 1
    del model.graph.value_info[:]
    require_singles(model, spec, proof, name, tolerance)
    record = PassRecord(
        "take_single_images", {"source_sha256": artifact.sha256} | record_of(proof, reason)
    )
    target = product_path(artifact, context, f"{artifact.precision}.onnx")
    return save_onnx(model, target, spec, (*artifact.history, record))
