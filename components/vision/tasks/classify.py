"""Image classification: probabilities, top-k accuracy and the columns that drift is measured on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from components.contracts import Classification, Fit, ImageFrame, Prediction, VisionSpec
from components.contracts.arrays import Array
from components.errors import ModelError
from components.printing import counted
from components.vision import metrics
from components.vision.chance import HitsByChance, class_hits_by_chance
from components.vision.combining.classifications import SCORE_COMBINERS
from components.vision.combining.ensemble import Combiner, Joiner
from components.vision.heads import head_of
from components.vision.paired import Pair, TopOnePair
from components.vision.rules import Rule
from components.vision.scores import Sampling, Scorer, TopOne
from components.vision.tasks import ImageTask, first, most_frequent, require_head

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TIE = 0.05  # classes whose probabilities are closer than this may swap places


@dataclass(frozen=True)
class Classify(ImageTask):
    """Meaning of a classifier's input and output.

    Arguments:
        spec: of the model; its head is one of a classifier.

    Raises:
        ModelError: the spec is not that of a classifier.
    """

    spec: VisionSpec

    name: ClassVar[str] = "classify"
    prediction: ClassVar[type[Classification]] = Classification
    metric: ClassVar[str] = "top1"
    described: ClassVar[str] = "An image classifier"
    unit: ClassVar[str] = "images"
    hits: ClassVar[str] = "images classified right"
    score_name: ClassVar[str] = "top-1"
    usual_fit: ClassVar[Fit] = Fit.CENTER_CROP
    has_thresholds: ClassVar[bool] = False
    finds_objects: ClassVar[bool] = False
    has_boxes: ClassVar[bool] = False
    why_no_estimate: ClassVar[str] = ""
    stored_columns: ClassVar[tuple[str, ...]] = ("prediction_class", "prediction_confidence")
    combiners: ClassVar[Mapping[str, Combiner]] = SCORE_COMBINERS
    joiners: ClassVar[Mapping[str, Joiner]] = {}
    rules: ClassVar[Mapping[str, Rule]] = {}

    def __post_init__(self) -> None:
        require_head(self.spec, self.name)

    def postprocess(
        self, outputs: Sequence[Array], frames: Sequence[ImageFrame]
    ) -> list[Prediction]:
        """Return a batch's class scores: probabilities that sum to 1, except from a sigmoid head.

        Scores of a sigmoid head stay as they are: they are not scaled to sum to 1.
        `Classification.class_id` is the class of the highest score, `Classification.score` that
        score.

        Arguments:
            outputs: what the model gave for the batch; the first is (n, classes) of any float type.
            frames: of the n images.

        Raises:
            ModelError: the output has another shape, holds a NaN or an infinity, or probabilities
                beyond 0–1 or that do not sum to 1. `valid_outputs` tells beforehand which images
                are sound.
        """
        if not len(frames):
            return []
        head, classes = head_of(self.spec.head), len(self.spec.class_names)
        output = head.checked(first(outputs), len(frames), classes)
        unsound = int((~head.sound(output, classes)).sum())
        if unsound:
            raise ModelError(
                head.expected,
                found=f"others in the output for {unsound} of {counted(len(frames), 'image')}",
                hint="say what the output is (model.output: logits, softmax, sigmoid or "
                "sigmoid_logits); "
                "a quantized model may have lost its range",
            )
        return [Classification(row) for row in head.decode(output)]

    def evaluate(
        self, predictions: Sequence[Prediction], truths: Sequence[Prediction]
    ) -> dict[str, float]:
        return metrics.top_accuracy(
            metrics.only(Classification, predictions), metrics.only(Classification, truths)
        )

    @staticmethod
    def summarise(columns: Mapping[str, Array], class_names: tuple[str, ...]) -> str:
        """Count images by class, with the median confidence; see `VisionTask.summarise`."""
        classes = most_frequent(columns["prediction_class"], class_names)
        return f"{classes}; median confidence {np.median(columns['prediction_confidence']):.2f}"

    @staticmethod
    def score_image(prediction: Classification, truth: Classification) -> float:
        """Return 1 for the right class, else 0."""
        return float(prediction.class_id == truth.class_id)

    @staticmethod
    def shown_at(prediction: Classification, confidence: float) -> Classification:
        return prediction

    @staticmethod
    def counterparts(one: Classification, other: Classification) -> tuple[int, int]:
        """Count both sides if they name one class, up to a near tie; see `agreement.agreement`."""
        a, b = one.class_id, other.class_id
        same = one.probs[a] - one.probs[b] < TIE or other.probs[b] - other.probs[a] < TIE
        return 2 * bool(same), 2

    @staticmethod
    def events(
        found: Classification | None, truth: Classification, nothing: int
    ) -> list[tuple[int, int, float]]:
        return [] if found is None else [(truth.class_id, found.class_id, found.score)]

    @staticmethod
    def pair(
        champion: Sequence[Prediction],
        challenger: Sequence[Prediction],
        truths: Sequence[Prediction],
        class_names: tuple[str, ...],
    ) -> Pair:
        return TopOnePair(_ids(champion), _ids(challenger), _ids(truths), class_names)

    @staticmethod
    def compare_with_chance(
        predictions: Sequence[Prediction], truths: Sequence[Prediction], classes: int
    ) -> HitsByChance:
        return class_hits_by_chance(_ids(predictions), _ids(truths), classes)

    @staticmethod
    def scorer(
        rows: Sequence[Mapping[str, Any]],
        boxes_of: Callable[[], Sequence[Prediction]],
        truths: Sequence[Prediction],
        class_names: tuple[str, ...],
        sampling: Sampling,
    ) -> Scorer:
        found = np.array([row["prediction_class"] for row in rows], np.int64)
        return TopOne(found, _ids(truths), class_names, sampling.minimum)

    @staticmethod
    def restored(
        rows: Sequence[Mapping[str, Any]],
        boxes_of: Callable[[], Sequence[Prediction]],
        classes: int,
    ) -> list[Prediction]:
        """Restore the predictions of stored images; each has its best class only."""
        one_hot, least = np.eye(classes, dtype=np.float32), np.finfo(np.float32).tiny
        return [
            # The class stays the best one where its score is 0, or was not kept.
            Classification(
                one_hot[row["prediction_class"]]
                * max(row.get("prediction_confidence") or 0.0, least)
            )
            for row in rows
        ]

    @staticmethod
    def draw(
        axes: Axes,
        answer: Classification | None,
        truth: Classification,
        names: Sequence[str],
        colours: tuple[str, str],
    ) -> None:
        said = "no answer" if answer is None else names[answer.class_id]
        text = f"{names[truth.class_id]} → {said}"
        axes.text(0.5, -0.02, text, transform=axes.transAxes, ha="center", va="top")

    def evaluation_settings(self) -> Classify:
        return self

    def drift_columns(
        self, predictions: Sequence[Prediction], frames: Sequence[ImageFrame]
    ) -> dict[str, Array]:
        """Return the model's certainty of each image, one value an image; the frames do not matter.

        float64 columns are quantities: `prediction_confidence` (of the best class),
        `prediction_margin` (its lead over the second, or all of it where there is one class),
        `prediction_entropy` (in nats; with a sigmoid head, where each class is a yes or no of its
        own, the sum over the classes). int64 columns are categories: `prediction_class` is the
        class id.
        """
        rows = [prediction.probs for prediction in metrics.only(Classification, predictions)]
        probs = np.array(rows, np.float64).reshape(len(rows), len(self.spec.class_names))
        # a class of probability 0, for models with one
        ranked = np.sort(np.pad(probs, ((0, 0), (1, 0))), axis=1)
        entropy = _information(probs)
        if not head_of(self.spec.head).exclusive:
            entropy = entropy + _information(1 - probs)
        return {
            "prediction_confidence": ranked[:, -1],
            "prediction_margin": ranked[:, -1] - ranked[:, -2],
            "prediction_entropy": np.abs(entropy.sum(axis=1)),
            "prediction_class": probs.argmax(axis=1),
        }


def _information(probs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Each probability times its logarithm in nats; 0 for one of 0."""
    return probs * np.log(probs, where=probs > 0, out=np.zeros_like(probs))


def _ids(predictions: Sequence[Prediction]) -> npt.NDArray[np.int64]:
    """Return the class of each, (n,) int64."""
    return np.array([one.class_id for one in metrics.only(Classification, predictions)], np.int64)
