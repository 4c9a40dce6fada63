"""Array types by what they hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.number]  # numbers of any type, as models give them
Outputs = Sequence[Array]  # of a model, in their order
Image = npt.NDArray[np.uint8]  # pixels of one image, or of several along a first axis
Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
