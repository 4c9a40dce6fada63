"""Confusions, precision against recall, and the worst images, of predictions made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from components.contracts import Classification, Detections
from components.vision.evaluation import evaluate_images
from model_registry import draw_evaluation, worst


def boxes(*rows):
    """Detections from (left, top, right, bottom, score, class)."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def answer(class_id, score):
    probs = np.zeros(3, np.float32)
    probs[class_id] = score
    return Classification(probs)


TRUTHS = {
    "a": boxes((0, 0, 10, 10, 1, 0), (20, 20, 30, 30, 1, 1)),
    "b": boxes((0, 0, 10, 10, 1, 0)),
    "c": boxes((0, 0, 10, 10, 1, 1)),
    "unseen": boxes((0, 0, 10, 10, 1, 1)),
}
FOUND = {
    # the second one of the wrong class
    "a": boxes((0, 0, 10, 10, 0.9, 0), (20, 20, 30, 30, 0.8, 0)),
    "b": boxes((0, 0, 10, 10, 0.7, 0), (50, 50, 60, 60, 0.6, 1)),  # and one where nothing is
    "c": None,  # no answer: the object is missed
}


def test_each_object_and_each_detection_is_counted_once():
    found = evaluate_images(FOUND, TRUTHS, 2)
    assert found.confusions.tolist() == [[2, 0, 0], [1, 0, 1], [0, 1, 0]]
    assert found.scores == {"a": 0.5, "b": pytest.approx(2 / 3), "c": 0.0}
    assert worst(found) == ["c", "a", "b"]


def test_precision_falls_with_the_first_wrong_detection():
    recall, precision = evaluate_images(FOUND, TRUTHS, 2).curves[0]
    assert recall.tolist() == [0.5, 0.5, 1.0]
    assert precision.tolist() == [1.0, pytest.approx(2 / 3), pytest.approx(2 / 3)]


def test_an_object_goes_to_a_detection_of_its_class_before_a_nearer_one_of_another():
    truths = {"x": boxes((0, 0, 10, 10, 1, 0), (0, 0, 10, 9, 1, 1))}
    found = evaluate_images({"x": boxes((0, 0, 10, 9, 0.9, 0), (0, 0, 10, 10, 0.8, 1))}, truths, 2)
    assert found.confusions.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_a_classifiers_confusions_have_no_row_for_nothing():
    truths = {name: answer(k, 1.0) for name, k in (("a", 0), ("b", 1), ("c", 2))}
    found = evaluate_images({"a": answer(0, 0.9), "b": answer(0, 0.6), "c": None}, truths, 3)
    assert found.confusions.tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert found.scores == {"a": 1.0, "b": 0.0, "c": 0.0}
    assert found.curves[0][1].tolist() == [1.0, 0.5]


def test_nothing_labelled_is_nothing_to_evaluate():
    assert evaluate_images(FOUND, {}, 2) is None


def test_three_pictures_are_drawn(tmp_path):
    found = evaluate_images(FOUND, TRUTHS, 2)
    pixels = np.zeros((64, 64, 3), np.uint8)
    shown = {name: (pixels, FOUND[name], TRUTHS[name]) for name in worst(found)}
    draw_evaluation(found, ("cat", "dog"), shown, tmp_path / "figures")
    names = ["confusion_matrix.png", "precision_recall.png", "worst_images.png"]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == names
    assert all(
        path.read_bytes().startswith(b"\x89PNG") for path in (tmp_path / "figures").iterdir()
    )
