"""The runner's own fitting and decoding against Foveal's, part by part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.contracts import Fit, ImageFrame, Interpolation, VisionSpec, dump
from components.package import run_template
from components.package.golden import to_items
from components.package.run_template import Frame, decode, disagreement, fit_image, overlap
from components.vision import fit
from components.vision.heads import HEADS
from components.vision.tasks.classify import Classify
from components.vision.tasks.detect import Detect

NAMES = ("a", "b", "c")
CONFIG: dict[str, Any] = {"confidence": 0.25, "iou": 0.5, "max_detections": 20}
IMAGE_FRAME = ImageFrame(320, 200, 0.2, 0.21, 0.0, 10.0)
FRAME = Frame(320, 200, 0.2, 0.21, 0.0, 10.0)


@pytest.mark.parametrize("how", list(Fit))
@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
@pytest.mark.parametrize("shape", [(64, 64), (31, 97), (200, 51), (500, 333), (1, 7)])
def test_fitted_image_is_the_same_to_the_pixel(
    how: Fit, size: tuple[int, int], shape: tuple[int, int]
) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    spec = VisionSpec("detect", NAMES, size, how, "yolo")
    expected, frame = fit.fit_image(image, spec)
    found, place = fit_image(image, dump(spec), 114)
    np.testing.assert_array_equal(found, expected)
    assert tuple(place) == pytest.approx(
        (frame.width, frame.height, frame.scale_x, frame.scale_y, frame.offset_x, frame.offset_y)
    )


@pytest.mark.parametrize("opencv_alone", [False, True])
@pytest.mark.parametrize("interpolation", list(Interpolation))
@pytest.mark.parametrize("resize", [None, 100, (60, 100)])
@pytest.mark.parametrize("shape", [(64, 64), (31, 97), (200, 51), (500, 333), (1, 7)])
def test_cropped_image_is_the_same_to_the_last_bit_with_and_without_pillow(
    shape: tuple[int, int],
    resize: Any,
    interpolation: Interpolation,
    opencv_alone: bool,
    monkeypatch: Any,
) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    spec = VisionSpec("classify", NAMES, (48, 80), Fit.CENTER_CROP, "logits", resize, interpolation)
    expected, frame = fit.fit_image(image, spec)
    if opencv_alone:
        monkeypatch.setattr(run_template, "Image", None)
    found, place = fit_image(image, dump(spec), 114)
    np.testing.assert_array_equal(found, expected)
    assert tuple(place) == pytest.approx(
        (frame.width, frame.height, frame.scale_x, frame.scale_y, frame.offset_x, frame.offset_y)
    )


def _outputs(head: str, rng: np.random.Generator) -> np.ndarray:
    if head == "yolo":
        boxes = np.concatenate([rng.uniform(-10, 70, (2, 400)), rng.uniform(-2, 40, (2, 400))])
        output = np.concatenate([boxes, rng.beta(0.5, 2, (3, 400))])[None]
        output[0, :, 7] = np.nan
        return output.astype(np.float32)
    if head == "yolo_end2end":
        corners = rng.uniform(-5, 60, (30, 2))
        columns = [corners, corners + rng.uniform(-2, 30, (30, 2)), rng.uniform(0, 1, (30, 1))]
        return np.concatenate([*columns, rng.integers(0, 3, (30, 1))], axis=1)[None].astype(
            np.float32
        )
    logits = rng.normal(0, 3, (1, 3))
    values = {
        "probabilities": np.exp(logits) / np.exp(logits).sum(),
        "sigmoid": 1 / (1 + np.exp(-logits)),
    }
    return np.asarray(values.get(head, logits), np.float32)


@pytest.mark.parametrize("head", list(HEADS))
@pytest.mark.parametrize("seed", range(6))
def test_decoded_predictions_are_the_same(head: str, seed: int) -> None:
    detects = head in ("yolo", "yolo_end2end")
    spec = VisionSpec("detect" if detects else "classify", NAMES, (64, 64), Fit.LETTERBOX, head)
    output = _outputs(head, np.random.default_rng(seed))
    task = Detect(spec, **CONFIG) if detects else Classify(spec)
    expected = to_items(task.postprocess([output], [IMAGE_FRAME])[0], NAMES)
    found = decode(output[0], FRAME, dump(spec), CONFIG)
    assert len(expected) == len(found) > 1
    for one, other in zip(expected, found, strict=True):
        assert one["class_id"] == other["class_id"]
        assert one["confidence"] == pytest.approx(other["confidence"], abs=1e-6)
        assert one.get("box") == pytest.approx(other.get("box"), abs=1e-3)


def item(confidence: float, left: float = 0, class_id: int = 0) -> dict[str, object]:
    box = [left, 0.0, left + 10, 10.0]
    return {
        "class_id": class_id,
        "class_name": NAMES[class_id],
        "confidence": confidence,
        "box": box,
    }


@pytest.mark.parametrize(
    ("expected", "found", "complaint"),
    [
        ([item(0.9)], [item(0.85)], ""),
        ([item(0.9)], [item(0.75)], "no a like the expected one of confidence 0.900"),
        ([item(0.9)], [item(0.9, class_id=1)], "no a like the expected one of confidence 0.900"),
        ([item(0.9)], [item(0.9, left=0.5)], ""),
        ([item(0.9)], [item(0.9, left=5)], "no a like the expected one of confidence 0.900"),
        ([item(0.3)], [], ""),
        ([], [item(0.3)], ""),
        ([], [item(0.9, class_id=2)], "an unexpected c of confidence 0.900"),
        ([item(0.9)], [item(0.9), item(0.9)], "an unexpected a of confidence 0.900"),
        ([item(0.9), item(0.8, left=1)], [item(0.8, left=1), item(0.9)], ""),
    ],
)
def test_detections_agree_one_to_one_within_the_tolerance(
    expected: list[dict[str, object]], found: list[dict[str, object]], complaint: str
) -> None:
    assert disagreement(expected, found, {"confidence": 0.1, "iou": 0.8}, 0.25) == complaint


@pytest.mark.parametrize(
    ("now", "agrees"),
    [
        ({0: 0.88, 1: 0.12}, True),
        ({0: 0.7, 1: 0.3}, False),
        ({1: 0.9, 0: 0.1}, False),
        ({}, False),
    ],
)
def test_classes_agree_when_the_best_one_is_as_probable_as_before(
    now: dict[int, float], agrees: bool
) -> None:
    def classes(values: dict[int, float]) -> list[dict[str, object]]:
        return [
            {"class_id": k, "class_name": NAMES[k], "confidence": value}
            for k, value in values.items()
        ]

    complaint = disagreement(
        classes({0: 0.9, 1: 0.1}), classes(now), {"confidence": 0.05, "iou": 0.8}, 0.25
    )
    assert (complaint == "") is agrees


def test_overlap_is_intersection_over_union() -> None:
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 10, 10), (20, 20, 30, 30)) == 0
    assert overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0
