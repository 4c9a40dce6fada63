"""Rules on when a model may be retrained: each event once, ever more rarely after rejections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import takewhile

_MAX_DOUBLINGS = 10


class Ending(StrEnum):
    """Outcome of a retraining."""

    PROMOTED = "promoted"
    REJECTED = "rejected"
    NEEDS_LABELS = "needs_labels"
    NOT_TRAINABLE = "not_trainable"
    UNDECIDED = "undecided"  # the machine was too busy to measure


OPEN = (Ending.NEEDS_LABELS, Ending.UNDECIDED)  # the same event may be taken up again
_NOTHING_LEARNT = (*OPEN, Ending.NOT_TRAINABLE)


@dataclass(frozen=True)
class Attempt:
    """A retraining that came to an end.

    Arguments:
        event: id of what started it.
        at: when it ended, with a time zone.
        ending: how.
    """

    event: str
    at: datetime
    ending: Ending


def earliest_next(attempts: Sequence[Attempt], cooldown: timedelta) -> datetime | None:
    """Return when the next automatic retraining may begin; None is now.

    The wait after a rejected challenger doubles with each further one: data that taught nothing
    yesterday is unlikely to teach more today. A promotion ends it. An attempt that lacked labels or
    a checkpoint has trained nothing, one that nobody could measure tells nothing of the data, and
    neither counts.

    Arguments:
        attempts: in time order.
        cooldown: after the first rejection.
    """
    judged = [attempt for attempt in attempts if attempt.ending not in _NOTHING_LEARNT]
    rejected = list(takewhile(lambda attempt: attempt.ending is Ending.REJECTED, reversed(judged)))
    if not rejected:
        return None
    doubled: int = 2 ** min(len(rejected) - 1, _MAX_DOUBLINGS)
    return rejected[0].at + cooldown * doubled
