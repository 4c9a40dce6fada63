from __future__ import annotations

import io

import numpy as np
import pytest

from components.benchmark.messages import Failed, Found, Message, Predicted, Timings, decode, encode
from components.contracts import Classification, Detections, Prediction

BOXES = Detections(
    np.array([[0.1, 1 / 3, 20.7, 30], [5, 5, 9, 9]], np.float32), np.ones(2, np.float32), np.array([3, 0])
)


def received(message: Message) -> Message | None:
    return decode(io.BytesIO(encode(message)).read)


@pytest.mark.parametrize(
    "prediction", [BOXES, Detections.empty(), Classification(np.array([0.1, 1 / 3, 0.56], np.float32))]
)
def test_predictions_arrive_to_the_last_bit(prediction: Prediction) -> None:
    arrived = received(Predicted((Found.of(prediction),)))
    assert isinstance(arrived, Predicted)
    back = arrived.found[0].prediction()
    if isinstance(prediction, Detections):
        assert back == prediction
    else:
        assert isinstance(back, Classification)
        np.testing.assert_array_equal(back.probs, prediction.probs)


def test_messages_of_one_stream_arrive_in_order_until_its_end() -> None:
    sent = [Timings((1.25, 1e-3), (), None), Failed("no – really\nnot")]
    stream = io.BytesIO(b"".join(encode(message) for message in sent))
    assert [decode(stream.read), decode(stream.read), decode(stream.read)] == [*sent, None]


@pytest.mark.parametrize("kept", [3, 8, 20])
def test_stream_that_ends_within_a_message_is_an_error(kept: int) -> None:
    with pytest.raises(EOFError):
        decode(io.BytesIO(encode(Failed("something longer than twenty bytes"))[:kept]).read)
