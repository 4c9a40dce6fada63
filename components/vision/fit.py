"""Bring an image to a model's input size, and remember how, so that boxes find their way back."""

from __future__ import annotations

import cv2
import numpy as np

from components.contracts import Fit, ImageFrame, Interpolation, VisionSpec
from components.contracts.arrays import Image
from components.errors import ImageError

PADDING = (114, 114, 114)  # the grey that YOLO models are trained with
# target pixels, or source pixels where they are larger
_REACH = {Interpolation.BILINEAR: 1, Interpolation.BICUBIC: 2}


def fit_image(image: Image, spec: VisionSpec) -> tuple[Image, ImageFrame]:
    """Resize an image to what a model takes, the way the model's training did.

    Letterboxing is that of Ultralytics' `LetterBox` to the last pixel: bilinear, centred, the
    padding's odd pixel below and to the right. Stretching and centre cropping are torchvision's
    `Resize` and `CenterCrop` on a Pillow image: bilinear or bicubic with antialiasing. OpenCV has
    no such filter: on photographs its INTER_AREA is up to 44 grey levels away, this is at most 1.

    Arguments:
        image: (h, w, 3) uint8, BGR, upright.
        spec: whose `input_size`, `fit`, `resize` and `interpolation` are wanted.

    Returns:
        The fitted image, (height, width, 3) uint8 BGR and writable, and its frame.

    Raises:
        ImageError: the array is not such an image.
    """
    require_picture(image)
    fitters = {Fit.LETTERBOX: _letterbox, Fit.STRETCH: _stretch, Fit.CENTER_CROP: _center_crop}
    return fitters[spec.fit](image, spec)


def require_picture(image: Image) -> None:
    """Refuse an array that is no picture: (h, w, 3) uint8, not empty.

    Raises:
        ImageError: it is none.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ImageError(
            "an image of shape (height, width, 3) and type uint8",
            found=f"shape {image.shape} and type {image.dtype}",
            hint="give a BGR picture: convert grey or transparent ones, and drop empty ones",
        )


def describe_fit(spec: VisionSpec) -> str:
    """Describe how an image is brought to a model's input size."""
    if spec.fit is Fit.LETTERBOX:
        return "letterbox"
    words = {Fit.STRETCH: "stretched", Fit.CENTER_CROP: "centre crop"}[spec.fit]
    if isinstance(spec.resize, tuple):
        words = f"resized to {spec.resize[1]} × {spec.resize[0]} px, {words}"
    elif spec.resize:
        words = f"shorter side resized to {spec.resize} px, {words}"
    return f"{words}, {spec.interpolation}"


def _letterbox(image: Image, spec: VisionSpec) -> tuple[Image, ImageFrame]:
    (rows, columns), (height, width) = image.shape[:2], spec.input_size
    ratio = min(height / rows, width / columns)
    inner_width, inner_height = max(round(columns * ratio), 1), max(round(rows * ratio), 1)
    if (inner_width, inner_height) != (columns, rows):
        image = cv2.resize(image, (inner_width, inner_height), interpolation=cv2.INTER_LINEAR)
    spare_x, spare_y = width - inner_width, height - inner_height
    left, top = spare_x // 2, spare_y // 2
    fitted = cv2.copyMakeBorder(
        image, top, spare_y - top, left, spare_x - left, cv2.BORDER_CONSTANT, value=PADDING
    )
    # Each side is rounded to whole pixels by itself, so the two scales differ a little.
    return fitted, ImageFrame(columns, rows, inner_width / columns, inner_height / rows, left, top)


def _stretch(image: Image, spec: VisionSpec) -> tuple[Image, ImageFrame]:
    (rows, columns), (height, width) = image.shape[:2], spec.input_size
    fitted = _resample(image, spec, (0, 0, columns, rows))
    return fitted, ImageFrame(columns, rows, width / columns, height / rows, 0.0, 0.0)


def _center_crop(image: Image, spec: VisionSpec) -> tuple[Image, ImageFrame]:
    (rows, columns), (height, width) = image.shape[:2], spec.input_size
    scaled_height, scaled_width = _scaled(rows, columns, spec)
    left, top = round((scaled_width - width) / 2), round((scaled_height - height) / 2)
    scale_x, scale_y = scaled_width / columns, scaled_height / rows
    # Only what survives the crop is resampled: a long thin image costs no more than a square one.
    kept = (left / scale_x, top / scale_y, (left + width) / scale_x, (top + height) / scale_y)
    return _resample(image, spec, kept), ImageFrame(columns, rows, scale_x, scale_y, -left, -top)


def _scaled(rows: int, columns: int, spec: VisionSpec) -> tuple[int, int]:
    """The (height, width) that an image is scaled to before its centre is cropped."""
    height, width = (spec.resize, spec.resize) if isinstance(spec.resize, int) else spec.input_size
    if isinstance(spec.resize, tuple):
        return spec.resize
    if width * rows >= height * columns:
        return width * rows // columns, width
    return height, height * columns // rows


def _resample(image: Image, spec: VisionSpec, kept: tuple[float, float, float, float]) -> Image:
    """The region `kept` (left, top, right, bottom in image pixels) at the wanted size, antialiased.

    Across first, then down, as every release of Pillow does it for a whole image: from 13 on, the
    order depends on the sizes, and bicubic values beyond 0–255 that are cut in between make the two
    orders differ.
    """
    from PIL import Image as pillow

    (rows, columns), (height, width) = image.shape[:2], spec.input_size
    left, top, right, bottom = kept
    # division may overshoot by a rounding error
    right, bottom = min(right, columns), min(bottom, rows)
    reach = _REACH[spec.interpolation] * max((bottom - top) / height, 1) + 2
    # rows that a target pixel depends on
    first, last = max(int(top - reach), 0), min(int(bottom + reach), rows)
    method = pillow.Resampling[spec.interpolation.name]
    used = pillow.fromarray(image[first:last])
    narrow = used.resize((width, last - first), method, box=(left, 0, right, last - first))
    return np.array(
        narrow.resize((width, height), method, box=(0, top - first, width, bottom - first))
    )
