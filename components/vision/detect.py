"""Object detection: decoding of YOLO heads, COCO accuracy and the columns that drift is watched on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from components.contracts import Detections, Head, ImageFrame, Prediction, VisionSpec
from components.errors import ConfigError, ModelError
from components.vision import boxes, metrics
from components.vision.fit import Image, fit_image

Candidates = tuple[npt.NDArray[np.float64], npt.NDArray[np.float32], npt.NDArray[np.int64]]

EVALUATION_CONFIDENCE = 0.001  # low enough for the whole precision-recall curve
SCORE_SLACK = 0.05  # a score of a quantized model may overshoot 1 by a step
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
class Detect:
    """What a detector's input and output mean.

    Arguments:
        spec: of the model; its head is `Head.YOLO` or `Head.YOLO_END2END`.
        confidence: detections must score more than this, 0–1.
        iou: of two boxes of a class that overlap by more than this the weaker one goes, 0–1; end-to-end heads
            have no duplicates to remove.
        max_detections: how many an image keeps at most.
        multi_label: a box may be several classes at once, as accuracy is measured; otherwise it is its best class.

    Raises:
        ConfigError: a threshold is out of range.
        ModelError: the spec is not that of a detector.
    """

    spec: VisionSpec
    confidence: float = 0.25
    iou: float = 0.7
    max_detections: int = 300
    multi_label: bool = False

    metric: ClassVar[str] = "map50_95"

    def __post_init__(self) -> None:
        if self.spec.head not in (Head.YOLO, Head.YOLO_END2END):
            raise ModelError("a detection head, yolo or yolo_end2end", found=str(self.spec.head))
        for name in ("confidence", "iou"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} between 0 and 1", found=str(getattr(self, name)))
        if self.max_detections < 1:
            raise ConfigError("max_detections of 1 or more", found=str(self.max_detections))

    def preprocess(self, image: npt.NDArray[Any]) -> tuple[Image, ImageFrame]:
        """An image (h, w, 3) uint8 BGR as the model's input, and how to come back; see `fit_image`."""
        return fit_image(image, self.spec)

    def postprocess(self, outputs: Sequence[npt.NDArray[Any]], frames: Sequence[ImageFrame]) -> list[Prediction]:
        """Detections of a batch, in pixels of the original images, best score first.

        Boxes with a NaN or an infinity, and boxes without an area inside the image, are left out.

        Arguments:
            outputs: what the model gave for the batch; the first is (n, 4 + classes, anchors) for `Head.YOLO`,
                (n, m, 6) for `Head.YOLO_END2END`, of any float type.
            frames: of the n images.

        Raises:
            ModelError: the output has another shape, scores above 1 or unknown classes.
        """
        if not len(frames):
            return []
        output = self._checked(outputs, len(frames))
        candidates = self._decode_yolo(output) if self.spec.head is Head.YOLO else self._decode_end2end(output)
        return [self._detections(found, frame) for found, frame in zip(candidates, frames, strict=True)]

    def valid_outputs(self, outputs: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
        """Which images of a batch have a sound output: all finite, scores in 0–1, known classes. (n,) bool.

        Costs well under a millisecond an image: cheap enough for every batch in production.

        Raises:
            ModelError: the output has another shape.
        """
        output = self._checked(outputs, None)
        if self.spec.head is Head.YOLO:
            return np.isfinite(output[:, :4]).all(axis=(1, 2)) & _within(output[:, 4:], 1)
        known = _within(output[:, :, 5:], len(self.spec.class_names) - 1)
        return np.isfinite(output).all(axis=(1, 2)) & _within(output[:, :, 4:5], 1) & known

    def _checked(self, outputs: Sequence[npt.NDArray[Any]], images: int | None) -> npt.NDArray[np.float32]:
        """The first output as float32, of the shape that the head promises."""
        shape = outputs[0].shape if len(outputs) else ()
        count = images if images is not None else (shape[0] if shape else "n")
        if self.spec.head is Head.YOLO:
            channels = 4 + len(self.spec.class_names)
            expected = f"({count}, {channels}, anchors), as {channels - 4} classes and 4 box sides make"
            fits = len(shape) == 3 and shape[1] == channels
        else:
            expected = f"({count}, detections, 6)"
            fits = len(shape) == 3 and shape[2] == 6
        if not fits or shape[0] != count:
            raise ModelError(
                f"a first output of shape {expected}",
                found=str(shape) if len(outputs) else "no output",
                mend="give the task, head and class names that the model was exported with",
            )
        return outputs[0].astype(np.float32, copy=False)

    def _decode_yolo(self, output: npt.NDArray[np.float32]) -> list[Candidates]:
        best = output[:, 4:].max(axis=1)  # (n, anchors); NaN where any class is, which no threshold lets pass
        return [
            self._suppress(image[:, np.flatnonzero(confident)].T)
            for image, confident in zip(output, best > self.confidence, strict=True)
        ]

    def _suppress(self, rows: npt.NDArray[np.float32]) -> Candidates:
        """Duplicates removed from (m, 4 + classes) rows."""
        rows = rows[np.isfinite(rows).all(axis=1)]
        xyxy = boxes.xyxy_from_cxcywh(rows)
        real = boxes.has_area(xyxy)
        xyxy, class_scores = xyxy[real], rows[real, 4:]
        if self.multi_label:
            which, class_ids = np.nonzero(class_scores > self.confidence)
        else:
            which, class_ids = np.arange(len(xyxy)), class_scores.argmax(axis=1)
        xyxy, scores = xyxy[which], class_scores[which, class_ids]
        kept = boxes.non_max_suppression(xyxy, scores, class_ids, iou=self.iou, limit=self.max_detections)
        return xyxy[kept], scores[kept], class_ids[kept]

    def _decode_end2end(self, output: npt.NDArray[np.float32]) -> list[Candidates]:
        confident = (output[:, :, 4] > self.confidence) & np.isfinite(output).all(axis=2)
        return [self._ranked(rows[chosen]) for rows, chosen in zip(output, confident, strict=True)]

    def _ranked(self, rows: npt.NDArray[np.float32]) -> Candidates:
        """The best of (m, 6) rows, best first."""
        rows = rows[np.argsort(-rows[:, 4], kind="stable")[: self.max_detections]]
        class_ids = np.rint(rows[:, 5])
        known = len(self.spec.class_names)
        if len(rows) and not 0 <= class_ids.min() <= class_ids.max() < known:
            raise ModelError(
                f"class ids 0–{known - 1}",
                found=f"{class_ids.min():g}–{class_ids.max():g} in the output",
                mend="give the class names that the model was trained with; a quantized model may have lost its ids",
            )
        return rows[:, :4].astype(np.float64), rows[:, 4], class_ids.astype(np.int64)

    def _detections(self, found: Candidates, frame: ImageFrame) -> Detections:
        xyxy, scores, class_ids = found
        if len(scores) and scores[0] > 1 + SCORE_SLACK:
            raise ModelError(
                "scores between 0 and 1",
                found=f"a score of {scores[0]:g}",
                mend="export the model with its sigmoid; a quantized model may have lost its score range",
            )
        corners = boxes.to_original(xyxy, frame).astype(np.float32)
        real = boxes.has_area(corners)
        return Detections(corners[real], np.minimum(scores[real], 1), class_ids[real])

    def evaluate(self, predictions: Sequence[Prediction], truths: Sequence[Prediction]) -> dict[str, float]:
        """COCO's `map50_95`, `map50` and `map75`; see `metrics.average_precision` for what it raises.

        Predict with `evaluation_settings()` first: a high confidence threshold cuts the curve off.
        """
        return metrics.average_precision(
            metrics.only(Detections, predictions),
            metrics.only(Detections, truths),
            classes=len(self.spec.class_names),
            max_detections=self.max_detections,
        )

    def evaluation_settings(self) -> Detect:
        """The same task with the thresholds that accuracy is measured with, which are those of `YOLO.val()`."""
        return replace(self, confidence=EVALUATION_CONFIDENCE, multi_label=True)

    def drift_columns(
        self, predictions: Sequence[Prediction], frames: Sequence[ImageFrame]
    ) -> dict[str, npt.NDArray[Any]]:
        """What each image's detections look like, one value an image.

        float64 columns are quantities, NaN where an image has no detection: `prediction_count` (never NaN),
        `prediction_confidence_mean`, `prediction_confidence_min`, `prediction_confidence_max`,
        `prediction_box_side_px` (mean square root of the area), `prediction_box_x` and `prediction_box_y` (mean
        centre, as a share of the image's width and height), `prediction_class_entropy` (of the mix of classes, in
        nats). int64 columns are categories: `prediction_top_class` is the class id of the best detection, −1 where
        there is none.

        Arguments:
            predictions: of any number of images.
            frames: of the same images: their sizes.
        """
        images = metrics.only(Detections, predictions)
        pairs = zip(images, frames, strict=True)
        rows = np.array([_summary(*pair) for pair in pairs], np.float64).reshape(-1, len(_QUANTITIES))
        columns: dict[str, npt.NDArray[Any]] = {f"prediction_{name}": rows[:, k] for k, name in enumerate(_QUANTITIES)}
        best = [int(found.class_ids[found.scores.argmax()]) if len(found) else -1 for found in images]
        columns["prediction_top_class"] = np.array(best, np.int64)
        return columns


def _within(values: npt.NDArray[np.float32], high: float) -> npt.NDArray[np.bool_]:
    """Which of n blocks (n, …, …) lie between 0 and `high`; a NaN does not."""
    low = values.min(axis=(1, 2), initial=0) >= -SCORE_SLACK
    return np.asarray(low & (values.max(axis=(1, 2), initial=0) <= high + SCORE_SLACK))


def _summary(detections: Detections, frame: ImageFrame) -> tuple[float, ...]:
    """The values of `_QUANTITIES` for one image."""
    if not len(detections):
        return 0.0, *[np.nan] * (len(_QUANTITIES) - 1)
    scores, corners = detections.scores, detections.xyxy
    sides = np.sqrt((corners[:, 2:] - corners[:, :2]).prod(axis=1))
    x, y = (corners[:, :2] + corners[:, 2:]).mean(axis=0, dtype=np.float64) / (2 * frame.width, 2 * frame.height)
    shares = np.unique_counts(detections.class_ids).counts / len(detections)
    entropy = -(shares * np.log(shares)).sum()
    return len(detections), scores.mean(), scores.min(), scores.max(), sides.mean(), x, y, entropy
