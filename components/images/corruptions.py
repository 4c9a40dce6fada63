"""Known damage to images, in five severities: what the power of a drift alarm is measured with.

The kinds and their strengths follow Hendrycks and Dietterich, "Benchmarking neural network
robustness to common corruptions and perturbations", 2019, with strengths given in shares of the
image's size where that makes them the same for any image.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from components.contracts.arrays import Image
from components.errors import ConfigError

SEVERITIES = (1, 2, 3, 4, 5)

_BRIGHTER = (0.1, 0.2, 0.3, 0.4, 0.5)  # added to HSV's value, 0–1
_CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)  # of the differences that is left
_NOISE = (0.04, 0.06, 0.08, 0.12, 0.18)  # σ, of the full range
_BLUR = (0.002, 0.004, 0.006, 0.008, 0.012)  # σ, of the longer side
_FOG = (0.2, 0.35, 0.5, 0.65, 0.8)  # of the light that comes from the fog
_JPEG = (25, 18, 15, 10, 7)  # quality


def corrupt(image: Image, kind: str, severity: int, rng: np.random.Generator) -> Image:
    """Damage an image.

    Arguments:
        image: (height, width, 3) uint8 BGR.
        kind: one of `CORRUPTIONS`.
        severity: 1 (mild) to 5 (strong).
        rng: source of what is random in it.

    Returns:
        An image of the same shape.

    Raises:
        ConfigError: no such kind or severity.
    """
    if kind not in CORRUPTIONS or severity not in SEVERITIES:
        raise ConfigError(
            f"one of {', '.join(CORRUPTIONS)} with a severity from 1 to 5",
            found=f"{kind} with {severity}",
        )
    return CORRUPTIONS[kind](image, severity - 1, rng)


def _brightness(image: Image, k: int, rng: np.random.Generator) -> Image:
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    hsv[..., 2] = cv2.add(hsv[..., 2], 255 * _BRIGHTER[k])
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), np.uint8)


def _contrast(image: Image, k: int, rng: np.random.Generator) -> Image:
    mean = image.mean(axis=(0, 1), dtype=np.float64)
    return _image((image - mean) * _CONTRAST[k] + mean)


def _noise(image: Image, k: int, rng: np.random.Generator) -> Image:
    return _image(image + rng.normal(0, 255 * _NOISE[k], image.shape))


def _blur(image: Image, k: int, rng: np.random.Generator) -> Image:
    return np.asarray(
        cv2.GaussianBlur(image, (0, 0), max(0.5, _BLUR[k] * max(image.shape[:2]))), np.uint8
    )


def _fog(image: Image, k: int, rng: np.random.Generator) -> Image:
    """Light grey that varies smoothly over the image."""
    height, width = image.shape[:2]
    clouds = cv2.resize(
        rng.uniform(0.6, 1.0, (4, 4)), (width, height), interpolation=cv2.INTER_CUBIC
    )[..., None]
    thickness = np.clip(_FOG[k] * clouds, 0, 1)
    return _image(image * (1 - thickness) + 225 * thickness)


def _jpeg(image: Image, k: int, rng: np.random.Generator) -> Image:
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG[k]])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


def _image(values: npt.NDArray[np.floating]) -> Image:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


CORRUPTIONS: dict[str, Callable[[Image, int, np.random.Generator], Image]] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "noise": _noise,
    "blur": _blur,
    "fog": _fog,
    "jpeg": _jpeg,
}
