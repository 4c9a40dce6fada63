import json

import numpy as np
import pytest

from components.contracts import Classification, Detections
from components.inference import PredictionResult
from components.inference.results import run_lengths
from tests.toy.plugins import Count

NAMES = ("cat", "dog")


def test_detections_are_listed_in_their_order_with_names_boxes_and_masks():
    masks = np.zeros((2, 3, 4), bool)
    masks[1, 0, :2] = True
    found = Detections([[0, 1, 2, 3], [4, 5, 6, 7]], [0.9, 0.5], [1, 0], masks)
    first, second = PredictionResult("a", found, NAMES, 1.0).items
    assert (first.class_id, first.class_name, first.box) == (1, "dog", (0.0, 1.0, 2.0, 3.0))
    assert first.confidence == pytest.approx(0.9)
    assert second.class_name == "cat" and second.mask is not None and second.mask.sum() == 2
    assert second.to_dict()["mask"] == {"size": [3, 4], "counts": [0, 1, 2, 1, 8]}


def test_a_classification_lists_its_five_most_probable_classes():
    names = tuple("abcdefg")
    probs = [0.05, 0.3, 0.1, 0.25, 0.1, 0.15, 0.05]
    items = PredictionResult("a", Classification(probs), names, 1.0).items
    assert [item.class_name for item in items] == ["b", "d", "f", "c", "e"]
    assert all(item.box is None and item.mask is None for item in items)


def test_an_image_without_detections_is_ok_and_a_failed_one_is_not():
    assert PredictionResult("a", Detections.empty(), NAMES, 1.0).ok
    failed = PredictionResult("a", None, NAMES, 1.0, error="expected an image, found soup")
    assert not failed.ok and failed.items == ()


def test_json_holds_everything_that_a_client_needs():
    result = PredictionResult(
        "a",
        Classification([0.25, 0.75]),
        NAMES,
        1.5,
        {"camera": 3},
        models=("cats/1", "cats/2"),
    )
    assert json.loads(result.to_json()) == {
        "image_id": "a",
        "items": [
            {"class_id": 1, "class_name": "dog", "confidence": 0.75},
            {"class_id": 0, "class_name": "cat", "confidence": 0.25},
        ],
        "ms": 1.5,
        "metadata": {"camera": 3},
        "error": "",
        "cause": None,
        "models": ["cats/1", "cats/2"],
    }


def test_what_else_a_task_says_of_a_prediction_is_listed_by_name():
    (item,) = PredictionResult("a", Count(5.0, 0.75), NAMES, 1.0).items
    assert item.values == {"value": 5.0}
    assert item.to_dict() == {"class_id": 0, "class_name": "cat", "confidence": 0.75, "value": 5.0}


@pytest.mark.parametrize(
    ("mask", "counts"),
    [
        (np.zeros((2, 3), bool), [6]),
        (np.ones((2, 3), bool), [0, 6]),
        (np.eye(2, dtype=bool), [0, 1, 2, 1]),
    ],
)
def test_run_lengths_are_those_of_coco(mask, counts):
    assert run_lengths(mask) == {"size": list(mask.shape), "counts": counts}
