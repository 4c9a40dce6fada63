from datetime import UTC, datetime, timedelta

import pytest

from components.training.attempts import Attempt, Ending, earliest_next

DAY = timedelta(days=1)
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def nights(*endings: Ending) -> list[Attempt]:
    return [
        Attempt(f"event {night}", MONDAY + night * DAY, ending)
        for night, ending in enumerate(endings)
    ]


@pytest.mark.parametrize(
    "endings", [(), (Ending.PROMOTED,), (Ending.NEEDS_LABELS,), (Ending.REJECTED, Ending.PROMOTED)]
)
def test_nothing_to_wait_for(endings):
    assert earliest_next(nights(*endings), DAY) is None


@pytest.mark.parametrize("rejections", [1, 2, 3, 6])
def test_the_wait_doubles_with_every_rejection(rejections):
    attempts = nights(Ending.PROMOTED, *[Ending.REJECTED] * rejections)
    assert earliest_next(attempts, DAY) == attempts[-1].at + 2 ** (rejections - 1) * DAY


def test_an_attempt_without_labels_neither_shortens_nor_lengthens_the_wait():
    attempts = nights(Ending.REJECTED, Ending.NEEDS_LABELS, Ending.REJECTED, Ending.NEEDS_LABELS)
    assert earliest_next(attempts, DAY) == attempts[2].at + 2 * DAY
    assert earliest_next(attempts[:2], DAY) == attempts[0].at + DAY
