"""Share of a letterboxed input that is padding, and the shape that the images suggest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from components.contracts import Fit, VisionSpec

STRIDE = 32  # sides of a YOLO input are multiples of it
_NOTABLE = 0.01
_WORTH = 0.05  # share of the pixels to compute that another shape must save to be worth a word


@dataclass(frozen=True)
class InputShape:
    """Padding that a model's input shape costs on some images.

    Arguments:
        input_size: (height, width) in pixels.
        padded: share of the input's pixels that is padding, mean over the images.
        suggested: the smallest (height, width) in which every image is as large as in a square of
            the input's longer side; None where it would not be worth it.
        suggested_padded: its padding.
        images: how many were looked at.
    """

    input_size: tuple[int, int]
    padded: float
    suggested: tuple[int, int] | None
    suggested_padded: float | None
    images: int

    @property
    def wasteful(self) -> bool:
        """Tell whether the share of padding is large enough to matter."""
        return self.padded >= _NOTABLE

    @property
    def text(self) -> str:
        """One line for people."""
        height, width = self.input_size
        images = f"{self.images} validation image{'' if self.images == 1 else 's'}"
        seen = f"input {width} × {height} px: {self.padded:.0%} of it is padding on the {images}"
        if self.suggested is None or self.suggested_padded is None:
            return seen
        fewer = 1 - math.prod(self.suggested) / math.prod(self.input_size)
        gain = f"{self.suggested_padded:.0%} padding" + (
            f", {fewer:.0%} fewer pixels to compute" if fewer > 0 else ""
        )
        return (
            f"{seen}; their shapes suggest model.image_size: {list(self.suggested)} (height, "
            f"width), {gain}"
        )


def input_shape(sizes: Sequence[tuple[int, int]], spec: VisionSpec) -> InputShape | None:
    """Compare a model's input shape with the shapes of images.

    Arguments:
        sizes: (height, width) of upright images in pixels.
        spec: of the model.

    Returns:
        None where images are not letterboxed, so that nothing is padded, or where there are none.
    """
    if spec.fit is not Fit.LETTERBOX or not sizes:
        return None
    padded = _padded(sizes, spec.input_size)
    suggested = _suggested(sizes, max(spec.input_size))
    less = _padded(sizes, suggested)
    area, other = math.prod(spec.input_size), math.prod(suggested)
    worth = other <= area * (1 - _WORTH) or (other == area and less <= padded - _WORTH)
    if not worth:
        return InputShape(spec.input_size, padded, None, None, len(sizes))
    return InputShape(spec.input_size, padded, suggested, less, len(sizes))


def _padded(sizes: Sequence[tuple[int, int]], target: tuple[int, int]) -> float:
    """Share of padding in a target shape, mean over images."""
    shares = []
    for rows, columns in sizes:
        ratio = min(target[0] / rows, target[1] / columns)
        shares.append(1 - rows * columns * ratio * ratio / math.prod(target))
    return sum(shares) / len(shares)


def _suggested(sizes: Sequence[tuple[int, int]], longest: int) -> tuple[int, int]:
    """Find the smallest shape of whole strides around all images.

    Each image is scaled to a longer side of `longest`.
    """
    ratios = [longest / max(size) for size in sizes]
    needed = (
        max(round(size[axis] * ratio) for size, ratio in zip(sizes, ratios, strict=True))
        for axis in (0, 1)
    )
    height, width = (max(math.ceil(side / STRIDE), 1) * STRIDE for side in needed)
    return height, width
