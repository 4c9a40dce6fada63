"""Find pictures that show the same in different bytes: saved again, slightly resized or relit.

A hash of 63 bits names candidates, small pictures confirm them. The hash alone would not do: over
480 dark scenes of the demo it is up to 12 bits off for the same picture saved again and as few as 8
for two different ones, and of a camera that stands still it may be the same with and without an
object. Nor would a correlation of the small pictures, which is below 0.96 for a dark picture saved
again and 0.98 for that camera: the largest difference at one place tells. Colour is compared on its
own, since a red lamp and a green one may be equally bright: over scenes of the demo, what is saved
again, resized or darkened differs by up to 2.5 levels of Cr or Cb at one place, and by 6.5 where
highlights were cut (of a picture of 48 pixels by a third of its spread, as JPEG halves colours); a
lamp with a radius of a hundredth of the picture's width by more than 13.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from components.contracts.arrays import Array, Flags, Floats32, Image
from components.images.reading import read_image

_SIDE = 32  # of the small pictures and of what the hash is made of, in px
_WAVES = 8  # the slowest of the cosine transform in each direction
_BITS = 12  # that the hashes of two looks at one picture may differ in
_CONFIRMED = 64  # candidates that are looked at, the likeliest first
_ASPECT = 1.05  # ratio of two aspects
_GAIN = 1.5  # a light that is stronger than this is another condition and not the same picture
_NOISE = 2.0  # grey levels that noise and JPEG leave at one place
_COLOUR = 3.0  # levels of Cr or Cb that JPEG and scaling leave at one place
_CUT_COLOUR = 8.0  # where highlights may have been cut, which changes their hue
_BRIGHT = 200  # grey levels from which on they may
# of the picture's spread, where highlights were cut or a small picture's colours were halved by
# JPEG
_SHARE = 0.45
_THREADS = 4


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Fingerprints of n pictures, to find near-duplicates by.

    Arguments:
        hashes: (n,) uint64, perceptual.
        small: (n, 32, 32, 3) uint8, BGR.
        aspects: (n,) float32, width / height.
    """

    hashes: npt.NDArray[np.uint64]
    small: Image
    aspects: Floats32

    def same_as(self, row: int, among: Flags) -> int | None:
        """Find the likeliest picture that shows the same as that of `row`, if there is one.

        Arguments:
            row: of the picture.
            among: (n,) those to compare it with.
        """
        apart = np.bitwise_count(self.hashes ^ self.hashes[row])
        near = np.flatnonzero((apart <= _BITS) & among)
        near = near[near != row]
        near = near[np.argsort(apart[near], kind="stable")[:_CONFIRMED]]
        ratios = self.aspects[near] / self.aspects[row]
        near = near[(ratios < _ASPECT) & (ratios > 1 / _ASPECT)]
        return next(
            (int(other) for other in near if _same(self.small[row], self.small[other])), None
        )


def look_at(
    paths: Sequence[Path], progress: Callable[[int, int], None] | None = None
) -> Fingerprints:
    """Read pictures and keep what is needed to find those that show the same; 3 KB each.

    Arguments:
        paths: of the images.
        progress: called with (done, total).

    Raises:
        ImageError: one cannot be read.
    """
    small = np.empty((len(paths), _SIDE, _SIDE, 3), np.uint8)
    aspects = np.empty(len(paths), np.float32)
    with ThreadPoolExecutor(_THREADS) as pool:
        for row, (picture, aspect) in enumerate(pool.map(_look, paths)):
            small[row], aspects[row] = picture, aspect
            if progress:
                progress(row + 1, len(paths))
    return Fingerprints(np.array([_hash(picture) for picture in small], np.uint64), small, aspects)


def _look(path: Path) -> tuple[Image, float]:
    image = read_image(path)
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), image.shape[1] / image.shape[0]


def _hash(small: Image) -> int:
    """Hash a picture by the slow cosine waves above their median.

    See Zauner, "Perceptual image hash functions", 2010.
    """
    waves = cv2.dct(_grey(small))[:_WAVES, :_WAVES].ravel()[1:]  # the first is the brightness
    return int.from_bytes(np.packbits(waves > np.median(waves)).tobytes())


def _grey(small: Image) -> Floats32:
    return np.asarray(cv2.cvtColor(small.astype(np.float32), cv2.COLOR_BGR2GRAY), np.float32)


def _same(one: Image, other: Image) -> bool:
    """Tell whether two small pictures differ nowhere by more than noise in the same light."""
    a, b = (grey - grey.mean() for grey in (_grey(one), _grey(other)))
    gain = np.clip(float((a * b).sum()) / max(float((a * a).sum()), 1e-6), 1 / _GAIN, _GAIN)
    apart = cv2.blur(b - gain * a, (2, 2))
    if np.abs(apart).max() > max(_NOISE, _SHARE * float(b.std())):
        return False
    return _same_colour(one, other, gain) if gain >= 1 else _same_colour(other, one, 1 / gain)


def _same_colour(dark: Image, light: Image, gain: float) -> bool:
    """Tell whether two small pictures agree in colour, the darker one lit by `gain`.

    Values that are too bright are cut.
    """
    lit = gain * (dark - _grey(dark).mean()) + _grey(light).mean()
    colours = _colours(light)
    apart = cv2.blur(colours - _colours(lit), (2, 2))
    limit = _CUT_COLOUR if max(light.max(), lit.max()) >= _BRIGHT else _COLOUR
    return bool(np.abs(apart).max() <= max(limit, _SHARE * float(colours.std(axis=(0, 1)).mean())))


def _colours(small: Array) -> Floats32:
    """Cr and Cb, (32, 32, 2), in levels."""
    shares = np.clip(small, 0, 255).astype(np.float32) / 255
    return np.asarray(cv2.cvtColor(shares, cv2.COLOR_BGR2YCrCb)[..., 1:] * 255, np.float32)
