"""Read a picture as a person sees it: upright, eight bits a channel, on white where transparent.

Pillow decodes everything. OpenCV has the same libjpeg and saves a copy, a quarter of the time of a
1080p JPEG. But it passes over transparency, decodes some damaged files without a word to the
caller, and lets libjpeg and libpng write to the stderr of the process, which nobody can redirect
safely while other threads run.
"""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.ImageFile import ImageFile

from components.contracts.arrays import Array
from components.errors import FovealError, ImageError
from components.images.bounded import holding
from components.images.budget import Budget
from components.images.headers import check_segments
from components.images.remote import reason
from components.limits import Limits
from components.regular import open_regular, require_size

_BAND = 4_000_000  # pixels that are converted at once
# Pillow keeps 4 bytes a pixel
_WIDE = {"RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LA", "La", "PA", "LAB", "HSV"}
# Decoders that hold more than the picture: how many times as much memory as others they take.
_COSTS = {"WEBP": 4.0, "AVIF": 3.0, "progressive JPEG": 2.5}

_budget = Budget()

# First bytes → Pillow's reader. `Image.open` would also try forty formats that nobody photographs
# in.
_READERS = (
    (re.compile(rb"\xff\xd8\xff"), "PIL.JpegImagePlugin", "JpegImageFile"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PIL.PngImagePlugin", "PngImageFile"),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "PIL.TiffImagePlugin", "TiffImageFile"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "PIL.WebPImagePlugin", "WebPImageFile"),
    (re.compile(rb"BM"), "PIL.BmpImagePlugin", "BmpImageFile"),
    (re.compile(rb"GIF8[79]a"), "PIL.GifImagePlugin", "GifImageFile"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "PIL.AvifImagePlugin", "AvifImageFile"),
)
_WIDTH, _HEIGHT, _BITS, _ORIENTATION = 0x0100, 0x0101, 0x0102, 0x0112  # tags of TIFF 6.0 and EXIF
_TRANSPOSED = 5  # from this EXIF orientation on width and height change places
# EXIF orientation → cv2.flip's code, after the transpose from 5 on
_FLIP = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}


def read_image(source: Path | str | bytes) -> npt.NDArray[np.uint8]:
    """Read one image; of an animation or a stack of pages, the first.

    EXIF orientation is applied. Grey, palette and CMYK become colour, 16 bits a channel are scaled
    to 8 by the range of the type, and transparent parts show white, as on a page. Embedded colour
    profiles are not applied.

    Arguments:
        source: a path, a URL that fsspec knows, or an encoded file in memory.

    Returns:
        (height, width, 3) uint8, BGR, contiguous and writable.

    Raises:
        ImageError: it is missing, no regular file, empty, no image, damaged, truncated or larger
            than `Limits` allows.
        OutageError: the store or the mount that it is on does not answer.
    """
    if isinstance(source, bytes):
        with decoding(source) as image:
            return image
    with holding(str(source), check_head) as data, decoding(data, str(source)) as image:
        return image


@contextmanager
def decoding(data: bytes, name: str = "the given bytes") -> Iterator[npt.NDArray[np.uint8]]:
    """Decode an image as `read_image` does, while others have to wait for the memory it takes.

    Arguments:
        data: of the file.
        name: of the file, for messages.

    Raises:
        ImageError: as `read_image`.
    """
    limit = Limits.from_environment().pixels
    with _naming(name):
        picture = _open(io.BytesIO(data))
        cost = _cost(picture, limit)
    with _budget.hold(cost, limit):
        with _naming(name):
            if picture.format == "PNG":
                # decoding skips PNG's checksums, and only an untouched reader can verify them
                picture.verify()
                picture = _open(io.BytesIO(data))
            # Pillow turns TIFF itself
            orientation = 1 if picture.format == "TIFF" else _orientation(picture)
            image = _upright(_pixels(picture), orientation)
            del picture
        yield image


def check_head(head: bytes) -> None:
    """Refuse a file whose first bytes are those of no image.

    Raises:
        ImageError: they are not.
    """
    _reader(head)


@dataclass(frozen=True)
class Geometry:
    """Image file geometry: its size in pixels as stored, and EXIF orientation, 1 (upright) to 8."""

    stored: tuple[int, int]
    orientation: int = 1

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height as the image is shown."""
        return self.stored[::-1] if self.orientation >= _TRANSPOSED else self.stored

    def turn(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """Take a box from the stored pixels to the upright image.

        Arguments:
            box: left, top, right, bottom as shares of the stored width and height.

        Returns:
            The same as shares of the upright width and height.
        """
        left, top, right, bottom = box
        if self.orientation >= _TRANSPOSED:
            left, top, right, bottom = top, left, bottom, right
        flip = _FLIP.get(self.orientation)
        if flip in (1, -1):
            left, right = 1 - right, 1 - left
        if flip in (0, -1):
            top, bottom = 1 - bottom, 1 - top
        return left, top, right, bottom


def image_geometry(source: Path | bytes) -> Geometry:
    """Read the size and the orientation of an image from its header alone.

    Arguments:
        source: a file, or an encoded one in memory.

    Raises:
        ImageError: the file is missing, no regular file, empty, no image, or larger than `Limits`
            allows.
    """
    name = "the given bytes" if isinstance(source, bytes) else str(source)
    with (
        _naming(name),
        io.BytesIO(source) if isinstance(source, bytes) else open_regular(source) as file,
    ):
        if not isinstance(source, bytes):
            require_size(os.fstat(file.fileno()).st_size, Limits.from_environment().bytes, source)
        picture = _open(file)
        return Geometry(_stored_size(picture), _orientation(picture))


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels of the upright image, from the file's header alone.

    Raises:
        ImageError: the file is missing, no regular file, empty, no image, or larger than `Limits`
            allows.
    """
    return image_geometry(path).upright


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises into an `ImageError` that names the image."""
    try:
        yield
    except FileNotFoundError as error:
        raise ImageError("an image", found=f"no file at {name}", hint="check the path") from error
    except OSError as error:
        if error.strerror is None:  # a decoder's: the system says why
            raise _broken(name, error) from error
        raise ImageError(
            "a readable file", found=f"{name}: {error.strerror}", hint="check the path"
        ) from error
    except ImageError as error:
        raise ImageError(error.expected, found=f"{name}: {error.found}", hint=error.hint) from error
    except FovealError:
        raise
    except Exception as error:
        # hostile bytes make decoders raise anything, SyntaxError and struct.error included
        raise _broken(name, error) from error


def _broken(name: str, error: Exception) -> ImageError:
    return ImageError(
        "a whole image", found=f"{name}: {reason(error)}", hint="export or copy it again"
    )


def _open(file: IO[bytes]) -> ImageFile:
    """Read the header, without decoding pixels."""
    # Remarks on damaged metadata are of no use to whoever wants the picture. Not `catch_warnings`,
    # which mixes up the filters of threads; and not added twice, since each change makes every
    # shown warning show again.
    if ("ignore", None, UserWarning, re.compile(r"PIL\."), 0) not in warnings.filters:
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    head = file.read(16)
    file.seek(0)
    module, reader = _reader(head)
    check_segments(file)
    picture: ImageFile = getattr(import_module(module), reader)(file)
    _cost(picture, Limits.from_environment().pixels)
    return picture


def _reader(head: bytes) -> tuple[str, str]:
    """Module and class of the reader of a file that begins so."""
    for signature, module, reader in _READERS:
        if signature.match(head):
            return module, reader
    raise ImageError(
        "a JPEG, PNG, TIFF, WebP, BMP, GIF or AVIF image",
        found="another kind of file" if head else "an empty file",
        hint="convert it to JPEG or PNG" if head else "",
    )


def _cost(picture: ImageFile, limit: int) -> int:
    """Return the cost of decoding, in pixels of an ordinary image."""
    kind = "progressive JPEG" if "progressive" in picture.info else str(picture.format)
    most = int(limit / _COSTS.get(kind, 1.0))
    if picture.width * picture.height > most:
        raise ImageError(
            f"at most {most:,} pixels{f' in a {kind}' if kind in _COSTS else ''}",
            found=f"{picture.width} × {picture.height}",
            hint="scale it, or raise FOVEAL_MAX_MEGAPIXELS",
        )
    return int(picture.width * picture.height * _COSTS.get(kind, 1.0))


def _stored_size(picture: ImageFile) -> tuple[int, int]:
    """Return width and height before the picture is turned.

    Releases of Pillow differ in which they give of a TIFF.
    """
    tags: Any = getattr(picture, "tag_v2", None)
    return (tags[_WIDTH], tags[_HEIGHT]) if tags else picture.size


def _orientation(picture: ImageFile) -> int:
    """Return the EXIF orientation, 1 (upright) to 8, as it stands before the pixels.

    Browsers heed no other either.
    """
    try:
        tags: Any = getattr(picture, "tag_v2", None)
        if tags is None:
            tags = Image.Exif()
            tags.load(picture.info.get("exif", b""))
        value = tags.get(_ORIENTATION, 1)
    except Exception:  # a photograph with damaged metadata is still a photograph
        return 1
    return value if value in range(1, 9) else 1


def _pixels(picture: ImageFile, band: int = _BAND) -> npt.NDArray[np.uint8]:
    """Decode and convert, band by band, so that a large image is in memory once and not four times.

    Where Pillow keeps four bytes a pixel, it decodes into memory of ours, in which the three of the
    result take the place of those that have been converted.
    """
    width, height = picture.size
    bits = getattr(picture, "tag_v2", {}).get(_BITS, (16,))[0]  # TIFF has 12 bits too
    if width * height <= band or picture.mode not in _WIDE or _stored_size(picture) != picture.size:
        picture.load()
        memory = np.empty(width * height * 3, np.uint8)
    else:
        memory = np.empty(width * height * 4, np.uint8)
        picture.im = import_module("PIL._imaging").map_buffer(
            memory, picture.size, "raw", 0, (picture.mode, 0, 1)
        )
        picture.load()
    width, height = picture.size  # a TIFF is turned as it is loaded
    image = memory[: width * height * 3].reshape(height, width, 3)
    rows = max(1, band // width)
    for top in range(0, height, rows):
        part = picture if rows >= height else picture.crop((0, top, width, min(top + rows, height)))
        image[top : top + rows] = _bgr(part, bits)
    return image


def _bgr(picture: Image.Image, bits: int) -> npt.NDArray[np.uint8]:
    if picture.mode.startswith("I;16"):
        return _colour(cv2.COLOR_GRAY2BGR, np.asarray(picture) >> (bits - 8))
    if picture.mode in {"I", "F"}:
        raise ImageError(
            "8 or 16 bits a channel",
            found=f"{'wide or signed integers' if picture.mode == 'I' else 'floats'}, whose white "
            "nobody can know",
            hint="export it with 8 bits",
        )
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    if picture.mode == "L":
        return _colour(cv2.COLOR_GRAY2BGR, np.asarray(picture))
    return _colour(
        cv2.COLOR_RGB2BGR, np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
    )


def _colour(conversion: int, pixels: Array) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(pixels.astype(np.uint8, copy=False), conversion), np.uint8)


def _upright(image: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    if orientation >= _TRANSPOSED:
        image = np.asarray(cv2.transpose(image), np.uint8)
    return (
        np.asarray(cv2.flip(image, _FLIP[orientation]), np.uint8) if orientation in _FLIP else image
    )
