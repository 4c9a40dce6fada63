"""A toy task with its type of prediction, and a toy head: how many squares an image shows.

Labels are boxes, of which the task keeps the number. The head reads the logarithm of 1 + count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from components.contracts import Fit, Named, VisionSpec
from components.errors import DatasetError, ModelError
from components.statistics.differences import ShareDifference
from components.vision.chance import HitsByChance
from components.vision.fit import fit_image
from components.vision.heads import head_of
from components.vision.metrics import only
from components.vision.scores import Score
from components.vision.tasks import first, require_head
from tests.toy import decoder

TASK, HEAD = "count", "log_count"


@dataclass(frozen=True)
class Count:
    """How many things an image shows: `value` in things, `score` in 0–1."""

    value: float
    score: float = 1.0

    task: ClassVar[str] = TASK
    count: ClassVar[int] = 1
    labels: ClassVar[list[int]] = [0]

    @property
    def lowest_score(self) -> float:
        return self.score

    def renumbered(self, ids: Sequence[int], classes: int) -> Count:
        return self

    def has_labels_of(self, other: Any) -> bool:
        return isinstance(other, Count) and self.value == other.value

    def label_content(self) -> float:
        return self.value

    def named(self) -> list[Named]:
        return [Named(0, self.score, values=(("value", self.value),))]

    def placed(self, view: Any) -> Count:
        return self

    def without_masks(self) -> Count:
        return self


class LogCount:
    """See `OutputHead`: (n, 1), the logarithm of 1 + count."""

    task = TASK
    remedy = "give the logarithm of 1 + count"
    ranked = False
    exclusive = False
    decoder = Path(decoder.__file__)

    def shape(self, classes: int) -> tuple[int | str, ...]:
        return ("batch", 1)

    def checked(self, output: Any, images: int | None, classes: int) -> Any:
        shape = () if output is None else output.shape
        if len(shape) != 2 or shape[1] != 1 or images not in (None, shape[0]):
            raise ModelError("a first output of shape (n, 1)", found=str(shape))
        return output.astype(np.float64)

    def sound(self, output: Any, classes: int) -> Any:
        return (np.isfinite(output) & (output > -0.5)).all(axis=1)

    def is_read_right(self, output: Any) -> bool:
        return True

    def finds_something(self, output: Any, confidence: float) -> bool:
        return True

    def deviation(self, expected: Any, found: Any) -> float:
        return float((np.abs(expected - found) / max(np.abs(expected).max(), 1e-9)).max())

    def decode(self, output: Any) -> tuple[Any, Any]:
        return decoder.quantities(output)[:, 0], decoder.certainties(output)[:, 0]


@dataclass(frozen=True, eq=False)
class RightPair:
    """See `Pair`: which of two models counts right."""

    one: Any
    other: Any
    names: tuple[str, ...]

    def overall(self, chosen: Any) -> ShareDifference | None:
        one, other = self.one[chosen], self.other[chosen]
        if not len(one):
            return None
        return ShareDifference(
            len(one), int(one.sum()), int((other & ~one).sum()), int((one & ~other).sum())
        )

    def by_class(self) -> dict[str, Any]:
        return {
            name: (len(self.one), self.overall(np.ones(len(self.one), bool))) for name in self.names
        }


@dataclass(frozen=True, eq=False)
class RightScorer:
    """See `Scorer`: the share of images that are counted right."""

    right: Any
    names: tuple[str, ...]
    minimum: int

    def overall(self, chosen: Any) -> dict[str, Score]:
        images = int(chosen.sum())
        if images < self.minimum:
            return {
                "exact": Score.missing(
                    images, f"insufficient: {images} images, {self.minimum} are needed"
                )
            }
        return {"exact": Score.of(float(self.right[chosen].mean()), images, images)}

    def by_class(self) -> dict[str, Score]:
        return {name: self.overall(np.ones(len(self.right), bool))["exact"] for name in self.names}


def mean_count(predictions: Any, ensemble: Any, settings: Any) -> Count:
    """Average counts by weight, and round."""
    values, scores = ([getattr(one, name) for one in predictions] for name in ("value", "score"))
    return Count(
        float(np.rint(np.average(values, weights=ensemble.weights))),
        float(np.average(scores, weights=ensemble.weights)),
    )


@dataclass(frozen=True)
class CountThings:
    """See `VisionTask`."""

    spec: VisionSpec

    name = TASK
    prediction = Count
    metric = "exact"
    described = "A counter"
    unit = "images"
    hits = "images counted right"
    score_name = "exact count"
    usual_fit = Fit.STRETCH
    has_thresholds = False
    finds_objects = False
    has_boxes = True
    why_no_estimate = "not evaluated: a count has no confidence"
    stored_columns = ("prediction_value", "prediction_score")
    combiners = {"mean": mean_count}  # noqa: RUF012 - a table
    joiners = {}  # noqa: RUF012
    rules = {}  # noqa: RUF012

    def __post_init__(self) -> None:
        require_head(self.spec, self.name)

    def preprocess(self, image: Any) -> Any:
        return fit_image(image, self.spec)

    def postprocess(self, outputs: Any, frames: Any) -> list[Count]:
        head = head_of(self.spec.head)
        values, scores = head.decode(head.checked(first(outputs), len(frames), 1))
        return [
            Count(float(value), float(np.float32(score)))
            for value, score in zip(values, scores, strict=True)
        ]

    def valid_outputs(self, outputs: Any) -> Any:
        head = head_of(self.spec.head)
        return head.sound(head.checked(first(outputs), None, 1), 1)

    def evaluate(self, predictions: Any, truths: Any) -> dict[str, float]:
        if not truths:
            raise DatasetError("at least one labelled image", found="none")
        return {"exact": float(np.mean(_right(predictions, truths)))}

    def evaluation_settings(self) -> CountThings:
        return self

    def drift_columns(self, predictions: Any, frames: Any) -> dict[str, Any]:
        found = only(Count, predictions)
        return {
            "prediction_value": np.array([one.value for one in found], np.float64),
            "prediction_score": np.array([one.score for one in found], np.float64),
        }

    @staticmethod
    def summarise(columns: Any, class_names: tuple[str, ...]) -> str:
        values = columns["prediction_value"]
        return f"{values.sum():g} × {class_names[0]}, {values.min():g} to {values.max():g} an image"

    @staticmethod
    def from_labels(truth: Any) -> Count:
        return Count(float(truth.count))

    @staticmethod
    def score_image(prediction: Count, truth: Count) -> float:
        return float(prediction.value == truth.value)

    @staticmethod
    def shown_at(prediction: Count, confidence: float) -> Count:
        return prediction

    @staticmethod
    def counterparts(one: Count, other: Count) -> tuple[int, int]:
        return 2 * (one.value == other.value), 2

    @staticmethod
    def events(found: Count | None, truth: Count, nothing: int) -> list[tuple[int, int, float]]:
        return []

    @staticmethod
    def pair(
        champion: Any, challenger: Any, truths: Any, class_names: tuple[str, ...]
    ) -> RightPair:
        return RightPair(_right(champion, truths), _right(challenger, truths), class_names)

    @staticmethod
    def compare_with_chance(predictions: Any, truths: Any, classes: int) -> HitsByChance:
        hits = int(_right(predictions, truths).sum())
        values = np.array([truth.value for truth in truths])
        expected = float((values[:, None] == values[None]).mean() * len(values))
        return HitsByChance(
            hits, len(truths), expected, 0.001 if hits > expected else 1.0, hits / len(truths), 0.3
        )

    @staticmethod
    def scorer(
        rows: Any, boxes_of: Any, truths: Any, class_names: tuple[str, ...], sampling: Any
    ) -> RightScorer:
        found = [Count(row["prediction_value"]) for row in rows]
        return RightScorer(_right(found, truths), class_names, sampling.minimum)

    @staticmethod
    def restored(rows: Any, boxes_of: Any, classes: int) -> list[Count]:
        return [Count(row["prediction_value"], row["prediction_score"]) for row in rows]

    @staticmethod
    def draw(
        axes: Any, answer: Count | None, truth: Count, names: Sequence[str], colours: Any
    ) -> None:
        said = "no answer" if answer is None else f"{answer.value:g}"
        axes.text(
            0.5, -0.02, f"{truth.value:g} → {said}", transform=axes.transAxes, ha="center", va="top"
        )


def _right(predictions: Any, truths: Any) -> Any:
    found, true = only(Count, predictions), only(Count, truths)
    return np.array(
        [one.value == other.value for one, other in zip(found, true, strict=True)], bool
    )
