"""Confirmation of drift by earlier windows: it takes two of three; one drift is reported once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

WATCHED = 3  # windows, the present one included
AGREEING = 2
# an older window confirms nothing; of a source that is judged monthly the last one does
_MEMORY = timedelta(days=32)


@dataclass(frozen=True)
class PastWindow:
    """An earlier window of the same model version.

    It tells when the window was judged, whether it was raised and whether it fired.
    """

    at: datetime
    raised: bool
    fired: bool = False


def confirmed(history: Sequence[PastWindow], now: datetime) -> bool:
    """Tell whether a raised window makes two of the last three, none of them older than a month.

    Arguments:
        history: earlier windows, the latest last.
        now: when the raised window is judged.
    """
    recent = [window for window in history[-(WATCHED - 1) :] if now - window.at <= _MEMORY]
    return 1 + sum(window.raised for window in recent) >= AGREEING


def cools_down(history: Sequence[PastWindow], now: datetime, hours: float) -> bool:
    """Tell whether a drift fired within the last `hours`, so that another one is not reported."""
    return any(window.fired and now - window.at < timedelta(hours=hours) for window in history)
