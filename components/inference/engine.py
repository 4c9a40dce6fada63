"""Calls of the engine in batches, so that an image on which it fails costs only itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.backends import Session, get_backend
from components.contracts import ImageFrame, Prediction, Variant
from components.errors import FovealError, ModelError
from components.vision import VisionTask, task_for

_LOG = logging.getLogger(__name__)

# the model's input (height, width, 3) BGR, and how it was fitted
Fitted = tuple[npt.NDArray[np.uint8], ImageFrame]


@dataclass(frozen=True)
class Outcome:
    """Result for one image of a batch; exactly one of `prediction` and `error` is set.

    Arguments:
        prediction: in pixels of the original image.
        error: why there is none.
        inference_ms: this image's share of the engine call.
        postprocess_ms: its share of decoding the outputs.
        embedding: what the model's backbone saw, (c,) float32; None if the model does not say, or
            not in finite numbers.
    """

    prediction: Prediction | None
    error: Exception | None
    inference_ms: float
    postprocess_ms: float
    embedding: npt.NDArray[np.float32] | None = None


def open_model(model: Variant, *, device: str, threads: int) -> tuple[Session, VisionTask]:
    """Open a model's file on its backend, for the caller to close, and make its task.

    Raises:
        ModelError: it cannot be opened.
        UnavailableError: the backend or the device is not here.
    """
    task = task_for(model.artifact.spec, confidence=model.confidence, iou=model.iou)
    return get_backend(model.backend).open(model.artifact, device=device, threads=threads), task


def predict_inputs(
    session: Session, task: VisionTask, inputs: Sequence[Fitted], *, embedding: int | None = None
) -> list[Outcome]:
    """Run fitted images as one batch; if it fails, one by one, so that only the bad image fails.

    Arguments:
        session: the open model.
        task: what its outputs mean; it fitted the images.
        inputs: the images.
        embedding: which output is the embedding; None keeps none.

    Returns:
        One outcome for each input, in order. Whatever the engine raises is kept in the outcome.
    """
    if not inputs:
        return []
    started = time.perf_counter()
    try:
        return _call(session, task, inputs, embedding)
    except Exception as error:
        # engines raise exceptions of many kinds, and any of them may be one image's fault
        if len(inputs) == 1:
            return [Outcome(None, error, (time.perf_counter() - started) * 1e3, 0.0)]
        _LOG.warning(
            "a batch of %d failed and is run image by image: %s", len(inputs), describe(error)
        )
    return [
        outcome
        for one in inputs
        for outcome in predict_inputs(session, task, [one], embedding=embedding)
    ]


def _call(
    session: Session, task: VisionTask, inputs: Sequence[Fitted], embedding: int | None
) -> list[Outcome]:
    started = time.perf_counter()
    outputs = session.run(np.stack([image for image, _ in inputs]))
    ran = time.perf_counter()
    if not task.valid_outputs(outputs).all():
        # NaN compares false with every threshold: the image would look empty instead of failed
        raise ModelError(
            "outputs that are finite and in range",
            found="NaN, an infinity or scores beyond 0–1",
            hint="compare the model file with its unquantized original, on this image",
        )
    predictions = task.postprocess(outputs, [frame for _, frame in inputs])
    finished = time.perf_counter()
    inference_ms = (ran - started) * 1e3 / len(inputs)
    postprocess_ms = (finished - ran) * 1e3 / len(inputs)
    seen = (
        [None] * len(inputs)
        if embedding is None
        else [_whole(vector) for vector in outputs[embedding]]
    )
    return [
        Outcome(prediction, None, inference_ms, postprocess_ms, vector)
        for prediction, vector in zip(predictions, seen, strict=True)
    ]


def _whole(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
    """Copy a vector, so that no batch is kept for a row; None if a number is NaN or infinite."""
    return vector.copy() if np.isfinite(vector).all() else None


def describe(error: BaseException) -> str:
    """One line about a failure, for a table or a log."""
    line = str(error) if isinstance(error, FovealError) else f"{type(error).__name__}: {error}"
    return " ".join(line.split())
