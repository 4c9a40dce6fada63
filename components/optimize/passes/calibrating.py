"""The limit of calibration: quantizers open sessions of their own, whose calls nobody can end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from components.backends.onnx_file import INPUT
from components.contracts.arrays import Image
from components.daemons import call_engine

if TYPE_CHECKING:
    import onnx


class Feeds:
    """Makes a network's feeds of calibration images, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def of(self, image: Image) -> dict[str, Image]:
        """The feed of one (height, width, 3) uint8 image."""
        self.count += 1
        return {INPUT: image[None]}


def calibrated(quantize: Callable[[Feeds], onnx.ModelProto], limit_s: float) -> onnx.ModelProto:
    """Make a quantized model, and give up where a network does not end on an image.

    Proofs bound the network on a few calibration images; a loop may go on for ever on another one.

    Arguments:
        quantize: makes it; each image goes through the feeds that it is given.
        limit_s: how long it may take from one image to the next, and after the last one.

    Raises:
        TimeoutError: it took longer.
    """
    feeds = Feeds()
    return call_engine(limit_s, lambda: quantize(feeds), lambda: feeds.count)
