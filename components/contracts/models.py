"""Models: what they are, what they take and give, and the file that holds one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from components.contracts.runs import EMBEDDING

BATCH = 8  # images in one call of an engine, where nothing else is asked for


class Format(StrEnum):
    """Format of a model file."""

    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"
    TORCH = "torch"


class Precision(StrEnum):
    """The number type that most of the model's arithmetic uses."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class Fit(StrEnum):
    """Method of fitting an image to the model's input size."""

    LETTERBOX = "letterbox"  # keep the aspect ratio, pad with grey 114
    STRETCH = "stretch"  # ignore the aspect ratio
    CENTER_CROP = "center_crop"  # scale the shorter side, cut the middle


class Interpolation(StrEnum):
    """Resampling of an image that is stretched or cropped; both are antialiased, as in Pillow."""

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


class Output(StrEnum):
    """Kind of a classifier's output values, one a class."""

    LOGITS = "logits"  # any number; a softmax makes them probabilities
    SOFTMAX = "softmax"  # probabilities, 0–1, that sum to 1
    SIGMOID = "sigmoid"  # scores, each 0–1 by itself (multi-label)
    SIGMOID_LOGITS = "sigmoid_logits"  # any number; a sigmoid makes each a score by itself

    @property
    def head(self) -> str:
        """Name of the head that reads such numbers."""
        return "probabilities" if self is Output.SOFTMAX else self.value


@dataclass(frozen=True)
class VisionSpec:
    """Meaning of a model's input and output: it travels inside the file and is never guessed later.

    Arguments:
        task: its name in `TASKS`, such as detect.
        class_names: index is class id.
        input_size: (height, width) in pixels of the model's input.
        fit: how an image is brought to that size.
        head: its name in `HEADS`: how the first output is read.
        resize: what an image is scaled to before its centre is cropped: the length of its shorter
            side in pixels, or (height, width); None scales it to what just covers the input.
        interpolation: of stretching and cropping; a letterbox is bilinear without antialiasing, as
            YOLO trains.
    """

    task: str
    class_names: tuple[str, ...]
    input_size: tuple[int, int]
    fit: Fit
    head: str
    resize: int | tuple[int, int] | None = None
    interpolation: Interpolation = Interpolation.BILINEAR


@dataclass(frozen=True)
class TensorSpec:
    """One input or output; a string in `shape` is a free axis, such as ``"batch"``."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str


@dataclass(frozen=True)
class PassRecord:
    """One optimization pass that made a file, with the parameters that it ran with."""

    name: str
    parameters: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelArtifact:
    """A model file and all that is known of it.

    An ONNX artifact takes a (batch, height, width, 3) uint8 BGR tensor: pre-processing is part of
    the graph. Its first output is the prediction; a further one called ``embedding``, if there is
    one, is what the backbone saw, (batch, c) float32. `history` is the ordered list of passes that
    made it.
    """

    path: Path
    format: Format
    precision: Precision
    sha256: str
    spec: VisionSpec
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    history: tuple[PassRecord, ...] = ()

    @property
    def size_mb(self) -> float:
        """Size on disk in MB (10⁶ bytes)."""
        return self.path.stat().st_size / 1e6

    @property
    def embedding(self) -> int | None:
        """Position of the embedding among `outputs`; None if there is none."""
        for position, output in enumerate(self.outputs):
            if output.name == EMBEDDING and len(output.shape) == 2 and output.dtype == "float32":
                return position
        return None


@dataclass(frozen=True)
class Variant:
    """A model file on the backend that runs it, with the thresholds of its predictions.

    Arguments:
        name: in a benchmark unique, such as ``"int8 · openvino"``; of a released model
            NAME/VERSION.
        artifact: the file, exactly as it ships.
        backend: what runs it.
        confidence: that detections must exceed.
        iou: overlap above which NMS keeps one box.
    """

    name: str
    artifact: ModelArtifact
    backend: str
    confidence: float = 0.25
    iou: float = 0.7
