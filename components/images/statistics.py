"""Numbers that say what an image looks like, for drift monitoring.

Tone and colour come from the image reduced to 256 px; sharpness and edges from a crop at native resolution, since
reducing hides blur (a blur of σ = 1 at 1080p takes the Laplacian's variance to 8 % in the crop and to 87 % at
256 px). A change to either makes old and new numbers incomparable: it raises `STATISTICS_RECIPE`.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

STATISTICS_RECIPE = 1

IMAGE_COLUMNS = (
    "width",
    "height",
    "aspect",
    "megapixels",
    "brightness",
    "contrast",
    "blue",
    "green",
    "red",
    "saturation",
    "colourfulness",
    "entropy",
    "sharpness",
    "edge_density",
)

_SIDE = 256
_CANNY = (100, 200)
# BGR → the opponent axes red–green and yellow–blue of Hasler & Süsstrunk
_OPPONENT = np.array([[0, -1, 1], [-1, 0.5, 0.5]], np.float32)


def image_statistics(image: npt.NDArray[np.uint8]) -> dict[str, float]:
    """Describe one image.

    Arguments:
        image: (height, width, 3) uint8 BGR, upright, at least 1 × 1.

    Returns:
        The columns of `IMAGE_COLUMNS`, in that order: width and height in pixels; aspect, width / height; megapixels;
        brightness and contrast, mean and standard deviation of the grey values (0–255); blue, green and red, the
        channels' means (0–255); saturation, the mean of HSV's S (0–1); colourfulness; entropy of the grey values in
        bits (0–8); sharpness, the variance of the Laplacian; edge_density, the share of Canny edge pixels (0–1).
    """
    height, width = image.shape[:2]
    small = _reduced(image)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    detail = cv2.cvtColor(_centre(image), cv2.COLOR_BGR2GRAY)
    brightness, contrast = _mean_and_deviation(grey)
    blue, green, red, _ = cv2.mean(small)
    return {
        "width": float(width),
        "height": float(height),
        "aspect": width / height,
        "megapixels": width * height / 1e6,
        "brightness": float(brightness[0]),
        "contrast": float(contrast[0]),
        "blue": blue,
        "green": green,
        "red": red,
        "saturation": cv2.mean(cv2.cvtColor(small, cv2.COLOR_BGR2HSV))[1] / 255,
        "colourfulness": _colourfulness(small),
        "entropy": _entropy(grey),
        "sharpness": float(_mean_and_deviation(cv2.Laplacian(detail, cv2.CV_32F))[1][0] ** 2),
        "edge_density": cv2.countNonZero(cv2.Canny(detail, *_CANNY)) / detail.size,
    }


def _reduced(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The image with its longer side reduced to `_SIDE` by averaging areas; a smaller one as it is."""
    height, width = image.shape[:2]
    while max(height, width) >= 2 * _SIDE and min(height, width) >= 2:  # exact halves are four times as fast
        height, width = height // 2, width // 2
        image = _area(image[: 2 * height, : 2 * width], width, height)
    scale = _SIDE / max(height, width)
    return image if scale >= 1 else _area(image, max(1, round(width * scale)), max(1, round(height * scale)))


def _area(image: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _centre(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The central `_SIDE` × `_SIDE` pixels, or as many as there are."""
    top, left = (max(0, (side - _SIDE) // 2) for side in image.shape[:2])
    return np.ascontiguousarray(image[top : top + _SIDE, left : left + _SIDE])


def _mean_and_deviation(values: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and standard deviation of each channel, both of shape (channels,)."""
    mean, deviation = cv2.meanStdDev(values)
    return mean.ravel(), deviation.ravel()


def _colourfulness(image: npt.NDArray[np.uint8]) -> float:
    """M of Hasler and Süsstrunk, "Measuring colourfulness in natural images", 2003: 0 is grey, 109 very colourful."""
    mean, deviation = _mean_and_deviation(cv2.transform(image.astype(np.float32), _OPPONENT))
    return float(np.hypot(*deviation) + 0.3 * np.hypot(*mean))


def _entropy(grey: npt.NDArray[np.uint8]) -> float:
    """Shannon's entropy of the grey values, in bits."""
    counts = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()
    shares = counts[counts > 0] / grey.size
    return float(abs((shares * np.log2(shares)).sum()))  # abs: an image of one grey gives −0.0
