"""Find pictures that show the same, though their bytes differ: saved again, slightly resized or relit.

A hash of 63 bits names candidates, small grey pictures confirm them. The hash alone would not do: over 480 dark scenes
of the demo it is up to 12 bits off for the same picture saved again and as few as 8 for two different ones, and of a
camera that stands still it may be the same with and without an object. Nor would a correlation of the small pictures,
which is below 0.96 for a dark picture saved again and 0.98 for that camera: the largest difference at one place tells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from components.images.reading import read_image

_SIDE = 32  # of the small pictures and of what the hash is made of, in px
_WAVES = 8  # the slowest of the cosine transform in each direction
_BITS = 12  # that the hashes of two looks at one picture may differ in
_CONFIRMED = 64  # candidates that are looked at, the likeliest first
_ASPECT = 1.05  # ratio of two aspects
_GAIN = 1.5  # a light that is stronger than this is another condition and not the same picture
_NOISE = 2.0  # grey levels that noise and JPEG leave at one place
_SHARE = 0.45  # of the picture's spread, where highlights were cut
_THREADS = 4


@dataclass(frozen=True, eq=False)
class Looks:
    """What n pictures look like.

    Arguments:
        hashes: (n,) uint64, perceptual.
        small: (n, 32, 32) uint8, grey.
        aspects: (n,) float32, width / height.
    """

    hashes: npt.NDArray[np.uint64]
    small: npt.NDArray[np.uint8]
    aspects: npt.NDArray[np.float32]

    def same_as(self, row: int, among: npt.NDArray[np.bool_]) -> int | None:
        """The picture that shows the same as that of `row`, if there is one; of several the likeliest.

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
        return next((int(other) for other in near if _same(self.small[row], self.small[other])), None)


def look_at(paths: Sequence[Path], progress: Callable[[int, int], None] | None = None) -> Looks:
    """Read pictures and keep what is needed to find those that show the same; 1 KB each.

    Arguments:
        paths: of the images.
        progress: called with (done, total).

    Raises:
        ImageError: one cannot be read.
    """
    small = np.empty((len(paths), _SIDE, _SIDE), np.uint8)
    aspects = np.empty(len(paths), np.float32)
    with ThreadPoolExecutor(_THREADS) as pool:
        for row, (picture, aspect) in enumerate(pool.map(_look, paths)):
            small[row], aspects[row] = picture, aspect
            if progress:
                progress(row + 1, len(paths))
    return Looks(np.array([_hash(picture) for picture in small], np.uint64), small, aspects)


def _look(path: Path) -> tuple[npt.NDArray[np.uint8], float]:
    image = read_image(path)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), image.shape[1] / image.shape[0]


def _hash(small: npt.NDArray[np.uint8]) -> int:
    """Which of the slowest cosine waves are above their median (Zauner, "Perceptual image hash functions", 2010)."""
    waves = cv2.dct(small.astype(np.float32))[:_WAVES, :_WAVES].ravel()[1:]  # the first is the brightness
    return int.from_bytes(np.packbits(waves > np.median(waves)).tobytes())


def _same(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> bool:
    """Whether two small pictures differ nowhere by more than noise, once their light is the same."""
    a, b = (picture.astype(np.float32) - picture.mean() for picture in (one, other))
    gain = np.clip(float((a * b).sum()) / max(float((a * a).sum()), 1e-6), 1 / _GAIN, _GAIN)
    apart = cv2.blur(b - gain * a, (2, 2))
    return bool(np.abs(apart).max() <= max(_NOISE, _SHARE * float(b.std())))
