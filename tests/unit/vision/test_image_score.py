import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contracts import Classification, Detections
from components.errors import IncompatibleError
from components.vision.image_score import score_image, score_name


def boxes(*rows):
    """Detections from (left, top, right, bottom, score, class id)."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


ONE, TWO = (0, 0, 10, 10, 0.9, 1), (20, 20, 40, 40, 0.8, 2)


@pytest.mark.parametrize(
    ("found", "truth", "score"),
    [
        ((ONE, TWO), (ONE, TWO), 1.0),
        ((), (), 1.0),
        ((ONE,), (), 0.0),
        ((), (ONE,), 0.0),
        ((ONE,), (ONE, TWO), 2 / 3),
        (((0, 0, 10, 10, 0.9, 2),), (ONE,), 0.0),  # another class
        (((0, 0, 10, 5, 0.9, 1),), (ONE,), 1.0),  # IoU 0.5
        (((0, 0, 10, 4.9, 0.9, 1),), (ONE,), 0.0),
        ((ONE, (0, 0, 10, 9, 0.5, 1)), (ONE,), 2 / 3),  # the second finds its object taken
        # the surer one chooses first
        (((0, 0, 10, 8, 0.5, 1), ONE), (ONE, (0, 0, 10, 7, 1, 1)), 1.0),
    ],
)
def test_a_detectors_score_is_its_f1_on_the_image(found, truth, score):
    assert score_image(boxes(*found), boxes(*truth)) == pytest.approx(score)


def test_a_classifiers_score_is_right_or_wrong():
    cat, dog = Classification([0.6, 0.4]), Classification([0.0, 1.0])
    assert (score_image(cat, cat), score_image(cat, dog)) == (1.0, 0.0)


rows = st.lists(
    st.tuples(*[st.integers(0, 4)] * 2, st.floats(0.1, 1), st.integers(0, 2)), max_size=6
)


@given(rows, rows)
def test_a_score_is_between_0_and_1_and_perfect_for_the_truth_itself(found, truth):
    one, other = (
        boxes(*((x, y, x + 2, y + 2, score, k) for x, y, score, k in some))
        for some in (found, truth)
    )
    assert 0 <= score_image(one, other) <= 1
    assert score_image(one, one) == 1.0


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(IncompatibleError, match="own task"):
        score_image(boxes(ONE), Classification([1.0]))


def test_a_score_has_a_name():
    assert (score_name("detect"), score_name("classify")) == ("F1 at IoU 0.5", "top-1")
