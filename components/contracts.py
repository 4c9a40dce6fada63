"""What flows between the rooms: small frozen dataclasses; models, images and tables stay on disk.

Everything but the two array types, `Detections` and `Classification`, converts to JSON and back
with `dump` and `load`, so a step can run in another process and be cached by its inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

T = TypeVar("T")

BATCH = 8  # images in one call of an engine, where nothing else is asked for


class Format(StrEnum):
    """What kind of model file it is."""

    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"
    TORCH = "torch"


class Precision(StrEnum):
    """The number type that most of the model's arithmetic uses."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class TaskType(StrEnum):
    """What a prediction is."""

    DETECT = "detect"
    CLASSIFY = "classify"


class Fit(StrEnum):
    """How an image is brought to the model's input size."""

    LETTERBOX = "letterbox"  # keep the aspect ratio, pad with grey 114
    STRETCH = "stretch"  # ignore the aspect ratio
    CENTER_CROP = "center_crop"  # scale the shorter side, cut the middle


class Interpolation(StrEnum):
    """How an image is resampled when it is stretched or cropped; both are antialiased, as in Pillow."""

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


class Head(StrEnum):
    """What the first output of a model holds."""

    YOLO = "yolo"  # (n, 4 + classes, anchors): cxcywh in input pixels, class scores in 0–1; needs NMS
    YOLO_END2END = "yolo_end2end"  # (n, k, 6): xyxy in input pixels, score, class id; NMS is done
    LOGITS = "logits"  # (n, classes)
    PROBABILITIES = "probabilities"  # (n, classes), rows sum to 1
    SIGMOID = "sigmoid"  # (n, classes), each 0–1 by itself: one class does not exclude another
    SIGMOID_LOGITS = "sigmoid_logits"  # (n, classes): the same before its sigmoid

    @property
    def exclusive(self) -> bool:
        """Whether an image is one class alone, so that a classifier's probabilities sum to 1."""
        return self in (Head.LOGITS, Head.PROBABILITIES)


class Output(StrEnum):
    """What the numbers of a classifier are, one a class."""

    LOGITS = "logits"  # any number; a softmax makes them probabilities
    SOFTMAX = "softmax"  # probabilities, 0–1, that sum to 1
    SIGMOID = "sigmoid"  # scores, each 0–1 by itself (multi-label)
    SIGMOID_LOGITS = "sigmoid_logits"  # any number; a sigmoid makes each a score by itself

    @property
    def head(self) -> Head:
        """The head that reads such numbers."""
        return Head.PROBABILITIES if self is Output.SOFTMAX else Head(self.value)


class Verdict(StrEnum):
    """What a measurement says about a limit. Missing is not passing."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    UNDECIDED = "undecided"
    NOT_EVALUATED = "not_evaluated"


class DriftState(StrEnum):
    """What the drift policy says about a window of images."""

    OK = "ok"
    WARN = "warn"
    DRIFT = "drift"
    INSUFFICIENT_DATA = "insufficient_data"
    DATA_FAULT = "data_fault"  # the images are broken, not different: nothing to learn from


@dataclass(frozen=True)
class VisionSpec:
    """What a model file means: it travels inside the file and is never guessed later.

    Arguments:
        task: detect or classify.
        class_names: index is class id.
        input_size: (height, width) in pixels of the model's input.
        fit: how an image is brought to that size.
        head: how the first output is read.
        resize: what an image is scaled to before its centre is cropped: the length of its shorter side in pixels, or
            (height, width); None scales it to what just covers the input.
        interpolation: of stretching and cropping; a letterbox is bilinear without antialiasing, as YOLO trains.
    """

    task: TaskType
    class_names: tuple[str, ...]
    input_size: tuple[int, int]
    fit: Fit
    head: Head
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
    parameters: Mapping[str, Any] = field(default_factory=dict)


EMBEDDING = "embedding"  # the name of a model's output and of a batch run's column


@dataclass(frozen=True)
class ModelArtifact:
    """A model file and all that is known of it.

    An ONNX artifact takes a (batch, height, width, 3) uint8 BGR tensor: pre-processing is part of
    the graph. Its first output is the prediction; a further one called ``embedding``, if there is one, is what the
    backbone saw, (batch, c) float32. `history` is the ordered list of passes that made it.
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
        """Which of `outputs` is the embedding; None if there is none."""
        for position, output in enumerate(self.outputs):
            if output.name == EMBEDDING and len(output.shape) == 2 and output.dtype == "float32":
                return position
        return None


@dataclass(frozen=True)
class Budget:
    """The limits that a target sets; None sets no limit."""

    p95_ms: float | None = None
    size_mb: float | None = None
    peak_rss_mb: float | None = None
    max_accuracy_drop: float | None = None


@dataclass(frozen=True)
class Target:
    """Where a model is to run and what it may cost there.

    Arguments:
        name: mobile, embedded, edge_server or the user's own.
        description: one line for people.
        backends: names of the backends that may be chosen, in order of preference.
        device: cpu, gpu, …, as the backends call it.
        threads: intra-op threads; 0 is all cores of the machine.
        precisions: the precisions that the recipe makes and compares.
        budget: the limits.
        accelerators: what the device offers at run time (nnapi, coreml, …), for the bundle's configuration.
        measured_on_host: the budget is that of another device than the one measured on.
    """

    name: str
    description: str
    backends: tuple[str, ...]
    device: str
    threads: int
    precisions: tuple[Precision, ...]
    budget: Budget
    accelerators: tuple[str, ...] = ()
    measured_on_host: bool = False


@dataclass(frozen=True)
class ImageFrame:
    """How an image was fitted into the model's input, so that boxes find their way back.

    A point x of the image is at ``x * scale_x + offset_x`` of the input, likewise y.
    """

    width: int
    height: int
    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float


def _frozen(array: npt.ArrayLike, dtype: Any) -> npt.NDArray[Any]:
    copy = np.array(array, dtype=dtype)
    copy.setflags(write=False)
    return copy


@dataclass(frozen=True, eq=False)
class Detections:
    """The objects found in one image, or the true ones.

    Arguments:
        xyxy: (n, 4) float32, left, top, right, bottom in pixels of the original image.
        scores: (n,) float32 in 0–1; ones for ground truth.
        class_ids: (n,) int64.
        masks: (n, height, width) bool, or None.

    Arrays are copied and read-only.

    Raises:
        ValueError: the shapes do not agree.
    """

    xyxy: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int64]
    masks: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        for name, dtype in (("xyxy", np.float32), ("scores", np.float32), ("class_ids", np.int64)):
            object.__setattr__(self, name, _frozen(getattr(self, name), dtype))
        n = len(self.xyxy)
        if self.xyxy.shape != (n, 4):
            raise ValueError(f"expected xyxy of shape (n, 4), found {self.xyxy.shape}")
        if self.scores.shape != (n,) or self.class_ids.shape != (n,):
            raise ValueError(
                f"expected scores and class_ids of shape ({n},) as xyxy has {n} rows, "
                f"found {self.scores.shape} and {self.class_ids.shape}"
            )
        if self.masks is not None:
            object.__setattr__(self, "masks", _frozen(self.masks, np.bool_))
            if self.masks.ndim != 3 or len(self.masks) != n:
                raise ValueError(f"expected masks of shape ({n}, height, width), found {self.masks.shape}")

    def __len__(self) -> int:
        return len(self.xyxy)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Detections)
            and np.array_equal(self.xyxy, other.xyxy)
            and np.array_equal(self.scores, other.scores)
            and np.array_equal(self.class_ids, other.class_ids)
        )

    @classmethod
    def empty(cls) -> Detections:
        """Nothing found."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


@dataclass(frozen=True, eq=False)
class Classification:
    """What one image shows: `probs` (k,) float32, in the order of the class names. Ground truth is one-hot.

    Raises:
        ValueError: `probs` is not one-dimensional or is empty.
    """

    probs: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "probs", _frozen(self.probs, np.float32))
        if self.probs.ndim != 1 or not len(self.probs):
            raise ValueError(f"expected probs of shape (k,) with k ≥ 1, found {self.probs.shape}")

    @property
    def class_id(self) -> int:
        """The most probable class."""
        return int(self.probs.argmax())

    @property
    def score(self) -> float:
        """Its probability."""
        return float(self.probs.max())


Prediction = Detections | Classification


@dataclass(frozen=True)
class LabelledImage:
    """One image of a labelled dataset; `truth` is its ground truth in pixels of the upright image."""

    image_id: str
    path: Path
    truth: Prediction


@dataclass(frozen=True)
class Latency:
    """Time of one call, from the image in memory to the prediction.

    A percentile is None below its sample floor (p50: 10, p95: 130 samples; MLPerf's rule at 99 %
    confidence). The interval of the median is at 95 % confidence.
    """

    samples: int
    p50_ms: float | None
    p50_low_ms: float | None
    p50_high_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True)
class Check:
    """One limit, the measured value and the verdict, e.g. ``Check("p95_ms", 7.1, 50.0, Verdict.PASS)``."""

    name: str
    value: float | None
    limit: float | None
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True)
class Measurement:
    """One artifact on one backend, measured in this run.

    Arguments:
        variant: name for people and for MLflow, e.g. ``"int8 · openvino"``.
        artifact: exactly the file that was measured.
        backend: what ran it.
        latency: at batch 1.
        throughput_per_s: images per second at `batch`.
        batch: images per call for the throughput.
        size_mb: of the file.
        peak_rss_mb: of the process that measured it, or None.
        accuracy: metric → value on the validation images, e.g. ``{"map50_95": 0.83, "map50": 0.97}``.
        images: how many images the accuracy rests on.
        speedup: baseline p50 / this p50, median over rounds, with its 95 % interval; None for the baseline, and for
            too few rounds.
        checks: this variant against the target's budget.
        error: why the variant could not be measured; then the numbers are empty.
    """

    variant: str
    artifact: ModelArtifact
    backend: str
    latency: Latency
    throughput_per_s: float | None
    batch: int
    size_mb: float
    peak_rss_mb: float | None
    accuracy: Mapping[str, float]
    images: int
    speedup: tuple[float, float, float] | None = None
    checks: tuple[Check, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class BenchmarkReport:
    """All variants measured in one interleaved run, and which one was chosen.

    Arguments:
        target: whose budget was applied.
        measurements: the baseline first.
        baseline: its variant name.
        chosen: variant name of the one that ships, or None when no variant meets every limit.
        reasons: why it was chosen, or what every variant lacks, one line each.
        noise_floor: largest |ratio − 1| of the baseline against itself (A/A) in this run, or None.
        metric: the accuracy metric that decides, e.g. ``"map50_95"``.
        environment: machine and versions.
    """

    target: Target
    measurements: tuple[Measurement, ...]
    baseline: str
    chosen: str | None
    reasons: tuple[str, ...]
    noise_floor: float | None
    metric: str
    environment: Mapping[str, str]

    def of(self, variant: str) -> Measurement:
        """The measurement of a variant by its name."""
        return next(m for m in self.measurements if m.variant == variant)


@dataclass(frozen=True)
class Bundle:
    """A deployable folder and its reproducible zip; `sha256` is the zip's."""

    folder: Path
    archive: Path
    sha256: str


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model."""

    name: str
    version: int
    run_id: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class FailedImage:
    """An image that could not be read or predicted, and why."""

    image_id: str
    error: str


@dataclass(frozen=True)
class InferenceRun:
    """A finished batch: one Parquet row per image, one per detection.

    Arguments:
        folder: holds `images.parquet`, `detections.parquet` and `run.json`.
        model: name and version of the model, e.g. ``"digits/3"``.
        processed: images with a prediction.
        failures: the others.
        seconds: wall time.
        statistics_recipe: version of the image statistics.
        unreachable: hosts and mounts that did not answer, each with how many of the failures are theirs.
    """

    folder: Path
    model: str
    processed: int
    failures: tuple[FailedImage, ...]
    seconds: float
    statistics_recipe: int
    unreachable: tuple[tuple[str, int], ...] = ()

    @property
    def images(self) -> Path:
        """Table of images."""
        return self.folder / "images.parquet"

    @property
    def detections(self) -> Path:
        """Table of detections."""
        return self.folder / "detections.parquet"


@dataclass(frozen=True)
class DatasetVersion:
    """A labelled dataset as it was trained on: named by what it holds.

    Arguments:
        data: its YOLO `data.yaml`, or the folder `split/class/*.jpg` of a classifier.
        sha256: of images and labels of all splits.
        images: split → number of images.
        sources: where the images of all splits came from, e.g. ``{"original": 400, "replay": 0, "new": 180}``.
        dropped: reason → number of images left out, e.g. ``{"near_duplicate": 3, "in_golden_set": 1}``.
    """

    data: Path
    sha256: str
    images: Mapping[str, int]
    sources: Mapping[str, int]
    dropped: Mapping[str, int]


RATIO_GATES = frozenset({"p95_ms", "size_mb", "peak_rss_mb"})


@dataclass(frozen=True)
class Gate:
    """One condition of a promotion: the challenger against the champion on the same images.

    Arguments:
        name: e.g. ``golden``, ``recent``, ``class 7``, ``p95_ms``, ``size_mb``, ``bundle``.
        champion: its value, or None where there is none.
        challenger: likewise.
        difference: challenger − champion with its 95 % interval, as (value, low, high); challenger ÷ champion where
            `is_ratio`.
        limit: what the interval's bound is compared with.
        achievable: the smallest margin that this many images could have shown, or None.
        images: what it rests on.
        verdict: only `pass` lets a required gate through; missing is not passing.
        reason: one line for people.
        required: whether anything but a pass keeps the challenger from being promoted.
        slice_of: the gate whose images it looks at a part of, or empty.
        images_needed: about how many images would decide what is undecided, or None.
        noise: of the run that its times were taken in, as a share, where it is too large to decide by; else None.
    """

    name: str
    champion: float | None
    challenger: float | None
    difference: tuple[float, float, float] | None
    limit: float | None
    achievable: float | None
    images: int
    verdict: Verdict
    reason: str
    required: bool = True
    slice_of: str = ""
    images_needed: int | None = None
    noise: float | None = None

    @property
    def is_ratio(self) -> bool:
        """Whether `difference` and `limit` are ratios, as those of latency, size and memory are."""
        return self.name in RATIO_GATES


@dataclass(frozen=True)
class GateReport:
    """All gates of one challenger; `champion` and `challenger` are NAME/VERSION."""

    champion: str
    challenger: str
    gates: tuple[Gate, ...]

    @property
    def passed(self) -> bool:
        """Whether every required gate was passed, and there was at least one."""
        required = [gate for gate in self.gates if gate.required]
        return bool(required) and all(gate.verdict is Verdict.PASS for gate in required)

    @property
    def to_measure_again(self) -> bool:
        """Tell whether times of a busy machine are all that keeps the challenger back: no ground to reject it."""
        held = [gate for gate in self.gates if gate.required and gate.verdict is not Verdict.PASS]
        return bool(held) and all(gate.noise is not None and gate.verdict is Verdict.UNDECIDED for gate in held)

    @property
    def reasons(self) -> tuple[str, ...]:
        """What kept the challenger from being promoted, one line each; what it passed when nothing did."""
        held = [gate for gate in self.gates if gate.required and gate.verdict is not Verdict.PASS]
        shown = held or [gate for gate in self.gates if not gate.slice_of]
        lines = [f"{gate.name}: {gate.verdict.value}, {gate.reason}" for gate in shown]
        return (*lines, *(self._slices() if not held else ()))

    def _slices(self) -> tuple[str, ...]:
        """All slices in one line, with the one that lost most."""
        judged = [gate for gate in self.gates if gate.slice_of and gate.difference]
        enough = [gate for gate in judged if gate.verdict is not Verdict.NOT_EVALUATED]
        if not enough:
            return ()
        worst = min(enough, key=lambda gate: gate.difference[0] if gate.difference else 0.0)
        change = "" if worst.difference is None else f", {worst.difference[0]:+.3f}"
        return (f"slices: pass, {len(enough)} of {len(judged)} are large enough; most lost {worst.name}{change}",)


class Outcome(StrEnum):
    """What a decision did."""

    PROMOTED = "promoted"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"
    ADOPTED = "adopted"  # somebody had moved the alias outside of Foveal; the record follows
    WITHDRAWN = "withdrawn"  # somebody had removed the alias, or the version: nothing is in production since


@dataclass(frozen=True)
class Decision:
    """One entry of a model's append-only record.

    Arguments:
        outcome: what happened.
        version: the version that was decided on.
        champion_before: the champion's version at that moment, or None.
        trigger: why, e.g. ``drift``, ``accuracy``, ``schedule``, ``by hand``, ``release``.
        who: a person or a flow.
        reasons: one line each.
        event: id of the event that started it, or empty.
        gates: what it rests on, where there were gates.
        hashes: what was used by role, e.g. ``{"dataset": …, "reference": …}``.
    """

    outcome: Outcome
    version: int
    champion_before: int | None
    trigger: str
    who: str
    reasons: tuple[str, ...] = ()
    event: str = ""
    gates: GateReport | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Decided:
    """A decision with its place in the record: `number` counts from 1, `at` is the registry's clock in UTC."""

    number: int
    at: datetime
    decision: Decision


class AbMode(StrEnum):
    """Who sees an image in an A/B test."""

    SHADOW = "shadow"  # both versions
    SPLIT = "split"  # one of them, by the hash of its id


class AbVerdict(StrEnum):
    """What an A/B test says of two versions."""

    A = "A"  # A scores higher
    B = "B"  # B scores higher
    NO_DIFFERENCE = "no difference ≥ δ"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class AbResult:
    """The outcome of an A/B test.

    Arguments:
        verdict: what it says.
        value: mean score of B − mean score of A; None where it is not known, or not to be looked at yet.
        interval: what the data do not contradict of that difference, at 95 %; None likewise.
        samples: scored images that it rests on; an image that both versions saw counts once.
        planned: of a fixed sample size: how many images it needs; None for a sequential test, or before it is known.
        delta: δ, the smallest difference that matters.
        method: ``"fixed sample size"`` or ``"always-valid sequential"``.
        reason: one line for people.
    """

    verdict: AbVerdict
    value: float | None
    interval: tuple[float, float] | None
    samples: int
    planned: int | None
    delta: float
    method: str
    reason: str


@dataclass(frozen=True)
class ColumnDrift:
    """How far one column moved: its distance, its threshold, and the p-value after control of the family.

    Arguments:
        column: its name.
        distance: 0–1, of what exceeds `smallest_change`.
        threshold: the distance from which on it has moved.
        p_value: None where there was nothing to test.
        drifted: whether it has moved.
        smallest_change: in the column's own unit; values that differ by less count as equal.
    """

    column: str
    distance: float
    threshold: float
    p_value: float | None
    drifted: bool
    smallest_change: float = 0.0


@dataclass(frozen=True)
class DriftDecision:
    """What the policy says about a window, and why.

    Arguments:
        state: the verdict.
        reasons: one line each, the weightiest first.
        columns: what was compared, the farthest beyond its limit first.
        reference_samples: images of the reference.
        window_samples: images of the window that have a prediction.
        raised: some column moved beyond its limit in this window, and its images are not broken; it takes more than one
            such window to be a drift.
        fires: this drift is news, and what waits for drift should be told; false while an earlier one cools down.
        condition: which of the conditions that the reference knows, such as day and night, the window is nearest to.
    """

    state: DriftState
    reasons: tuple[str, ...]
    columns: tuple[ColumnDrift, ...]
    reference_samples: int
    window_samples: int
    raised: bool = False
    fires: bool = False
    condition: str = ""


@dataclass(frozen=True)
class DriftReport:
    """A drift report.

    Arguments:
        html: the page to open first.
        json: the same for machines.
        decision: what it says.
        evidently: Evidently's own page beside it; None for a window of which it shows nothing.
    """

    html: Path
    json: Path
    decision: DriftDecision
    evidently: Path | None = None

    def at(self, folder: Path) -> DriftReport:
        """The same report in a copy of its folder."""
        beside = folder / self.evidently.name if self.evidently else None
        return replace(self, html=folder / self.html.name, json=folder / self.json.name, evidently=beside)


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def dump(value: Any) -> Any:
    """A contract as plain JSON values (dicts, lists, strings, numbers)."""
    return _adapter(cast(Any, type(value))).dump_python(value, mode="json")


def load(kind: type[T], value: Any) -> T:
    """The contract of type `kind` from what `dump` gave.

    Raises:
        pydantic.ValidationError: the value is not of that type.
    """
    found: T = _adapter(cast(Any, kind)).validate_python(value)
    return found
