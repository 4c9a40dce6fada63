"""Vision tasks: what a model's predictions mean. One file each, and one line in the table.

A task knows neither what runs a model nor how precise its arithmetic is, nor how its raw output is
laid out, which a head knows. It gives meaning: truth and prediction, accuracy, the columns of
drift, how a prediction is stored, drawn and compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from components.contracts import Fit, ImageFrame, Prediction, VisionSpec
from components.contracts.arrays import Array, Image
from components.errors import ModelError
from components.plugins import plugin
from components.printing import counted
from components.vision.chance import HitsByChance
from components.vision.combining.ensemble import Combiner, Joiner
from components.vision.fit import fit_image
from components.vision.heads import HEADS, head_of
from components.vision.paired import Pair
from components.vision.rules import Rule
from components.vision.scores import Sampling, Scorer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TASKS = {
    "detect": "components.vision.tasks.detect:Detect",
    "classify": "components.vision.tasks.classify:Classify",
}


SHOWN_CLASSES = 5  # that a summary names


class VisionTask(Protocol):
    """The meaning of a model's input and output, for one kind of prediction.

    What needs no model is of the class: `task_kind` gives it.
    """

    name: ClassVar[str]
    prediction: ClassVar[Any]  # its class of `Prediction`
    metric: ClassVar[str]  # that decides, a key of what `evaluate` returns
    described: ClassVar[str]  # a model of it, such as "An object detector"
    unit: ClassVar[str]  # that accuracy counts, such as "objects"
    hits: ClassVar[str]  # right answers, such as "objects found"
    score_name: ClassVar[str]  # of what `score_image` gives
    usual_fit: ClassVar[Fit]  # of models that do not say how images are fitted
    has_thresholds: ClassVar[bool]  # confidence and IoU
    finds_objects: ClassVar[bool]  # any number of things an image, none included
    has_boxes: ClassVar[bool]  # labels are boxes, any number an image, not one class of it
    why_no_estimate: ClassVar[str]  # of accuracy before labels come; empty where there is one
    # of the table of images, from which predictions are restored
    stored_columns: ClassVar[tuple[str, ...]]
    combiners: ClassVar[Mapping[str, Combiner]]  # of several predictions, the usual one first
    joiners: ClassVar[Mapping[str, Joiner]]  # of what tiles of an image show; none: not in tiles
    rules: ClassVar[Mapping[str, Rule]]  # by which what is named may be dropped; see `Rules`

    @property
    def spec(self) -> VisionSpec:
        """Of the model."""

    def preprocess(self, image: Image) -> tuple[npt.NDArray[np.uint8], ImageFrame]:
        """Fit an image (h, w, 3) uint8 BGR to the model's input (height, width, 3) uint8 BGR."""

    def postprocess(
        self, outputs: Sequence[Array], frames: Sequence[ImageFrame]
    ) -> list[Prediction]:
        """Decode one prediction an image; ModelError where outputs cannot be of this model."""

    def valid_outputs(self, outputs: Sequence[Array]) -> npt.NDArray[np.bool_]:
        """Tell which images of a batch have finite outputs within their range, (n,) bool."""

    def evaluate(
        self, predictions: Sequence[Prediction], truths: Sequence[Prediction]
    ) -> dict[str, float]:
        """Measure accuracy, by metric; DatasetError where there is nothing to measure it on."""

    def evaluation_settings(self) -> VisionTask:
        """Return the same task with the thresholds that accuracy is measured with."""

    def drift_columns(
        self, predictions: Sequence[Prediction], frames: Sequence[ImageFrame]
    ) -> dict[str, Array]:
        """Give each image one value a column: float64 for quantities, int64 for categories."""

    @staticmethod
    def summarise(columns: Mapping[str, Array], class_names: tuple[str, ...]) -> str:
        """Say in one line, for people, what was predicted for some images.

        Arguments:
            columns: their `drift_columns`, (n,) each, n ≥ 1.
            class_names: index is class id.
        """

    @staticmethod
    def from_labels(truth: Prediction) -> Prediction:
        """Read ground truth as this task's.

        Arguments:
            truth: as datasets hold it: `Detections` where labels are boxes, else a one-hot
                `Classification`.
        """

    @staticmethod
    def score_image(prediction: Any, truth: Any) -> float:
        """Score a prediction of one image, in 0–1."""

    @staticmethod
    def shown_at(prediction: Any, confidence: float) -> Any:
        """Reduce a prediction made with evaluation's thresholds to what a version shows in use."""

    @staticmethod
    def counterparts(one: Any, other: Any) -> tuple[int, int]:
        """Count what has a counterpart on the other side, and all, over both sides."""

    @staticmethod
    def events(found: Any, truth: Any, nothing: int) -> list[tuple[int, int, float]]:
        """List (true class, predicted class, confidence); `nothing` is no object or detection."""

    @staticmethod
    def pair(
        champion: Sequence[Prediction],
        challenger: Sequence[Prediction],
        truths: Sequence[Prediction],
        class_names: tuple[str, ...],
    ) -> Pair:
        """Pair two models' predictions of the same images."""

    @staticmethod
    def compare_with_chance(
        predictions: Sequence[Prediction], truths: Sequence[Prediction], classes: int
    ) -> HitsByChance:
        """Compare hits with those that chance gives."""

    @staticmethod
    def scorer(
        rows: Sequence[Mapping[str, Any]],
        boxes_of: Callable[[], Sequence[Prediction]],
        truths: Sequence[Prediction],
        class_names: tuple[str, ...],
        sampling: Sampling,
    ) -> Scorer:
        """Score stored predictions by later labels; see `restored` for the first two arguments."""

    @staticmethod
    def restored(
        rows: Sequence[Mapping[str, Any]],
        boxes_of: Callable[[], Sequence[Prediction]],
        classes: int,
    ) -> list[Prediction]:
        """Restore the predictions of stored images.

        Arguments:
            rows: of the table of images, with `stored_columns`.
            boxes_of: reads the rows of detections of the same images, in their order.
            classes: number of the model's classes.
        """

    @staticmethod
    def draw(
        axes: Axes, answer: Any, truth: Any, names: Sequence[str], colours: tuple[str, str]
    ) -> None:
        """Draw a truth and an answer, or None, over an image on matplotlib axes."""


class ImageTask:
    """Base of tasks whose images are fitted as the spec says, and whose labels are their truth."""

    spec: VisionSpec

    def preprocess(self, image: Image) -> tuple[Image, ImageFrame]:
        return fit_image(image, self.spec)

    def valid_outputs(self, outputs: Sequence[Array]) -> npt.NDArray[np.bool_]:
        """Mark images with sound output, (n,) bool; see `OutputHead.sound`.

        Costs well under a millisecond an image: cheap enough for every batch in production.

        Raises:
            ModelError: the output has another shape.
        """
        head, classes = head_of(self.spec.head), len(self.spec.class_names)
        sound: npt.NDArray[np.bool_] = head.sound(
            head.checked(first(outputs), None, classes), classes
        )
        return sound

    @staticmethod
    def from_labels(truth: Prediction) -> Prediction:
        return truth


def task_kind(name: str) -> type[VisionTask]:
    """Return the class of a task.

    Raises:
        ModelError: there is no such task.
    """
    found: type[VisionTask] = plugin(TASKS, name, "a task")
    return found


def require_known(spec: VisionSpec, name: str) -> None:
    """Refuse a spec of a task or a head that is in no table.

    Arguments:
        spec: as it was read.
        name: of the file that it was read from, for the error.

    Raises:
        ModelError: it is one.
    """
    for what, table, found in (("a task", TASKS, spec.task), ("an output head", HEADS, spec.head)):
        if found not in table:
            raise ModelError(
                f"{what}, one of {', '.join(table)}",
                found=f"{found} in {name}",
                hint="add the plug-in that the model was made with to the table",
            )


def most_frequent(ids: Array, class_names: Sequence[str]) -> str:
    """List the most frequent classes of class ids (n,) int64, each with its number of images."""
    found, counts = np.unique(ids, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shown = [f"{class_names[found[k]]} {counts[k]:,}" for k in order[:SHOWN_CLASSES]]
    more = len(order) - len(shown)
    return ", ".join(shown) + (f" and {counted(more, 'more class')}" if more > 0 else "")


def first(outputs: Sequence[Array]) -> Array | None:
    """Return the output that heads read, or None."""
    return outputs[0] if len(outputs) else None


def require_head(spec: VisionSpec, task: str) -> None:
    """Refuse a spec whose head is of another task.

    Raises:
        ModelError: it is.
    """
    known = [name for name in HEADS if head_of(name).task == task]
    if spec.head not in known:
        raise ModelError(f"a head to {task}, one of {', '.join(known)}", found=str(spec.head))
