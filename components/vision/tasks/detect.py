"""Object detection: boxes of objects, COCO accuracy, and the columns that drift is measured on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from components.contracts import Detections, Fit, ImageFrame, Prediction, VisionSpec
from components.contracts.arrays import Array
from components.errors import ConfigError, ModelError
from components.printing import counted
from components.vision import boxes, metrics
from components.vision.chance import HitsByChance, object_hits_by_chance
from components.vision.combining.detections import DETECTION_COMBINERS
from components.vision.combining.ensemble import Combiner, Joiner
from components.vision.combining.tiles import JOINERS
from components.vision.heads import head_of
from components.vision.heads.detections import SCORE_SLACK, Candidates, Suppression
from components.vision.paired import BoxPair, Pair
from components.vision.rules import DETECTION_RULES, Rule
from components.vision.scores import BoxPrecision, Sampling, Scorer
from components.vision.tasks import ImageTask, first, most_frequent, require_head

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MATCH_IOU = 0.5  # from which a detection counts as that of an object
SAME_BOX = 0.5  # IoU from which two boxes show the same object
EVALUATION_CONFIDENCE = 0.001  # low enough for the whole precision-recall curve
_QUANTITIES = (
    "count",
    "confidence_mean",
    "confidence_min",
    "confidence_max",
    "box_side_px",
    "box_x",
    "box_y",
    "class_entropy",
)


@dataclass(frozen=True)
class Detect(ImageTask):
    """Meaning of a detector's input and output.

    Arguments:
        spec: of the model; its head is `yolo` or `yolo_end2end`.
        confidence: detections must score more than this, 0–1.
        iou: of two boxes of a class that overlap by more than this the weaker one goes, 0–1;
            end-to-end heads have no duplicates to remove.
        max_detections: how many an image keeps at most.
        multi_label: a box may be several classes at once, as accuracy is measured; otherwise it is
            its best class.

    Raises:
        ConfigError: a threshold is out of range.
        ModelError: the spec is not that of a detector.
    """

    spec: VisionSpec
    confidence: float = 0.25
    iou: float = 0.7
    max_detections: int = 300
    multi_label: bool = False

    name: ClassVar[str] = "detect"
    prediction: ClassVar[type[Detections]] = Detections
    metric: ClassVar[str] = "map50_95"
    described: ClassVar[str] = "An object detector"
    unit: ClassVar[str] = "objects"
    hits: ClassVar[str] = "objects found"
    score_name: ClassVar[str] = f"F1 at IoU {MATCH_IOU:g}"
    usual_fit: ClassVar[Fit] = Fit.LETTERBOX
    has_thresholds: ClassVar[bool] = True
    finds_objects: ClassVar[bool] = True
    has_boxes: ClassVar[bool] = True
    why_no_estimate: ClassVar[str] = (
        "not evaluated: what a detector misses has no confidence; label images to know"
    )
    stored_columns: ClassVar[tuple[str, ...]] = ()
    combiners: ClassVar[Mapping[str, Combiner]] = DETECTION_COMBINERS
    joiners: ClassVar[Mapping[str, Joiner]] = JOINERS
    rules: ClassVar[Mapping[str, Rule]] = DETECTION_RULES

    def __post_init__(self) -> None:
        require_head(self.spec, self.name)
        for name in ("confidence", "iou"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} between 0 and 1", found=str(getattr(self, name)))
        if self.max_detections < 1:
            raise ConfigError("max_detections of 1 or more", found=str(self.max_detections))

    def postprocess(
        self, outputs: Sequence[Array], frames: Sequence[ImageFrame]
    ) -> list[Prediction]:
        """Detections of a batch, in pixels of the original images, best score first.

        Boxes with a NaN or an infinity, and boxes without an area inside the image, are left out.

        Arguments:
            outputs: what the model gave for the batch; the first is (n, 4 + classes, anchors) for
                `yolo`, (n, m, 6) for `yolo_end2end`, of any float type.
            frames: of the n images.

        Raises:
            ModelError: the output has another shape, scores above 1 or unknown classes.
        """
        if not len(frames):
            return []
        head, classes = head_of(self.spec.head), len(self.spec.class_names)
        settings = Suppression(self.confidence, self.iou, self.max_detections, self.multi_label)
        candidates = head.decode(
            head.checked(first(outputs), len(frames), classes), classes, settings
        )
        return [
            self._detections(found, frame) for found, frame in zip(candidates, frames, strict=True)
        ]

    def _detections(self, found: Candidates, frame: ImageFrame) -> Detections:
        xyxy, scores, class_ids = found
        if len(scores) and scores[0] > 1 + SCORE_SLACK:
            raise ModelError(
                "scores between 0 and 1",
                found=f"a score of {scores[0]:g}",
                hint="export the model with its sigmoid; a quantized model may have lost its score "
                "range",
            )
        corners = boxes.to_original(xyxy, frame).astype(np.float32)
        real = boxes.has_area(corners)
        return Detections(corners[real], np.minimum(scores[real], 1), class_ids[real])

    def evaluate(
        self, predictions: Sequence[Prediction], truths: Sequence[Prediction]
    ) -> dict[str, float]:
        """Return COCO's `map50_95`, `map50`, `map75`; raises what `metrics.average_precision` does.

        Predict with `evaluation_settings()` first: a high confidence threshold cuts the curve off.
        """
        return metrics.average_precision(
            metrics.only(Detections, predictions),
            metrics.only(Detections, truths),
            classes=len(self.spec.class_names),
            max_detections=self.max_detections,
        )

    @staticmethod
    def summarise(columns: Mapping[str, Array], class_names: tuple[str, ...]) -> str:
        """Count objects, and images by the class of the surest; see `VisionTask.summarise`."""
        counts, best = columns["prediction_count"], columns["prediction_top_class"]
        found = int((counts > 0).sum())
        objects = counted(int(counts.sum()), "object")
        said = f"{objects} on {found:,} of {counted(len(counts), 'image')}"
        if not found:
            return said
        classes = most_frequent(best[counts > 0], class_names)
        return f"{said}, up to {int(counts.max())} on one; surest of an image: {classes}"

    @staticmethod
    def score_image(prediction: Detections, truth: Detections) -> float:
        """Return the F1 score at IoU 0.5; see `image_score.score_image`."""
        total = len(prediction) + len(truth)
        return 2 * _matched(prediction, truth) / total if total else 1.0

    @staticmethod
    def shown_at(prediction: Detections, confidence: float) -> Detections:
        order = np.argsort(-prediction.scores, kind="stable")
        order = order[prediction.scores[order] > confidence]
        _, first_of_each = np.unique(prediction.xyxy[order], axis=0, return_index=True)
        kept = order[np.sort(first_of_each)]
        return Detections(
            prediction.xyxy[kept], prediction.scores[kept], prediction.class_ids[kept]
        )

    @staticmethod
    def counterparts(one: Detections, other: Detections) -> tuple[int, int]:
        return 2 * _pairs(one, other), len(one) + len(other)

    @staticmethod
    def events(
        found: Detections | None, truth: Detections, nothing: int
    ) -> list[tuple[int, int, float]]:
        if found is None:
            return [(int(k), nothing, 0.0) for k in truth.class_ids]
        overlap = (
            boxes.iou_matrix(found.xyxy, truth.xyxy)
            if len(found) and len(truth)
            else np.zeros((len(found), len(truth)))
        )
        free, events = np.ones(len(truth), bool), []
        for row in np.argsort(-found.scores, kind="stable"):
            near = overlap[row] * (free & (overlap[row] >= MATCH_IOU))
            best = (
                int((near * (1 + (truth.class_ids == found.class_ids[row]))).argmax())
                if len(truth)
                else -1
            )
            # an object of its class before a nearer one of another
            matched = best >= 0 and near[best] > 0
            if matched:
                free[best] = False
            true = int(truth.class_ids[best]) if matched else nothing
            events.append((true, int(found.class_ids[row]), float(found.scores[row])))
        return [*events, *((int(k), nothing, 0.0) for k in truth.class_ids[free])]

    @staticmethod
    def pair(
        champion: Sequence[Prediction],
        challenger: Sequence[Prediction],
        truths: Sequence[Prediction],
        class_names: tuple[str, ...],
    ) -> Pair:
        one, other, true = (
            metrics.only(Detections, some) for some in (champion, challenger, truths)
        )
        return BoxPair(one, other, true, class_names)

    @staticmethod
    def compare_with_chance(
        predictions: Sequence[Prediction], truths: Sequence[Prediction], classes: int
    ) -> HitsByChance:
        return object_hits_by_chance(
            metrics.only(Detections, predictions), metrics.only(Detections, truths)
        )

    @staticmethod
    def scorer(
        rows: Sequence[Mapping[str, Any]],
        boxes_of: Callable[[], Sequence[Prediction]],
        truths: Sequence[Prediction],
        class_names: tuple[str, ...],
        sampling: Sampling,
    ) -> Scorer:
        found, true = metrics.only(Detections, boxes_of()), metrics.only(Detections, truths)
        return BoxPrecision(found, true, class_names, sampling.minimum, sampling.seed)

    @staticmethod
    def restored(
        rows: Sequence[Mapping[str, Any]],
        boxes_of: Callable[[], Sequence[Prediction]],
        classes: int,
    ) -> list[Prediction]:
        return list(boxes_of())

    @staticmethod
    def draw(
        axes: Axes,
        answer: Detections | None,
        truth: Detections,
        names: Sequence[str],
        colours: tuple[str, str],
    ) -> None:
        from matplotlib.patches import Rectangle

        for colour, shown in zip(colours, (truth, answer), strict=True):
            if shown is None:
                continue
            for (left, top, right, bottom), k in zip(shown.xyxy, shown.class_ids, strict=True):
                place = (float(left), float(top))
                size = (float(right - left), float(bottom - top))
                axes.add_patch(Rectangle(place, *size, fill=False, edgecolor=colour, linewidth=1.4))
                axes.text(*place, names[int(k)], color=colour, fontsize=7, va="bottom", ha="left")

    def evaluation_settings(self) -> Detect:
        """Return the task with the thresholds for measuring accuracy, those of `YOLO.val()`."""
        return replace(self, confidence=EVALUATION_CONFIDENCE, multi_label=True)

    def drift_columns(
        self, predictions: Sequence[Prediction], frames: Sequence[ImageFrame]
    ) -> dict[str, Array]:
        """Describe each image's detections, one value an image.

        float64 columns are quantities, NaN where an image has no detection: `prediction_count`
        (never NaN), `prediction_confidence_mean`, `prediction_confidence_min`,
        `prediction_confidence_max`, `prediction_box_side_px` (mean square root of the area),
        `prediction_box_x` and `prediction_box_y` (mean centre, as a share of the image's width and
        height), `prediction_class_entropy` (of the mix of classes, in nats). int64 columns are
        categories: `prediction_top_class` is the class id of the best detection, −1 where there is
        none.

        Arguments:
            predictions: of any number of images.
            frames: of the same images: their sizes.
        """
        images = metrics.only(Detections, predictions)
        pairs = zip(images, frames, strict=True)
        rows = np.array([_summary(*pair) for pair in pairs], np.float64).reshape(
            -1, len(_QUANTITIES)
        )
        columns: dict[str, Array] = {
            f"prediction_{name}": rows[:, k] for k, name in enumerate(_QUANTITIES)
        }
        best = [
            int(found.class_ids[found.scores.argmax()]) if len(found) else -1 for found in images
        ]
        columns["prediction_top_class"] = np.array(best, np.int64)
        return columns


def _summary(detections: Detections, frame: ImageFrame) -> tuple[float, ...]:
    """The values of `_QUANTITIES` for one image."""
    if not len(detections):
        return 0.0, *[np.nan] * (len(_QUANTITIES) - 1)
    scores, corners = detections.scores, detections.xyxy
    sides = np.sqrt((corners[:, 2:] - corners[:, :2]).prod(axis=1))
    x, y = (corners[:, :2] + corners[:, 2:]).mean(axis=0, dtype=np.float64) / (
        2 * frame.width,
        2 * frame.height,
    )
    shares = np.unique_counts(detections.class_ids).counts / len(detections)
    entropy = -(shares * np.log(shares)).sum()
    return len(detections), scores.mean(), scores.min(), scores.max(), sides.mean(), x, y, entropy


def _matched(found: Detections, truth: Detections) -> int:
    """Count detections that match an object of their class, as COCO matches them."""
    if not len(found) or not len(truth):
        return 0
    overlap = boxes.iou_matrix(found.xyxy, truth.xyxy)
    overlap[found.class_ids[:, None] != truth.class_ids[None]] = 0.0
    matched = 0
    for row in np.argsort(-found.scores, kind="stable"):
        best = int(overlap[row].argmax())
        if overlap[row, best] >= MATCH_IOU:
            overlap[:, best] = 0.0
            matched += 1
    return matched


def _pairs(a: Detections, b: Detections) -> int:
    """Count the detections that can be paired, the best overlaps first."""
    if not len(a) or not len(b):
        return 0
    overlaps = np.where(
        a.class_ids[:, None] == b.class_ids[None], boxes.iou_matrix(a.xyxy, b.xyxy), 0.0
    )
    pairs = 0
    while overlaps.max() >= SAME_BOX:
        row, column = np.unravel_index(overlaps.argmax(), overlaps.shape)
        overlaps[row], overlaps[:, column] = 0.0, 0.0
        pairs += 1
    return pairs
