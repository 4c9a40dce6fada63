"""Views: parts of an image, perhaps flipped, that a model sees as images of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.contracts.arrays import Array, Flags, Floats32, Image


@dataclass(frozen=True)
class View:
    """A part of an image that a model sees, and the way of its predictions back into the image.

    Arguments:
        left: of the part, in pixels of the image.
        top: of the part.
        width: of the part.
        height: of the part.
        image_size: (height, width) of the image.
        flip_x: left and right are swapped.
        flip_y: top and bottom are swapped.
    """

    left: int
    top: int
    width: int
    height: int
    image_size: tuple[int, int]
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def of_whole(cls, height: int, width: int) -> View:
        """Return the view of a whole image as it is."""
        return cls(0, 0, width, height, (height, width))

    @property
    def is_plain(self) -> bool:
        """Tell whether it is the whole image as it is."""
        return self == View.of_whole(*self.image_size)

    def cut(self, image: Image) -> Image:
        """Return what the model sees of an image (h, w, 3), itself where that is all of it."""
        if self.is_plain:
            return image
        part = image[self.top : self.top + self.height, self.left : self.left + self.width]
        return np.ascontiguousarray(part[self._steps])

    def boxes_in_image(self, xyxy: Array) -> Floats32:
        """Bring (n, 4) boxes from pixels of the view to pixels of the image."""
        boxes = xyxy.astype(np.float32)
        if self.flip_x:
            boxes[:, [0, 2]] = self.width - boxes[:, [2, 0]]
        if self.flip_y:
            boxes[:, [1, 3]] = self.height - boxes[:, [3, 1]]
        return boxes + np.array([self.left, self.top] * 2, np.float32)

    def masks_in_image(self, masks: Flags) -> Flags:
        """Bring (n, height, width) masks of the view to (n, *image_size) masks of the image."""
        placed = np.zeros((len(masks), *self.image_size), bool)
        rows = slice(self.top, self.top + self.height)
        placed[:, rows, self.left : self.left + self.width] = masks[(slice(None), *self._steps)]
        return placed

    @property
    def _steps(self) -> tuple[slice, slice]:
        return slice(None, None, -1 if self.flip_y else 1), slice(
            None, None, -1 if self.flip_x else 1
        )
