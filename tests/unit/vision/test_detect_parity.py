"""Detections against those of Ultralytics' `predict`, accuracy against that of its validator."""

import cv2
import numpy as np
import pytest

from components.contracts import Detections, Fit, VisionSpec
from components.vision.fit import fit_image
from components.vision.tasks.detect import Detect

pytestmark = pytest.mark.slow

SIZE = (96, 128)
IMAGE_SIZES = [(150, 240), (240, 150), (60, 200), (333, 97), (96, 128), (31, 47)]


@pytest.fixture(scope="module", autouse=True)
def ultralytics():
    from components.backends.yolo import import_ultralytics

    return import_ultralytics()


def images():
    """Soft coloured clouds of several sizes."""
    rng = np.random.default_rng(1)
    return [
        cv2.resize(
            rng.integers(0, 256, (9, 7, 3), dtype=np.uint8),
            (width, height),
            interpolation=cv2.INTER_CUBIC,
        )
        for height, width in IMAGE_SIZES
    ]


def opinionated(model, stack):
    """Give an untrained network scores all over 0–1, for thresholds and suppression to work on."""
    import torch

    normalisations = [
        module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)
    ]
    for module in normalisations:
        module.reset_running_stats()
        module.momentum = None  # a plain average: one pass settles it
    with torch.no_grad():
        model.train()(stack)
    model.eval()
    head = model.model[-1]
    branches = [
        getattr(head, name)
        for name in ("cv3", "one2one_cv3")
        if getattr(head, name, None) is not None
    ]
    for layer in [level[-1] for branch in branches for level in branch]:
        layer.weight.data *= 5
        layer.bias.data[:] = -4


@pytest.fixture(scope="module", params=["yolo11n.yaml", "yolo26n.yaml"])
def scene(request, ultralytics):
    """A model, its spec, photographs, its raw output for them fitted, and their frames."""
    import torch

    torch.manual_seed(0)
    model = ultralytics.YOLO(request.param).model.eval()
    end2end = bool(getattr(model, "end2end", False))
    names = tuple(model.names.values())
    spec = VisionSpec("detect", names, SIZE, Fit.LETTERBOX, "yolo_end2end" if end2end else "yolo")
    fitted, frames = zip(*(fit_image(image, spec) for image in images()), strict=True)
    stack = torch.from_numpy(np.stack(fitted)[..., ::-1].transpose(0, 3, 1, 2).copy()).float() / 255
    opinionated(model, stack)
    with torch.inference_mode():
        output = model(stack)[0].numpy()
    yolo = ultralytics.YOLO(request.param)
    yolo.model = model
    return yolo, spec, output, frames


@pytest.mark.parametrize("confidence", [0.25, 0.05])
def test_detections_are_those_of_predict(scene, confidence):
    yolo, spec, output, frames = scene
    ours = Detect(spec, confidence=confidence).postprocess([output], frames)
    theirs = [
        with_an_area(
            yolo.predict(image, imgsz=SIZE, rect=False, conf=confidence, iou=0.7, verbose=False)[
                0
            ].boxes
        )
        for image in images()
    ]
    assert sum(map(len, theirs)) > 100
    matched = sum(agreeing(found, boxes) for found, boxes in zip(ours, theirs, strict=True))
    assert matched >= 0.99 * max(sum(map(len, theirs)), sum(map(len, ours)))


def with_an_area(boxes):
    """Keep boxes with an area: `predict` gives those in the padding none; we do not report them."""
    return boxes[((boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]) > 0).all(dim=1)]


def agreeing(found, boxes):
    """Count their boxes with one of ours of IoU ≥ 0.95, the same class, a score within 0.02."""
    from torchvision.ops import box_iou

    overlap = box_iou(boxes.xyxy, boxes.xyxy.new_tensor(found.xyxy)).numpy() >= 0.95
    same = boxes.cls.numpy()[:, None] == found.class_ids
    close = np.abs(boxes.conf.numpy()[:, None] - found.scores) <= 0.02
    return int((overlap & same & close).any(axis=1).sum())


@pytest.mark.parametrize("multi_label", [False, True])
def test_decoding_is_that_of_ultralytics_box_by_box(ultralytics, multi_label):
    import torch
    from ultralytics.utils.nms import non_max_suppression
    from ultralytics.utils.ops import scale_boxes

    rng = np.random.default_rng(3)
    output = np.zeros((2, 4 + 20, 900), np.float32)
    output[:, :2], output[:, 2:4] = (
        rng.uniform(0, 128, (2, 2, 900)),
        rng.uniform(8, 60, (2, 2, 900)),
    )
    output[:, 4:] = rng.random((2, 20, 900)) ** 12
    spec = VisionSpec("detect", tuple(map(str, range(20))), (128, 128), Fit.LETTERBOX, "yolo")
    shapes = [(300, 200), (77, 130)]
    frames = [fit_image(np.zeros((*shape, 3), np.uint8), spec)[1] for shape in shapes]
    ours = Detect(spec, confidence=0.2, iou=0.5, multi_label=multi_label).postprocess(
        [output], frames
    )
    theirs = non_max_suppression(torch.from_numpy(output.copy()), 0.2, 0.5, multi_label=multi_label)
    for found, rows, shape in zip(ours, theirs, shapes, strict=True):
        xyxy = scale_boxes((128, 128), rows[:, :4], shape)
        inside = ((xyxy[:, 2:] - xyxy[:, :2]) > 0).all(1).numpy()
        assert inside.sum() > 100
        np.testing.assert_allclose(found.xyxy, xyxy[inside], atol=0.01)
        np.testing.assert_array_equal(found.scores, rows[inside, 4])
        np.testing.assert_array_equal(found.class_ids, rows[inside, 5])


def noisy_scene(rng):
    """Draw one image's truth and a detector's view: moved, missed, mistaken and imagined boxes."""
    n = int(rng.integers(1, 9))
    corners, sizes, classes = (
        rng.uniform(0, 500, (n, 2)),
        rng.uniform(20, 150, (n, 2)),
        rng.integers(5, size=n),
    )
    truth = Detections(np.hstack([corners, corners + sizes]), np.ones(n), classes)
    copies = rng.permutation(n)[: int(rng.integers(n + 1))]
    seen = truth.xyxy[copies] + rng.normal(0, 6, (len(copies), 4))
    labels = np.where(
        rng.random(len(copies)) < 0.85, classes[copies], rng.integers(5, size=len(copies))
    )
    wild = rng.uniform(0, 400, (3, 2))
    xyxy = np.vstack([seen, np.hstack([wild, wild + 60])])
    scores = np.concatenate([rng.beta(4, 2, len(copies)), rng.beta(2, 4, 3)])
    return truth, Detections(xyxy, scores, np.concatenate([labels, rng.integers(5, size=3)]))


def test_accuracy_is_that_of_the_ultralytics_validator(ultralytics):
    import torch
    from ultralytics.engine.validator import BaseValidator
    from ultralytics.utils.metrics import ap_per_class, box_iou

    rng = np.random.default_rng(5)
    truths, predictions = zip(*(noisy_scene(rng) for _ in range(150)), strict=True)

    class Matcher(BaseValidator):
        def __init__(self):
            self.iouv = torch.linspace(0.5, 0.95, 10)

    hits = [
        Matcher().match_predictions(
            torch.tensor(found.class_ids),
            torch.tensor(true.class_ids),
            box_iou(torch.tensor(true.xyxy), torch.tensor(found.xyxy)),
        )
        for found, true in zip(predictions, truths, strict=True)
    ]
    together = [
        np.concatenate([getattr(found, name) for found in predictions])
        for name in ("scores", "class_ids")
    ]
    theirs = ap_per_class(
        np.concatenate(hits), *together, np.concatenate([true.class_ids for true in truths])
    )[5]
    spec = VisionSpec("detect", tuple("abcde"), (640, 640), Fit.LETTERBOX, "yolo")
    ours = Detect(spec).evaluate(predictions, truths)
    assert 0.1 < ours["map50_95"] < ours["map50"] < 0.9
    assert ours["map50_95"] == pytest.approx(theirs.mean(), abs=0.005)
    assert ours["map50"] == pytest.approx(theirs[:, 0].mean(), abs=0.01)
    assert ours["map75"] == pytest.approx(theirs[:, 5].mean(), abs=0.01)
