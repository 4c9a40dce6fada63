"""Numbers that say what an image looks like, for drift monitoring.

Tone and colour come from the image reduced to 256 px; sharpness and edges from a crop at native
resolution, since reducing hides blur (a blur of σ = 1 at 1080p takes the Laplacian's variance to 8
% in the crop and to 87 % at 256 px). A change to either, or to what a column of the predictions
means, makes old and new numbers incomparable: it raises `STATISTICS_RECIPE`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from components.contracts.arrays import Image

STATISTICS_RECIPE = 2

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
    "blockiness",
)

# column → (absolute, relative to the usual value): a change below either is no change of the images
# that matters. A camera quantizes to one grey level and its exposure wavers by another; what is
# exact, such as a size, has none.
SMALLEST_CHANGES: Mapping[str, tuple[float, float]] = {
    "brightness": (2.0, 0.0),
    "contrast": (2.0, 0.0),
    "blue": (2.0, 0.0),
    "green": (2.0, 0.0),
    "red": (2.0, 0.0),
    "saturation": (0.02, 0.0),
    "colourfulness": (2.0, 0.0),
    "entropy": (0.1, 0.0),
    "sharpness": (1.0, 0.1),
    "edge_density": (0.005, 0.1),
    "blockiness": (0.05, 0.0),
}

_SIDE = 256
_CANNY = (100, 200)
_BLOCK = 8  # side of JPEG's blocks in px
_MIN_STEP = 0.1  # grey levels; keeps the ratio of two flat areas at 1


def image_statistics(image: Image) -> dict[str, float]:
    """Describe one image.

    Arguments:
        image: (height, width, 3) uint8 BGR, upright, at least 1 × 1.

    Returns:
        The columns of `IMAGE_COLUMNS`, in that order: width and height in pixels; aspect, width /
        height; megapixels; brightness and contrast, mean and standard deviation of the grey values
        (0–255); blue, green and red, the channels' means (0–255); saturation, the mean of HSV's S
        (0–1); colourfulness; entropy of the grey values in bits (0–8); sharpness, the variance of
        the Laplacian; edge_density, the share of Canny edge pixels (0–1); blockiness, how much
        stronger the steps are on the grid of 8 px that JPEG leaves than off it (1 is no grid).
    """
    height, width = image.shape[:2]
    small = _reduced(image)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    detail = cv2.cvtColor(_centre(image), cv2.COLOR_BGR2GRAY)
    brightness, contrast = cv2.meanStdDev(grey)
    planes = cv2.split(small)
    blue, green, red = means = [cv2.mean(plane)[0] for plane in planes]
    return {
        "width": float(width),
        "height": float(height),
        "aspect": width / height,
        "megapixels": width * height / 1e6,
        "brightness": float(brightness[0, 0]),
        "contrast": float(contrast[0, 0]),
        "blue": blue,
        "green": green,
        "red": red,
        "saturation": cv2.mean(cv2.cvtColor(small, cv2.COLOR_BGR2HSV))[1] / 255,
        "colourfulness": _colourfulness(planes, means),
        "entropy": _entropy(grey),
        "sharpness": _sharpness(detail),
        "edge_density": cv2.countNonZero(cv2.Canny(detail, *_CANNY)) / detail.size,
        "blockiness": _blockiness(detail),
    }


def check_statistics(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of image statistics; ValueError otherwise, as pydantic wants it."""
    if unknown := sorted(set(names) - set(IMAGE_COLUMNS)):
        raise ValueError(
            f"{', '.join(unknown)}: expected image statistics, {', '.join(IMAGE_COLUMNS)}"
        )
    return names


def _reduced(image: Image) -> Image:
    """The image with its longer side reduced to `_SIDE`; a smaller one as it is.

    It is halved by averaging as often as that goes, then interpolated: over less than a factor of
    two that skips hardly anything, and averaging areas that share pixels would take as long as all
    the statistics together.
    """
    height, width = image.shape[:2]
    while max(height, width) >= 2 * _SIDE and min(height, width) >= 2:
        height, width = height // 2, width // 2
        image = _resized(image[: 2 * height, : 2 * width], width, height, cv2.INTER_AREA)
    scale = _SIDE / max(height, width)
    if scale >= 1:
        return image
    # a line of pixels is not halved
    interpolation = cv2.INTER_LINEAR if scale > 0.5 else cv2.INTER_AREA
    return _resized(
        image, max(1, round(width * scale)), max(1, round(height * scale)), interpolation
    )


def _resized(image: Image, width: int, height: int, interpolation: int) -> Image:
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)


def _centre(image: Image) -> Image:
    """The central `_SIDE` × `_SIDE` pixels, or as many as there are."""
    top, left = (max(0, (side - _SIDE) // 2) for side in image.shape[:2])
    return np.ascontiguousarray(image[top : top + _SIDE, left : left + _SIDE])


def _colourfulness(planes: Sequence[Image], means: Sequence[float]) -> float:
    """Compute M of Hasler and Süsstrunk: 0 is grey, 109 very colourful.

    See "Measuring colourfulness in natural images", 2003.

    Their opponent axes are r − g and (r + g) / 2 − b. The mean squares of both follow from those of
    the planes' differences, by the parallelogram law for the second: a tenth of the time that
    making the axes takes.
    """
    blue, green, red = planes
    mean_blue, mean_green, mean_red = means
    red_green, red_blue, green_blue = (
        cv2.norm(one, other, cv2.NORM_L2SQR) / one.size
        for one, other in ((red, green), (red, blue), (green, blue))
    )
    centre = mean_red - mean_green, (mean_red + mean_green) / 2 - mean_blue
    squares = red_green, (2 * red_blue + 2 * green_blue - red_green) / 4
    spread = sum(square - mean**2 for square, mean in zip(squares, centre, strict=True))
    # max: of one colour, rounding gives below 0
    return float(max(spread, 0.0) ** 0.5 + 0.3 * np.hypot(*centre))


def _sharpness(grey: Image) -> float:
    """The variance of the Laplacian; its values are whole numbers, so 16 bits hold them exactly."""
    laplacian = cv2.Laplacian(grey, cv2.CV_16S)
    square, mean = cv2.norm(laplacian, cv2.NORM_L2SQR) / laplacian.size, cv2.mean(laplacian)[0]
    return float(max(square - mean**2, 0.0))


def _blockiness(grey: Image) -> float:
    """Divide the mean step across the strongest of eight possible grids by that across the others.

    The result is that of both directions.

    The idea of Wang, Bovik and Evans, "Blind measurement of blocking artifacts in images", 2000;
    the grid is searched for, since a crop or a turn moves it.
    """
    ratios = []
    for image in (grey, cv2.transpose(grey)):
        if image.shape[1] <= 2 * _BLOCK:  # too narrow to tell a grid from one step
            continue
        steps = cv2.reduce(
            cv2.absdiff(image[:, 1:], image[:, :-1]), 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F
        )[0]
        means = steps[: len(steps) // _BLOCK * _BLOCK].reshape(-1, _BLOCK).mean(axis=0)
        strongest = means.max()
        others = (means.sum() - strongest) / (_BLOCK - 1)
        ratios.append((strongest + _MIN_STEP) / (others + _MIN_STEP))
    return float(np.mean(ratios)) if ratios else 1.0


def _entropy(grey: Image) -> float:
    """Shannon's entropy of the grey values, in bits."""
    counts = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()
    shares = counts[counts > 0] / grey.size
    return float(abs((shares * np.log2(shares)).sum()))  # abs: an image of one grey gives −0.0
