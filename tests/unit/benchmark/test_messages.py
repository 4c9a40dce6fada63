from __future__ import annotations

from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest

from components.benchmark.messages import Message, Predict, Predicted
from components.contracts import Classification, Detections, Prediction

BOXES = Detections(
    np.array([[0.1, 1 / 3, 20.7, 30], [5, 5, 9, 9]], np.float32),
    np.ones(2, np.float32),
    np.array([3, 0]),
)


def received(message: Message) -> Message:
    ours, theirs = Pipe()
    with ours, theirs:
        ours.send(message)
        arrived: Message = theirs.recv()
    return arrived


@pytest.mark.parametrize("prediction", [BOXES, Detections.empty()])
def test_detections_arrive_to_the_last_bit(prediction: Prediction) -> None:
    assert received(Predicted((prediction,))) == Predicted((prediction,))


def test_probabilities_arrive_to_the_last_bit() -> None:
    sent = Classification(np.array([0.1, 1 / 3, 0.56], np.float32))
    arrived = received(Predicted((sent,)))
    assert isinstance(arrived, Predicted)
    (back,) = arrived.predictions
    assert isinstance(back, Classification)
    np.testing.assert_array_equal(back.probs, sent.probs)


def test_masks_stay_behind() -> None:
    masked = Detections(BOXES.xyxy, BOXES.scores, BOXES.class_ids, np.ones((2, 4, 4), bool))
    assert masked.without_masks().masks is None
    assert masked.without_masks() == BOXES


def test_paths_stay_paths() -> None:
    assert received(Predict((Path("a b.png"),))) == Predict((Path("a b.png"),))
