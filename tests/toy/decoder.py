"""Decoding of the toy head, for bundles: it imports nothing of Foveal."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def quantities(output: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return counts of (…,) logarithms of 1 + count, in whole things."""
    return np.asarray(np.rint(np.expm1(output.astype(np.float64))))


def certainties(output: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return how near each count is to a whole number, in 0–1."""
    raw = np.expm1(output.astype(np.float64))
    return np.asarray(1 - 2 * np.abs(raw - np.rint(raw)))


def decode(
    output: npt.NDArray[Any], frame: Any, spec: dict[str, Any], config: dict[str, Any]
) -> list[dict[str, Any]]:
    """Decode the output of one image, (1,); see `run_template.decode`."""
    score = float(np.float32(certainties(output)[0]))
    value = float(quantities(output)[0])
    name = spec["class_names"][0]
    return [{"class_id": 0, "class_name": name, "confidence": score, "value": value}]
