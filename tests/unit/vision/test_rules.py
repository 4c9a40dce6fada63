import numpy as np
import pytest

from components.contracts import Detections
from components.errors import ConfigError
from components.vision.rules import DETECTION_RULES, Rules, filter_by, inside_polygon

NAMES = ("bolt", "nut", "ring")
FOUND = Detections(
    [[0, 0, 10, 4], [20, 20, 30, 30], [40, 0, 60, 20], [50, 50, 52, 90]],
    [0.9, 0.6, 0.5, 0.3],
    [0, 1, 1, 2],
)


def kept(**rules):
    found = filter_by(Rules(**rules), DETECTION_RULES, NAMES)(FOUND)
    return [FOUND.xyxy.tolist().index(box) for box in found.xyxy.tolist()]


def test_without_rules_everything_is_kept():
    assert kept() == [0, 1, 2, 3]


def test_the_shorter_side_decides_the_size():
    assert kept(min_side_px=4) == [0, 1, 2]
    assert kept(min_side_px=4.1) == [1, 2]


def test_the_middle_of_a_box_is_in_the_region_or_not():
    assert kept(region=[(0, 0), (30, 0), (30, 30), (0, 30)]) == [0, 1]
    assert kept(region=[(0, 0), (100, 0), (100, 90)]) == [0, 2]  # a triangle


def test_classes_are_named():
    assert kept(classes=["nut", "ring"]) == [1, 2, 3]


def test_each_class_has_its_own_confidence_and_must_exceed_it():
    assert kept(confidence={"nut": 0.55, "ring": 0.3}) == [0, 1]


def test_all_rules_must_be_met():
    assert kept(classes=["nut"], min_side_px=15) == [2]


def test_an_image_without_detections_stays_empty():
    keep = filter_by(
        Rules(min_side_px=3, region=[(0, 0), (9, 0), (9, 9)], classes=["nut"]),
        DETECTION_RULES,
        NAMES,
    )
    assert keep(Detections.empty()) == Detections.empty()


def test_the_inside_of_a_polygon_is_decided_by_the_even_odd_rule():
    star = np.array([(0, -10), (6, 8), (-9, -3), (9, -3), (-6, 8)])  # its middle is outside
    concave = np.array([(0, 0), (10, 0), (10, 10), (5, 2), (0, 10)])
    points = np.array([(0, 0), (0, -8), (0.5, 1)])
    assert inside_polygon(points, star).tolist() == [False, True, False]
    assert inside_polygon(np.array([(5, 5), (5, 1), (1, 5)]), concave).tolist() == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"region": [(0, 0), (1, 1)]}, "at least three"),
        ({"region": [(0, 0), (1, 1), (2, 2)]}, "with an area"),
        ({"region": [(0, 0), (1, float("nan")), (2, 2)]}, "finite"),
        ({"confidence": {"nut": 2}}, "between 0 and 1"),
        ({"min_side_px": 0}, "min_side_px"),
        ({"class": ["nut"]}, "did you mean classes"),
    ],
)
def test_rules_that_cannot_be_are_refused(values, said):
    with pytest.raises(ConfigError, match=said):
        Rules(**values)


def test_unknown_classes_and_rules_that_a_task_lacks_are_refused():
    with pytest.raises(ConfigError, match="found screw"):
        filter_by(Rules(classes=["nut", "screw"]), DETECTION_RULES, NAMES)
    with pytest.raises(ConfigError, match="which has none, found min_side_px"):
        filter_by(Rules(min_side_px=3), {}, NAMES)
