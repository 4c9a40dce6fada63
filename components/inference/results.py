"""Predictions as callers get them: named, timed and ready for JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from components.contracts import Prediction

Metadata = Mapping[str, Any]  # the caller's own values


class Cause(StrEnum):
    """Step at which an image failed."""

    IMAGE = "image"  # it cannot be read, or is no picture
    MODEL = "model"  # the engine fails on it, or its output is not sound
    POSTPROCESSING = "postprocessing"  # a function of the caller's own fails on it
    OVERLOAD = "overload"  # it was passed over, as others were waiting


@dataclass(frozen=True, eq=False)
class Item:
    """One detected object, or one of the most probable classes of an image.

    Arguments:
        class_id: index into the model's class names.
        class_name: its name.
        confidence: in 0–1.
        box: left, top, right, bottom in pixels of the original image; None for a classification.
        mask: (height, width) bool, or None.
        values: what else its task says of it, by name, such as a count.
    """

    class_id: int
    class_name: str
    confidence: float
    box: tuple[float, float, float, float] | None = None
    mask: npt.NDArray[np.bool_] | None = None
    values: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values; a mask becomes COCO's run lengths, see `run_lengths`."""
        values: dict[str, object] = {
            "class_id": self.class_id,
            "class_name": self.class_name,
            "confidence": self.confidence,
            **self.values,
        }
        if self.box is not None:
            values["box"] = list(self.box)
        if self.mask is not None:
            values["mask"] = run_lengths(self.mask)
        return values


@dataclass(frozen=True, eq=False)
class PredictionResult:
    """Prediction of the pipeline for one image, or the reason why there is none.

    Arguments:
        image_id: as the caller named the image.
        prediction: what the models found; None when `error` says why not.
        class_names: index is class id.
        ms: processing time: reading and pre-processing, and this image's share of the batch that it
            went through.
        metadata: the caller's own, handed through.
        error: empty when all went well.
        cause: step at which it failed; None when all went well.
        models: names of the models whose predictions it was made of.
    """

    image_id: str
    prediction: Prediction | None
    class_names: tuple[str, ...]
    ms: float
    metadata: Metadata = field(default_factory=dict)
    error: str = ""
    cause: Cause | None = None
    models: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Tell whether there is a prediction."""
        return self.prediction is not None

    @property
    def items(self) -> tuple[Item, ...]:
        """Objects or most probable classes, as `items_of` lists them; none for a failed image."""
        return () if self.prediction is None else items_of(self.prediction, self.class_names)

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values, apart from what the caller put into `metadata`."""
        return {
            "image_id": self.image_id,
            "items": [item.to_dict() for item in self.items],
            "ms": self.ms,
            "metadata": dict(self.metadata),
            "error": self.error,
            "cause": self.cause,
            "models": list(self.models),
        }

    def to_json(self) -> str:
        """As one line of JSON; metadata that JSON does not know is written as text."""
        return json.dumps(self.to_dict(), default=str)


def items_of(prediction: Prediction, class_names: tuple[str, ...]) -> tuple[Item, ...]:
    """List a prediction's detections in their own order, or its five most probable classes.

    Arguments:
        prediction: of one image.
        class_names: index is class id.
    """
    return tuple(
        Item(k, class_names[k], score, box, mask, dict(values))
        for k, score, box, mask, values in prediction.named()
    )


def run_lengths(mask: npt.NDArray[np.bool_]) -> dict[str, list[int]]:
    """A mask in COCO's uncompressed run-length encoding, https://cocodataset.org/#format-data.

    Arguments:
        mask: (height, width) bool.

    Returns:
        ``size`` [height, width] and ``counts``: lengths of alternating runs down the columns, the
        first of them False.
    """
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist()
    if flat.size and flat[0]:
        counts.insert(0, 0)
    return {"size": list(mask.shape), "counts": counts}
