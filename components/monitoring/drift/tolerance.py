"""Tolerances of columns, learnt from how much production varies from batch to batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.monitoring.drift.pairs import aligned, pair_columns
from components.monitoring.drift.tables import DriftTable, joined

# then a new batch that is like the old ones lies beyond all of them in one case of 21
MINIMUM_BATCHES = 20
UNTAUGHT = 0.2  # how far a column may move of which nothing has been learnt
_MARGIN = 1.5  # windows may be smaller than the batches, and chance moves them more
_MIN = 0.05
_SMALLEST_SPREAD = 0.02


def learn_tolerances(batches: Sequence[DriftTable], *, minimum_values: int) -> dict[str, float]:
    """Learn from accepted batches how much farther than by chance each column may move.

    Every batch is compared with all the others together. A column's limit is proportional to how
    much that column usually moves, and the factor, the same for all columns, is the largest that
    any column of any batch needed: so it is the chance of *any* alarm that is held down, however
    many columns there are, and with 20 batches that are alike in distribution it is below 1 in 21
    before the margin of a half on top. No limit is wider than if nothing had been learnt, unless
    the column itself has moved as far: one odd batch widens those in which it is odd.

    Arguments:
        batches: accepted windows of one model.
        minimum_values: as for `pair_columns`.

    Returns:
        Column → how far beyond chance it may move, as a share (0–1) of what chance leaves; empty
        when there are fewer than 20 batches.
    """
    if len(batches) < MINIMUM_BATCHES:
        return {}
    moves: dict[str, list[float]] = {}
    for k, batch in enumerate(batches):
        others = joined([other for j, other in enumerate(batches) if j != k])
        pairs, _ = pair_columns(*aligned(others, batch), minimum_values=minimum_values)
        for pair in pairs:
            moves.setdefault(pair.column, []).append(pair.compare().beyond_chance)
    moves = {column: values for column, values in moves.items() if len(values) == len(batches)}
    usual = {
        column: max(float(np.mean(values)), _SMALLEST_SPREAD) for column, values in moves.items()
    }
    factor = max(max(values) / usual[column] for column, values in moves.items())
    widest = {column: max(UNTAUGHT, _MARGIN * max(values)) for column, values in moves.items()}
    return {
        column: max(_MIN, min(_MARGIN * factor * usual[column], widest[column])) for column in moves
    }
