"""The smallest change of a column that matters, in the column's own unit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from components.images.statistics import SMALLEST_CHANGES
from components.monitoring.drift.tables import is_prediction

_OF_PREDICTIONS = (0.0, 0.02)  # absolute, and relative to the usual value, as in `SMALLEST_CHANGES`
_OF_OTHERS = (0.0, 0.0)


def smallest_change(column: str, reference: npt.NDArray[np.float64]) -> float:
    """Give what values may move by without meaning anything: `SMALLEST_CHANGES`, or 2 % of a prediction.

    Arguments:
        column: its name.
        reference: (m,) accepted values, NaN where there is none.
    """
    absolute, relative = SMALLEST_CHANGES.get(column, _OF_PREDICTIONS if is_prediction(column) else _OF_OTHERS)
    known = reference[np.isfinite(reference)]
    return max(absolute, relative * float(abs(np.median(known)))) if len(known) else absolute
