"""Pictures that test the reading of images: turned by EXIF, on white, grey, 16 bits a channel."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]

SIDE = 320  # pixels; enough to be seen, and little to carry
_QUARTER_TURN = 6  # EXIF: stored lying on its left side


def draw_base(image: Pixels) -> Pixels:
    """Draw the base of the pictures: a small real image.

    It has a corner that every turn and other rule changes.

    Arguments:
        image: (height, width, 3) uint8 BGR.
    """
    height, width = image.shape[:2]
    scale = min(SIDE / max(height, width), 1.0)
    size = max(round(width * scale), 12), max(round(height * scale), 12)
    base = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8).copy()
    rows, columns = base.shape[0] // 3, base.shape[1] // 3
    across = np.linspace(0, 255, columns).astype(np.uint8)
    base[:rows, :columns] = np.stack([np.broadcast_to(across, (rows, columns))] * 3, axis=-1)
    base[:rows, :columns, 0] = 255 - base[:rows, :columns, 0]
    return base


def _transparent(base: Pixels) -> bytes:
    """Black pixels that nobody is to see in the lower right third, and a strip that shows half."""
    alpha = np.full(base.shape[:2], 255, np.uint8)
    rows, columns = base.shape[0] * 2 // 3, base.shape[1] * 2 // 3
    alpha[:rows, columns:] = 128
    alpha[rows:, columns:] = 0
    hidden = np.where(alpha[..., None] == 0, np.uint8(0), base)
    return _png(np.dstack([hidden, alpha]))


def _turned(base: Pixels) -> bytes:
    """A JPEG that lies on its side and says so."""
    exif = Image.Exif()
    exif[0x0112] = _QUARTER_TURN
    lying = np.ascontiguousarray(np.rot90(base)[..., ::-1])
    sink = io.BytesIO()
    Image.fromarray(lying).save(sink, "JPEG", quality=95, exif=exif)
    return sink.getvalue()


def _grey(base: Pixels) -> bytes:
    return _png(np.asarray(cv2.cvtColor(base, cv2.COLOR_BGR2GRAY), np.uint8))


def _deep(base: Pixels) -> bytes:
    """16 bits: the picture in the high bytes, and something else in the low ones."""
    grey = np.asarray(cv2.cvtColor(base, cv2.COLOR_BGR2GRAY), np.uint16)
    return _png(((grey << 8) | (grey * 37 & 255)).astype(np.uint16))


def _png(pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1].tobytes())


RULES: dict[str, tuple[str, Callable[[Pixels], bytes]]] = {
    "transparency": (".png", _transparent),
    "exif": (".jpg", _turned),
    "grey": (".png", _grey),
    "16-bit": (".png", _deep),
}
