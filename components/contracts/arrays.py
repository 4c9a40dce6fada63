"""Array types by what they hold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.number]  # numbers of any type, as models give them
Image = npt.NDArray[np.uint8]  # (height, width, 3) BGR unless it is said otherwise
Floats = npt.NDArray[np.float64]
