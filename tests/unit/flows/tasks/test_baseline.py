from __future__ import annotations

from pathlib import Path

import pytest

from components.contracts import Check, Classification, Detections, LabelledImage, Verdict
from components.errors import BaselineError
from flows.tasks.components import require_baseline, showing_something

GOOD = Check("chance", 0.9, 0.1, Verdict.PASS, "85 of 89 objects found in 32 images, 3.3 by chance")
CHANCE = Check(
    "chance", 0.0, 0.1, Verdict.FAIL, "0 of 89 objects found in 32 images, 3.3 by chance"
)
UNLIKE = Check("framework", 0.1, 0.7, Verdict.FAIL, "2 of 20 predictions have a counterpart")
FEW = Check("framework", None, 0.7, Verdict.NOT_EVALUATED, "3 predictions of both are too few")


def test_a_good_baseline_needs_no_word():
    assert require_baseline((GOOD,), accept=False) == ()


@pytest.mark.parametrize("checks", [(CHANCE,), (GOOD, UNLIKE), (CHANCE, UNLIKE)])
def test_a_broken_baseline_is_one_line_with_what_to_check_unless_it_is_accepted(checks):
    with pytest.raises(BaselineError) as caught:
        require_baseline(checks, accept=False)
    line = str(caught.value)
    assert "\n" not in line
    for word in (
        "head",
        "normalisation",
        "class names",
        "labels",
        "--accept-baseline",
        checks[-1].reason,
    ):
        assert word in line
    assert len(require_baseline(checks, accept=True)) == sum(
        check.verdict is Verdict.FAIL for check in checks
    )


def test_what_the_images_are_too_few_for_is_said():
    (line,) = require_baseline((GOOD, FEW), accept=False)
    assert FEW.reason in line


def test_a_golden_set_is_drawn_from_images_that_show_something():
    full, empty = Detections([[0, 0, 9, 9]], [1], [0]), Detections.empty()
    images = tuple(
        LabelledImage(str(k), Path(f"{k}.png"), full if k % 3 == 0 else empty) for k in range(9)
    )
    assert [image.image_id for image in showing_something(images)] == ["0", "3", "6"]
    assert showing_something(images[1:3]) == images[1:3]
    classified = (LabelledImage("a", Path("a.png"), Classification([1.0, 0.0])),)
    assert showing_something(classified) == classified
