"""Run this bundle's model on images. It needs Python 3.10, numpy, Pillow or OpenCV, onnxruntime.

    python run.py IMAGE...           predictions, one line each
    python run.py IMAGE... --json    the same as JSON, one line an image
    python run.py --verify           checksums of every file, then the golden set again

The model takes a (batch, height, width, 3) uint8 BGR tensor: the rest of the pre-processing is part
of its graph. config.json says how to run it, preprocessing.json how to bring an image to its size,
manifest.json what it is.
"""

from __future__ import annotations

import argparse
import atexit
import hashlib
import io
import json
import math
import os
import re
import runpy
import signal
import stat
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

try:
    import cv2
except ImportError:
    cv2 = None  # type: ignore[assignment]
try:
    from PIL import Image, ImageOps
except ImportError:
    Image = ImageOps = None  # type: ignore[assignment]

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]
Arrays = Sequence[Array]
Json = dict[str, Any]  # an object of a file, as it was found there
Item = Json  # class_id, class_name, confidence, of detections box, and numbers of other tasks
Infer = Callable[[Pixels], Arrays]
Predict = Callable[[Path], tuple[Pixels, list[Item]]]

SUMS, MANIFEST, GOLDEN = "SHA256SUMS", "manifest.json", "golden/golden.json"
DECODER = "decoder.py"  # of a head that this program does not decode itself
CONFIGURED = {
    "model",
    "backend",
    "threads",
    "batch_size",
    "execution_providers",
    "confidence",
    "iou",
    "max_detections",
}
MAX_BATCH = 256  # images in one call, whatever a bundle says
MAX_CANDIDATES = 30_000  # boxes that compete in one image
PRECISION = 22  # bits of a weight when an image is resampled
FAR = 1e6  # pixels; a wild box beyond must not cost the others their precision
TOP_CLASSES = 5
FAINT = 0.25  # an image without objects has scores near 0, whose relative difference says nothing
# bytes that are read of one file
MAX_IMAGE, MAX_TEXT, MAX_FILE = 512_000_000, 64_000_000, 16_000_000_000
LIMIT_S = 120.0  # for an image, after which the model is given up
OPENING_S = 600.0  # the same for loading and compiling it
MAX_PIXELS = 170_000_000  # of one image; Pillow's own bound is a little above
BAND = 4_000_000  # pixels that are converted at once
# Pillow knows forty others, and starts Ghostscript for one of them.
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "AVIF")
# Decoders that hold more than the picture: how many times as much memory as others they take.
COSTS = {"WEBP": 4.0, "AVIF": 3.0, "progressive JPEG": 2.5}
# What steers a terminal: controls, bytes that are not UTF-8, ends of lines, and what turns the text
# around it.
STEERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
PIXELS = 1.0  # mean grey levels: releases of libjpeg and ways to interpolate differ by less

# What another release of the runtime, another CPU or another backend may change, by the model's
# precision. A detector on onnxruntime and OpenVINO differed in outputs by 0.0005 (FP32), 0.0013
# (FP16), 0.14 (INT8) and in confidence by 0.085 (INT8): integers are rounded at other places, and a
# weak score moves by whole steps.
TOLERANCES = {
    "fp32": {"pixels": PIXELS, "outputs": 0.005, "confidence": 0.02, "iou": 0.9},
    "fp16": {"pixels": PIXELS, "outputs": 0.02, "confidence": 0.03, "iou": 0.9},
    "int8": {"pixels": PIXELS, "outputs": 0.25, "confidence": 0.15, "iou": 0.8},
}


class Frame(NamedTuple):
    """A point x of the image is at x * scale_x + left of the model's input, likewise y."""

    width: int
    height: int
    scale_x: float
    scale_y: float
    left: float
    top: float


class Finding(NamedTuple):
    """One thing that was verified; `value` must not exceed `limit`."""

    name: str
    value: float
    limit: float
    text: str

    @property
    def ok(self) -> bool:
        """Tell whether it holds; a NaN does not."""
        return self.value <= self.limit


class Rules(NamedTuple):
    """What sets how far outputs and predictions may differ: head, precision, threshold, batch."""

    head: str
    precision: str
    confidence: float
    batch: int = 1


class DamagedBundle(ValueError):
    """A file of the bundle that is not what was packed, or not what such a file must be."""


class EndlessModel(RuntimeError):
    """A call of the model that had to be given up, such as one of a loop without a condition."""


given_up: list[Any] = []  # what calls that were given up still use


def give_up(used: Any) -> None:
    """Keep what a call still uses, and have the process end without waiting for it."""
    if not given_up:
        atexit.register(leave, 1)
    given_up.append(used)


def leave(code: int) -> None:
    """End the process without the clean-up of its libraries, which wait for their calls."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


# Reading files


@contextmanager
def _opened(path: Path, limit: int) -> Iterator[IO[bytes]]:
    """Open a regular file of up to `limit` bytes: FIFOs would wait for ever, devices never end."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("not a regular file")
        if found.st_size > limit:
            raise ValueError(f"{found.st_size:,} bytes, where {limit:,} are the most that is read")
        yield file


def _read(path: Path, limit: int) -> bytes:
    with _opened(path, limit) as file:
        return file.read(limit)


# Reading and fitting images


def read_image(path: Path) -> Pixels:
    """Read an image as (height, width, 3) BGR.

    It is upright by its EXIF, on white where it is transparent, and scaled from 16 bits to 8.

    Pillow and OpenCV alone give the same pixels, but for a grey level where they decode a JPEG.

    Raises:
        ValueError: it is no regular file, too large, no image, damaged, or has 32 bits a channel.
        OSError: it cannot be read.
    """
    data = _read(path, MAX_IMAGE)
    if Image is None:
        return _upright(_with_opencv(data), _orientation(_exif(data)))
    Image.init()
    readable = [kind for kind in FORMATS if kind in Image.OPEN]
    try:
        opened = Image.open(io.BytesIO(data), formats=readable)
    except ImportError as error:  # Ultralytics, once imported, lets Pillow ask for a HEIF decoder
        raise ValueError("no image of a known format") from error
    with opened as picture:
        kind = "progressive JPEG" if "progressive" in picture.info else str(picture.format)
        _require_pixels(kind, *picture.size)
        # Pillow turns a TIFF itself. Of others only what stands before the pixels counts, as in a
        # browser.
        turned = 1 if kind == "TIFF" else _orientation(picture.info.get("exif", b""))
        image = _with_pillow(picture)
    del picture, opened  # before the image is copied
    return _upright(image, turned)


def _require_pixels(kind: str, width: int, height: int, cost: float = 1.0) -> None:
    """Refuse an image that takes too much memory to decode.

    Arguments:
        kind: format, as in `COSTS`.
        width: in pixels.
        height: in pixels.
        cost: memory a pixel takes, as a share of that of a pixel of 8 bits a channel.

    Raises:
        ValueError: it does.
    """
    most = int(MAX_PIXELS / (COSTS.get(kind, 1.0) * cost))
    if width * height > most:
        raise ValueError(f"{width} × {height} pixels, where {most:,} are the most that is decoded")


def _bands(rows: int, columns: int) -> Iterator[slice]:
    """Yield the rows of an image in parts, so that less memory is needed in between."""
    step = max(1, BAND // max(columns, 1))
    return (slice(top, min(top + step, rows)) for top in range(0, rows, step))


def _with_pillow(picture: Image.Image) -> Pixels:
    if picture.mode in ("I", "F"):
        raise ValueError("32 bits a channel")
    bits = getattr(picture, "tag_v2", {}).get(258, (16,))[0]  # a TIFF may have 12
    picture.load()
    width, height = picture.size  # a TIFF is turned as it is loaded
    image = np.empty((height, width, 3), np.uint8)
    for band in _bands(height, width):
        whole = band.stop - band.start == height
        part = picture if whole else picture.crop((0, band.start, width, band.stop))
        image[band] = _colours(part, bits)
    return image


def _colours(picture: Any, bits: int) -> Pixels:
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) >> (bits - 8)).astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return np.asarray(picture.convert("RGB"))[..., ::-1]


def _with_opencv(data: bytes) -> Pixels:
    """Decode an image with OpenCV as it is stored.

    So nothing depends on what a release of OpenCV does by itself.
    """
    _require_pixels(*_header(data))
    if not _is_whole(data):
        raise ValueError("a damaged image")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("not an image")
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError("32 bits a channel")
    if image.dtype == np.uint8 and image.shape[2:] == (3,):
        return np.ascontiguousarray(image)
    pixels, hidden = np.empty((*image.shape[:2], 3), np.uint8), _hidden_grey(data)
    # libtiff gives colours of 8 bits that are multiplied already
    multiplied = image.dtype == np.uint8 and data[:4] in (b"II*\0", b"MM\0*")
    for band in _bands(*image.shape[:2]):
        pixels[band] = _on_white(image[band], hidden, multiplied=multiplied)
    return pixels


def _on_white(image: Any, hidden: int | None, *, multiplied: bool) -> Pixels:
    """Convert pixels of OpenCV to BGR on white.

    Arguments:
        image: (height, width) or (height, width, 3 or 4), 8 or 16 bits.
        hidden: grey that is transparent.
        multiplied: colours that have been multiplied by the opacity.
    """
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.ndim == 2:
        grey = image if hidden is None else np.where(image == hidden, 255, image).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.shape[2] == 4:
        colour, alpha = image[..., :3].astype(np.uint16), image[..., 3:].astype(np.uint16)
        colour = colour if multiplied else (colour * alpha + 127) // 255
        image = np.minimum(colour + 255 - alpha, 255).astype(np.uint8)
    return np.asarray(image, np.uint8)


def _hidden_grey(data: bytes) -> int | None:
    """The grey that a PNG of 8 bits or fewer calls transparent, which OpenCV does not."""
    if data.startswith(b"\x89PNG") and data[24] <= 8:
        for kind, body, _ in _png_parts(data):
            if kind == b"tRNS" and data[25] == 0:
                return int.from_bytes(body[:2], "big") * 255 // int(2 ** data[24] - 1)
    return None


def _header(data: bytes) -> tuple[str, int, int, float]:
    """Read format, width, height and bytes a channel of an image before it is decoded.

    Raises:
        ValueError: it is none of `FORMATS`, or ends before it says.
    """
    if data.startswith(b"\xff\xd8\xff"):
        for kind, body in _jpeg_parts(data):
            if 0xC0 <= kind[0] <= 0xCF and kind not in (b"\xc4", b"\xc8", b"\xcc"):
                name = "progressive JPEG" if kind[0] % 4 == 2 else "JPEG"
                return name, *_numbers(body, 3, 1, size=2, order="big"), 1.0
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height = _numbers(data, 16, 20, size=4, order="big")
        return "PNG", width, height, max(int.from_bytes(data[24:25], "big") / 8, 1.0)
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF", *_numbers(data, 6, 8, size=2), 1.0
    if data.startswith(b"BM"):
        width, height = (
            _numbers(data, 18, 20, size=2)
            if data[14:15] == b"\x0c"
            else _numbers(data, 18, 22, size=4)
        )
        # a negative height: from the top down
        return "BMP", width, min(height, 2**32 - height), 1.0
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP", *_webp_size(data), 1.0
    if data[:4] in (b"II*\0", b"MM\0*"):
        return "TIFF", *_tiff_size(data)
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        sizes = [
            _numbers(data, at.end() + 4, at.end() + 8, size=4, order="big")
            for at in re.finditer(b"ispe", data)
        ]
        if sizes:
            return "AVIF", *max(sizes, key=math.prod), 1.0
    raise ValueError(f"no {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image")


def _numbers(data: bytes, *places: int, size: int, order: Any = "little") -> tuple[int, int]:
    """Read width and height, whole numbers of `size` bytes."""
    width, height = (int.from_bytes(data[place : place + size], order) for place in places)
    if len(data) < max(places) + size:
        raise ValueError("a damaged image")
    return width, height


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = _numbers(data, 24, 27, size=3)
        return width + 1, height + 1
    if kind == b"VP8L":
        packed, _ = _numbers(data, 21, 21, size=4)
        return packed % 2**14 + 1, (packed >> 14) % 2**14 + 1
    width, height = _numbers(data, 26, 28, size=2)
    return width % 2**14, height % 2**14


def _tiff_size(data: bytes) -> tuple[int, int, float]:
    """Read width, height and bytes a channel from the first directory of a TIFF."""
    order: Any = "little" if data[:1] == b"I" else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)

    start, tags = number(4, 4), {}
    for at in range(start + 2, start + 2 + 12 * number(start, 2), 12):
        size = 2 if number(at + 2, 2) == 3 else 4
        inline = number(at + 4, 4) * size <= 4  # otherwise what stands here is where the values are
        tags[number(at, 2)] = number(at + 8 if inline else number(at + 8, 4), size)
    if not {256, 257} <= tags.keys():
        raise ValueError("a damaged image")
    return tags[256], tags[257], max(tags.get(258, 1) / 8, 1.0)


def _is_whole(data: bytes) -> bool:
    """Tell whether a JPEG has its end and a PNG its checksums, which OpenCV does not ask for."""
    if data.startswith(b"\xff\xd8"):
        return any(kind == b"\xda" and b"\xff\xd9" in body for kind, body in _jpeg_parts(data))
    if data.startswith(b"\x89PNG"):
        kinds = [kind for kind, body, crc in _png_parts(data) if zlib.crc32(kind + body) == crc]
        return (
            bool(kinds) and kinds[-1] == b"IEND" and len(kinds) == sum(1 for _ in _png_parts(data))
        )
    return True


def _exif(data: bytes) -> bytes:
    """The EXIF of a JPEG, PNG or WebP that stands before the pixels, or nothing."""
    if data.startswith(b"\xff\xd8"):
        return next(
            (
                body[6:]
                for kind, body in _jpeg_parts(data)
                if kind == b"\xe1" and body[:6] == b"Exif\0\0"
            ),
            b"",
        )
    if data.startswith(b"\x89PNG"):
        for kind, body, _ in _png_parts(data):
            if kind in (b"eXIf", b"IDAT"):
                return body if kind == b"eXIf" else b""
    at = 12 if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else len(data)
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"EXIF":
            return data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    return b""


def _jpeg_parts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Marker and content of each segment; the last one is the scan with all that follows."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind, size = data[at + 1 : at + 2], int.from_bytes(data[at + 2 : at + 4], "big")
        if kind == b"\xff":  # a filling byte
            at += 1
            continue
        if kind == b"\x01" or b"\xd0" <= kind <= b"\xd7":  # a marker without content
            at += 2
            continue
        if kind == b"\xda":
            yield kind, data[at + 4 :]
            return
        yield kind, data[at + 4 : at + 2 + size]
        at += 2 + size


def _png_parts(data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Kind, content and checksum of each chunk."""
    at = 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        end = at + 8 + size
        yield (
            data[at + 4 : at + 8],
            data[at + 8 : end],
            int.from_bytes(data[end : end + 4].ljust(4, b"\0"), "big"),
        )
        at = end + 4


def _orientation(exif: bytes) -> int:
    """The orientation that EXIF tells, 1 (upright) to 8."""
    exif = exif[6:] if exif[:6] == b"Exif\0\0" else exif
    if exif[:2] not in (b"II", b"MM"):
        return 1
    order: Literal["little", "big"] = "little" if exif[:2] == b"II" else "big"
    start = int.from_bytes(exif[4:8], order)
    for k in range(int.from_bytes(exif[start : start + 2], order)):
        entry = exif[start + 2 + 12 * k : start + 14 + 12 * k]
        if int.from_bytes(entry[:2], order) == 0x0112:
            value = int.from_bytes(
                entry[8 : 12 if int.from_bytes(entry[2:4], order) == 4 else 10], order
            )
            return value if 1 <= value <= 8 else 1
    return 1


def _upright(image: Pixels, orientation: int) -> Pixels:
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def fit_image(image: Pixels, spec: Json, padding: int) -> tuple[Pixels, Frame]:
    """Bring an image to the model's input size: letterbox, stretch or center_crop.

    Arguments:
        image: (height, width, 3) BGR.
        spec: of manifest.json's model: `input_size`, `fit`, and of a crop what the image is scaled
            to before it.
        padding: grey level around a letterboxed image.
    """
    rows, columns = image.shape[:2]
    height, width = spec["input_size"]
    if spec["fit"] == "letterbox":
        ratio = min(height / rows, width / columns)
        inner_width, inner_height = max(round(columns * ratio), 1), max(round(rows * ratio), 1)
        top, left = (height - inner_height) // 2, (width - inner_width) // 2
        canvas = np.full((height, width, 3), padding, np.uint8)
        canvas[top : top + inner_height, left : left + inner_width] = _bilinear(
            image, inner_width, inner_height
        )
        return canvas, Frame(columns, rows, inner_width / columns, inner_height / rows, left, top)
    if spec["fit"] == "stretch":
        fitted = _antialiased(image, (0, 0, columns, rows), spec)
        return fitted, Frame(columns, rows, width / columns, height / rows, 0, 0)
    high, wide = _scaled(rows, columns, spec)
    x, y = round((wide - width) / 2), round((high - height) / 2)
    scale_x, scale_y = wide / columns, high / rows
    kept = (
        x / scale_x,
        y / scale_y,
        min((x + width) / scale_x, columns),
        min((y + height) / scale_y, rows),
    )
    return _antialiased(image, kept, spec), Frame(columns, rows, scale_x, scale_y, -x, -y)


def _scaled(rows: int, columns: int, spec: Json) -> tuple[int, int]:
    """The height and width that an image is scaled to before its centre is cropped."""
    # the shorter side, height and width, or nothing: what just covers the input
    resize = spec.get("resize")
    if resize and not isinstance(resize, int):
        return resize[0], resize[1]
    height, width = (resize, resize) if resize else spec["input_size"]
    if width * rows >= height * columns:
        return width * rows // columns, width
    return height, height * columns // rows


def _bilinear(image: Pixels, width: int, height: int) -> Pixels:
    """Plain bilinear, as YOLO is trained with; OpenCV and Pillow agree within one grey level."""
    rows, columns = image.shape[:2]
    if (columns, rows) == (width, height):
        return image
    if cv2 is not None:
        return np.asarray(
            cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8
        )
    coefficients = (columns / width, 0, 0, 0, rows / height, 0)
    turned = Image.fromarray(image).transform(
        (width, height), Image.Transform.AFFINE, coefficients, 2
    )
    return np.asarray(turned, np.uint8)


def _antialiased(image: Pixels, box: tuple[float, float, float, float], spec: Json) -> Pixels:
    """Bring the region `box` to the model's input size, antialiased as in classifier training.

    Across first, then down: releases of Pillow differ in the order where one call does both.
    Without Pillow its arithmetic is done here, to the last bit.
    """
    (rows, _), (height, width) = image.shape[:2], spec["input_size"]
    left, top, right, bottom = box
    cubic = spec.get("interpolation", "bilinear") == "bicubic"
    reach = (2 if cubic else 1) * max((bottom - top) / height, 1) + 2
    # rows that a target pixel depends on
    first, last = max(int(top - reach), 0), min(int(bottom + reach), rows)
    image, top, bottom = image[first:last], top - first, bottom - first
    if Image is not None:
        method = Image.Resampling.BICUBIC if cubic else Image.Resampling.BILINEAR
        narrow = Image.fromarray(image).resize(
            (width, last - first), method, box=(left, 0, right, last - first)
        )
        return np.asarray(
            narrow.resize((width, height), method, box=(0, top, width, bottom)), np.uint8
        )
    across = _weights(width, left, right, image.shape[1], cubic)
    down = _weights(height, top, bottom, len(image), cubic)
    return np.ascontiguousarray(
        np.stack([_blend(down, _blend(across, image[..., k].T).T) for k in range(3)], axis=-1)
    )


def _blend(weights: npt.NDArray[np.float64], pixels: Pixels) -> Pixels:
    """Sum weighted rows of pixels, (size, available) by (available, n), rounded as by Pillow."""
    # The products are whole numbers that a double holds exactly.
    sums = np.floor((weights @ pixels.astype(np.float64) + 2.0 ** (PRECISION - 1)) / 2.0**PRECISION)
    return np.clip(sums, 0, 255).astype(np.uint8)


def _weights(
    size: int, start: float, stop: float, available: int, cubic: bool
) -> npt.NDArray[np.float64]:
    """Weigh target pixels' source pixels, (size, available), in units of 2 to the -PRECISION."""
    begin, end = np.float32(start), np.float32(stop)
    scale = float(end - begin) / size
    support = (2.0 if cubic else 1.0) * max(scale, 1.0)
    centres = float(begin) + (np.arange(size) + 0.5) * scale
    first, last = (
        np.trunc(np.maximum(centres - support + 0.5, 0)),
        np.trunc(centres + support + 0.5),
    )
    positions = np.arange(available)
    distances = np.abs((positions - centres[:, None] + 0.5) * (1 / max(scale, 1.0)))
    weights = _cubic(distances) if cubic else np.clip(1 - distances, 0, None)
    weights[(positions < first[:, None]) | (positions >= last[:, None])] = 0
    weights *= 1 / weights.sum(axis=1, keepdims=True)
    return np.asarray(np.trunc(weights * 2.0**PRECISION + np.where(weights < 0, -0.5, 0.5)))


def _cubic(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Keys' cubic convolution with a = −0.5 at distances x ≥ 0."""
    near, far = (1.5 * x - 2.5) * x * x + 1, (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


# From outputs to predictions


def decode(output: Array, frame: Frame, spec: Json, config: Json) -> list[Item]:
    """Decode what one image shows, best first: boxed detections, or the five most probable classes.

    Arguments:
        output: the first output of the model for this image, without the batch axis.
        frame: how the image was fitted.
        spec: of manifest.json's model: class names and head.
        config: thresholds.
    """
    values = output.astype(np.float32)
    names, find = spec["class_names"], DETECTORS.get(spec["head"])
    if find is None:
        return _classes(values.astype(np.float64), names, spec["head"])
    boxes, scores, classes = find(values, config)
    shift, scale = (
        np.array([frame.left, frame.top] * 2),
        np.array([frame.scale_x, frame.scale_y] * 2),
    )
    boxes = np.clip(
        (boxes - shift) / scale, 0, np.array([frame.width, frame.height] * 2, np.float64)
    )
    boxes = boxes.astype(np.float32)
    return [
        {
            "class_id": int(k),
            "class_name": names[k],
            "confidence": min(float(score), 1.0),
            "box": box.tolist(),
        }
        for box, score, k in zip(boxes, scores, classes, strict=True)
        if box[2] > box[0] and box[3] > box[1]
    ]


def _classes(values: npt.NDArray[np.float64], names: Sequence[str], head: str) -> list[Item]:
    """The best classes; scores of a sigmoid stay as they are, they do not sum to one."""
    probabilities = np.clip(values, 0, 1)
    if head == "logits":
        probabilities = np.exp(values - values.max())
        probabilities /= probabilities.sum()
    elif head == "sigmoid_logits":
        probabilities = 1 / (1 + np.exp(-np.clip(values, -700, 700)))
    probabilities = probabilities.astype(np.float32)
    best = np.argsort(-probabilities, kind="stable")[:TOP_CLASSES]
    return [
        {"class_id": int(k), "class_name": names[k], "confidence": float(probabilities[k])}
        for k in best
    ]


def _yolo(values: Array, config: Json) -> tuple[Array, ...]:
    """Decode (4 + classes, anchors): centre, size and class scores."""
    rows = values.T[values[4:].max(axis=0) > config["confidence"]]
    rows = rows[np.isfinite(rows).all(axis=1)]
    centres, halves = rows[:, :2].astype(np.float64), rows[:, 2:4].astype(np.float64) / 2
    real = (halves > 0).all(axis=1)
    boxes = np.concatenate([centres - halves, centres + halves], axis=1)[real]
    classes = rows[real, 4:].argmax(axis=1)
    scores = rows[real, 4:].max(axis=1)
    kept = _suppress(boxes, scores, classes, config["iou"], config["max_detections"])
    return boxes[kept], scores[kept], classes[kept]


def _end_to_end(values: Array, config: Json) -> tuple[Array, ...]:
    """Decode (detections, 6): corners, score and class, duplicates already removed."""
    rows = values[(values[:, 4] > config["confidence"]) & np.isfinite(values).all(axis=1)]
    rows = rows[np.argsort(-rows[:, 4], kind="stable")[: config["max_detections"]]]
    return rows[:, :4].astype(np.float64), rows[:, 4], np.rint(rows[:, 5]).astype(np.int64)


DETECTORS = {"yolo": _yolo, "yolo_end2end": _end_to_end}


def _suppress(boxes: Array, scores: Array, classes: Array, iou: float, limit: int) -> list[int]:
    """Greedy non-maximum suppression per class: indices of the kept boxes, best first."""
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    if not len(order):
        return []
    boxes = np.clip(boxes, -FAR, FAR)
    # boxes of two classes never meet
    apart = boxes + (classes * (boxes.max() - boxes.min() + 1))[:, None]
    areas = (apart[:, 2:] - apart[:, :2]).prod(axis=1)
    kept: list[int] = []
    while len(order) and len(kept) < limit:
        best, order = int(order[0]), order[1:]
        kept.append(best)
        low, high = (
            np.maximum(apart[order, :2], apart[best, :2]),
            np.minimum(apart[order, 2:], apart[best, 2:]),
        )
        shared = np.clip(high - low, 0, None).prod(axis=1)
        order = order[shared <= iou * (areas[order] + areas[best] - shared)]
    return kept


# Running the model


def open_model(folder: Path, config: Json, *, accelerate: bool) -> tuple[Infer, str]:
    """The model as a function of a batch, and what runs it.

    The backend of config.json is taken if it is installed, else onnxruntime, which every bundle
    runs on.

    Arguments:
        folder: of the bundle.
        config: of the bundle.
        accelerate: use the first of the configured execution providers that works here, not the CPU
            that the bundle's numbers were measured on.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    path = str(folder / config["model"])
    if config["backend"] == "openvino" and not accelerate:
        try:
            with _reporter_hidden():
                import openvino
        except ImportError:
            pass
        else:
            settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
            settings.update(
                {"INFERENCE_NUM_THREADS": config["threads"]} if config["threads"] else {}
            )
            request = _opened_within(
                lambda: openvino.Core().compile_model(path, "CPU", settings).create_infer_request(),
                OPENING_S,
            )
            return partial(_wait_for, request), f"openvino {openvino.__version__}"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = config["threads"]
    options.log_severity_level = 3
    wanted = config["execution_providers"] if accelerate else ["CPUExecutionProvider"]
    here = [provider for provider in wanted if provider in onnxruntime.get_available_providers()]
    builds = any(provider.startswith("Tensorrt") for provider in here)
    session = _opened_within(
        lambda: onnxruntime.InferenceSession(path, options, providers=here),
        6 * OPENING_S if builds else OPENING_S,
    )
    name, provider = session.get_inputs()[0].name, session.get_providers()[0]
    ran_by = f"onnxruntime {onnxruntime.__version__}, {provider}"
    if provider.startswith("Tensorrt"):  # whose first calls build its engines
        return (lambda batch: session.run(None, {name: batch})), ran_by
    return (lambda batch: _run_within(session, {name: batch}, onnxruntime.RunOptions())), ran_by


def _opened_within(load: Callable[[], Any], limit: float) -> Any:
    """Load a model on a thread of its own, as what it computes of its constants may not end.

    Raises:
        EndlessModel: it took longer than `limit` seconds.
    """
    found: SimpleQueue[tuple[Any, Exception | None]] = SimpleQueue()

    def work() -> None:
        try:
            found.put((load(), None))
        except Exception as error:
            found.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        loaded, error = found.get(timeout=limit)
    except Empty:
        give_up(found)
        raise EndlessModel(f"the model was still being loaded after {limit:g} s") from None
    if error is not None:
        raise error
    return loaded


def _wait_for(request: Any, batch: Pixels) -> Arrays:
    """Run a request of OpenVINO once, which cannot end a call inside of a loop.

    Raises:
        EndlessModel: it took longer than `LIMIT_S` an image, or an earlier call still runs.
    """
    limit = LIMIT_S * len(batch)
    if request not in given_up:
        request.start_async([batch], share_inputs=True)
        if request.wait_for(round(limit * 1000)):
            return [np.array(tensor.data) for tensor in request.output_tensors]
        give_up(request)
    raise EndlessModel(f"the model was still running after {limit:g} s")


def _run_within(session: Any, feeds: dict[str, Pixels], options: Any) -> Arrays:
    """Run a session once.

    Raises:
        EndlessModel: it took longer than `LIMIT_S` an image.
    """
    limit = LIMIT_S * sum(map(len, feeds.values()))
    timer = threading.Timer(limit, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        return list(session.run(None, feeds, options))
    except Exception as error:
        if options.terminate:
            raise EndlessModel(f"the model was still running after {limit:g} s") from error
        raise
    finally:
        timer.cancel()


@contextmanager
def _reporter_hidden() -> Iterator[None]:
    """Import OpenVINO in this block without its telemetry.

    The telemetry reports each import and keeps an id at home.
    """
    name = "openvino_telemetry"
    shown = {
        known: sys.modules.pop(known)
        for known in list(sys.modules)
        if known.partition(".")[0] == name
    }
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
        sys.modules.update(shown)


class Bundle:
    """The model of a folder, ready to predict.

    Raises:
        DamagedBundle: a file that was packed is missing or another one now.
    """

    def __init__(self, folder: Path, *, accelerate: bool = False) -> None:
        if problems := damaged_files(folder, others=False):
            raise DamagedBundle("; ".join(problems[:5]))
        self.folder = folder
        try:
            self.config = _load(folder, "config.json")
            self.fitting = _load(folder, "preprocessing.json")
            if missing := (CONFIGURED - self.config.keys()) | ({"padding"} - self.fitting.keys()):
                raise ValueError(f"no {min(missing)}")
            model = _load(folder, MANIFEST)["model"]
            self.spec = model["spec"]
            self.rules = Rules(
                self.spec["head"],
                model["precision"],
                self.config["confidence"],
                int(self.config["batch_size"]),
            )
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DamagedBundle(
                f"config.json, preprocessing.json or {MANIFEST}: {error!r}"
            ) from error
        self._decode = _decoder_of(folder) if self.config.get("decoder") else decode
        self.infer, self.ran_by = open_model(folder, self.config, accelerate=accelerate)

    def prepare(self, path: Path) -> tuple[Pixels, Frame]:
        """An image file as the model's input, and how it was fitted."""
        return self.fit(read_image(path))

    def fit(self, image: Pixels) -> tuple[Pixels, Frame]:
        """A (height, width, 3) uint8 BGR image as the model's input, and how it was fitted."""
        return fit_image(image, self.spec, self.fitting["padding"])

    def decode(self, outputs: Arrays, frame: Frame) -> list[Item]:
        """The predictions of a batch of one."""
        return self._decode(outputs[0][0], frame, self.spec, self.config)

    def predict_one(self, path: Path) -> tuple[Pixels, list[Item]]:
        """The model's input and predictions of an image file."""
        fitted, frame = self.prepare(path)
        return fitted, self.decode(self.infer(fitted[None]), frame)

    def predict(self, paths: Sequence[Path]) -> list[Json]:
        """Predictions for each image, or why there are none."""
        results: list[Json] = [{"image": str(path)} for path in paths]
        ready: list[tuple[int, Pixels, Frame]] = []
        for k, path in enumerate(paths):
            try:
                ready.append((k, *self.prepare(path)))
            except Exception as error:  # one damaged image must not cost the others
                results[k]["error"] = f"{type(error).__name__}: {error}"
        step = self.config["batch_size"]  # 1 for a model that takes no more
        for start in range(0, len(ready), step):
            part = ready[start : start + step]
            rows = self.infer(np.stack([pixels for _, pixels, _ in part]))[0]
            for row, (k, _, frame) in zip(rows, part, strict=True):
                results[k]["items"] = self._decode(row, frame, self.spec, self.config)
        return results


def _decoder_of(folder: Path) -> Callable[..., list[Item]]:
    """Return `decode` of the head's own file, called as `decode` here; keep no bytecode."""
    found: Callable[..., list[Item]] = runpy.run_path(str(folder / DECODER))["decode"]
    return found


def _load(folder: Path, name: str) -> Json:
    return dict(json.loads(_read(folder / name, MAX_TEXT).decode("utf-8")))


# Verifying


def damaged_files(folder: Path, *, others: bool = True) -> list[str]:
    """List faults of the bundle's files, one line each: changed, missing, or not in SHA256SUMS.

    Arguments:
        folder: of the bundle.
        others: files that are not listed count too; nothing that runs reads them.
    """
    listing = folder / SUMS
    if not listing.is_file():
        return [f"{SUMS}: missing"]
    try:
        text = _read(listing, MAX_TEXT).decode("utf-8", errors="replace")
    except ValueError as error:
        return [f"{SUMS}: {error}"]
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    if not lines or any(len(line) != 2 or len(line[0]) != 64 for line in lines):
        return [f"{SUMS}: not a list of sha256 sums"]
    sums = {name: value for value, name in lines}
    paths = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    found = {path.relative_to(folder).as_posix(): path for path in paths}
    problems = [f"{name}: missing" for name in sums if name not in found]
    for name, path in found.items():
        if name == SUMS:
            continue
        if path.is_symlink() or name not in sums:
            if others or name in sums:
                problems.append(f"{name}: not a file of this bundle")
        elif problem := _changed(path, sums[name]):
            problems.append(f"{name}: {problem}")
    return sorted(problems)


def _changed(path: Path, expected: str) -> str:
    """Tell what is wrong with a listed file; empty when its content has the expected sha256."""
    digest = hashlib.sha256()
    try:
        with _opened(path, MAX_FILE) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except ValueError as error:
        return str(error)
    return "" if digest.hexdigest() == expected else "its content has changed"


def read_golden(folder: Path) -> list[Json]:
    """Read the golden set's entries: an image, what was recorded of it, and what the model found.

    Raises:
        DamagedBundle: the listing is not what it must be.
    """
    try:
        entries = _load(folder, GOLDEN)["images"]
        if not isinstance(entries, list) or not any("rule" not in entry for entry in entries):
            raise ValueError("no list of images")
        for entry in entries:
            inside = folder.resolve()
            for place in (entry["image"], entry["arrays"]):
                file = (inside / place).resolve()
                if not file.is_file() or inside not in file.parents:
                    raise ValueError(f"no file of the bundle at {place!r}")
            if not isinstance(entry["items"], list) or not all(map(_is_item, entry["items"])):
                raise ValueError(f"{entry['image']}: not a list of predictions")
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise DamagedBundle(f"{GOLDEN}: {type(error).__name__}: {error}") from error
    return entries


def _is_item(item: Json) -> bool:
    box = item.get("box", [0.0] * 4)
    numbers = [item["class_id"], item["confidence"], *box]
    plain = all(isinstance(value, int | float) and math.isfinite(value) for value in numbers)
    return plain and len(box) == 4 and isinstance(item["class_name"], str)


def _read_arrays(folder: Path, entry: Json) -> tuple[Pixels, list[Array]]:
    """Read the recorded input (height, width, 3) and the outputs of a batch of one.

    An image of a rule has no outputs.

    Raises:
        DamagedBundle: the file holds something else.
    """
    path = folder / entry["arrays"]
    try:
        with zipfile.ZipFile(path) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise ValueError("compressed arrays")  # which could unpack to any size
        with np.load(path, allow_pickle=False) as arrays:
            recorded = arrays["input"]
            outputs = [arrays[f"output_{k}"] for k in range(len(arrays.files) - 1)]
        if recorded.ndim != 3 or recorded.dtype != np.uint8:
            raise ValueError(f"an input of shape {recorded.shape} and type {recorded.dtype}")
        if not outputs and "rule" not in entry:
            raise ValueError("no outputs")
        if not all(output.ndim and np.isfinite(output).all() for output in outputs):
            raise ValueError("outputs that are not finite numbers")
    except Exception as error:  # hostile bytes make numpy raise anything
        raise DamagedBundle(f"{entry['arrays']}: {type(error).__name__}: {error}") from error
    return recorded, outputs


def check_golden(
    folder: Path, rules: Rules, infer: Infer, predict: Predict
) -> tuple[list[Finding], float]:
    """Run the golden set again and compare it with what the bundle recorded.

    The tolerances are this program's own: a bundle does not say how exactly it is looked at.

    Arguments:
        folder: of the bundle.
        rules: of its model.
        infer: batch of inputs → outputs.
        predict: image file → model input and predictions.

    Returns:
        Three findings, and the largest absolute difference of any output value.

    Raises:
        DamagedBundle: the golden set is not what it must be.
    """
    if rules.precision not in TOLERANCES:
        raise DamagedBundle(f"{MANIFEST}: a model of precision {rules.precision!r}")
    tolerance, entries = TOLERANCES[rules.precision], read_golden(folder)
    seen = [_compare_image(folder, entry, rules, infer, predict) for entry in entries]
    pixels, outputs = max(row.pixels for row in seen), max(row.outputs for row in seen)
    outputs = max(outputs, _batch_difference(folder, entries, rules, infer))
    complaints = [row.complaint for row in seen if row.complaint]
    ruled = sum("rule" in entry for entry in entries)
    agree = f"{len(entries) - ruled} images agree" + (
        f", {ruled} rules of reading hold" if ruled else ""
    )
    findings = [
        Finding(
            "golden_inputs",
            pixels,
            tolerance["pixels"],
            "mean difference of fitted images in grey levels",
        ),
        Finding(
            "golden_outputs",
            outputs,
            tolerance["outputs"],
            f"relative difference of the predicting output, alone and in a batch of {rules.batch}",
        ),
        Finding("golden_predictions", len(complaints), 0, complaints[0] if complaints else agree),
    ]
    return findings, max(row.largest for row in seen)


def _batch_difference(folder: Path, entries: list[Json], rules: Rules, infer: Infer) -> float:
    """Measure how far golden images that fill a batch are from what they gave one by one."""
    size = min(rules.batch, MAX_BATCH)
    if size <= 1:
        return 0.0
    recorded = [_read_arrays(folder, entry) for entry in entries if "rule" not in entry]
    places = [recorded[k % len(recorded)] for k in range(size)]
    try:
        rows = infer(np.stack([pixels for pixels, _ in places]))[0]
        return max(
            _relative_difference(rows[k : k + 1], one[0], rules.head)
            for k, (_, one) in enumerate(places)
        )
    except Exception:  # as with single images: a finding, not a crash
        return float("inf")


class _Difference(NamedTuple):
    """How far a golden image is from its record; `complaint` is empty while predictions agree."""

    pixels: float
    outputs: float
    largest: float
    complaint: str


def _compare_image(
    folder: Path, entry: Json, rules: Rules, infer: Infer, predict: Predict
) -> _Difference:
    recorded, wanted = _read_arrays(folder, entry)
    try:
        fitted, items = predict(folder / entry["image"])
        outputs = largest = 0.0
        if wanted:
            got = infer(recorded[None])
            outputs = _relative_difference(got[0], wanted[0], rules.head)
            largest = max(
                _largest_difference(one, other) for one, other in zip(got, wanted, strict=True)
            )
        different = disagreement(
            entry["items"], items, TOLERANCES[rules.precision], rules.confidence
        )
    except Exception as error:  # a runtime that fails on the golden set is a finding, not a crash
        return _Difference(
            np.inf, np.inf, np.inf, f"{entry['image']}: {type(error).__name__}: {error}"
        )
    complaint = f"{entry['image']}: {different}" if different else ""
    return _Difference(_pixel_difference(fitted, recorded), outputs, largest, complaint)


def _pixel_difference(got: Pixels, wanted: Pixels) -> float:
    if got.shape != wanted.shape:
        return float("inf")
    return float(np.abs(got.astype(np.int16) - wanted.astype(np.int16)).mean())


def _relative_difference(got: Array, wanted: Array, head: str) -> float:
    """Return a difference's length relative to the record's, the larger of boxes and scores."""
    if got.shape != wanted.shape or not np.isfinite(got).all():
        return float("inf")
    pairs = zip(
        _parts(got.astype(np.float64), head), _parts(wanted.astype(np.float64), head), strict=True
    )
    return max(
        float(np.linalg.norm(one - other)) / max(float(np.linalg.norm(other)), FAINT)
        for one, other in pairs
    )


def _parts(output: npt.NDArray[np.float64], head: str) -> list[npt.NDArray[np.float64]]:
    """Split outputs into parts to compare.

    Pixels would drown scores, and equal scores may come in any order.
    """
    if head == "yolo":
        return [output[:, :4], output[:, 4:]]
    return [np.sort(output[:, :, 4])] if head == "yolo_end2end" else [output]


def _largest_difference(got: Array, wanted: Array) -> float:
    if got.shape != wanted.shape:
        return float("inf")
    return float(np.abs(got.astype(np.float64) - wanted).max(initial=0.0))


def disagreement(
    expected: Sequence[Item], found: Sequence[Item], tolerance: dict[str, float], confidence: float
) -> str:
    """Describe how an image's two lists of predictions differ beyond the tolerance; empty if not.

    Every prediction must have one of the same class in the other list, with a confidence and (for
    detections) a box that are close. One whose confidence is within the tolerance of the threshold
    may be missing.

    Arguments:
        expected: what was recorded.
        found: what came out now.
        tolerance: `confidence`, the largest difference, and `iou`, the least overlap.
        confidence: the threshold of detections.
    """
    if expected and "box" not in expected[0]:
        return _other_class(expected, found, tolerance["confidence"])
    free = list(found)
    for item in expected:
        twins = [other for other in free if _alike(item, other, tolerance)]
        if twins:
            free.remove(min(twins, key=lambda other: abs(other["confidence"] - item["confidence"])))
        elif item["confidence"] > confidence + tolerance["confidence"]:
            return (
                f"no {item['class_name']} like the expected one of confidence "
                f"{item['confidence']:.3f}"
            )
    extra = [item for item in free if item["confidence"] > confidence + tolerance["confidence"]]
    return (
        f"an unexpected {extra[0]['class_name']} of confidence {extra[0]['confidence']:.3f}"
        if extra
        else ""
    )


def _other_class(expected: Sequence[Item], found: Sequence[Item], tolerance: float) -> str:
    """Tell whether the best class or its probability changed; two equally probable may swap."""
    probabilities = {item["class_id"]: item["confidence"] for item in found}
    best = expected[0]
    now = probabilities.get(best["class_id"], 0.0)
    if (
        not found
        or abs(now - best["confidence"]) > tolerance
        or found[0]["confidence"] - now > tolerance
    ):
        return f"{best['class_name']} has confidence {now:.3f} in place of {best['confidence']:.3f}"
    return ""


def _alike(one: Item, other: Item, tolerance: dict[str, float]) -> bool:
    close = abs(one["confidence"] - other["confidence"]) <= tolerance["confidence"]
    return (
        one["class_id"] == other["class_id"]
        and close
        and overlap(one["box"], other["box"]) >= tolerance["iou"]
    )


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    total = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (total - shared) if total > shared else 0.0


# The command


def printed(text: str) -> str:
    r"""Escape what would steer a terminal as ``\xNN`` or ``\uNNNN``: names may hold anything."""
    return STEERS.sub(lambda found: _escape(ord(found[0])), text)


def _escape(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def _say(line: str) -> None:
    sys.stdout.write(printed(line) + "\n")


def _verify(bundle: Bundle) -> int:
    findings, _ = check_golden(bundle.folder, bundle.rules, bundle.infer, bundle.predict_one)
    for finding in findings:
        bound = f"{finding.value:.3g}, at most {finding.limit:g}"
        _say(f"{'pass' if finding.ok else 'FAIL'}: {finding.name} {bound} ({finding.text})")
    return 0 if all(finding.ok for finding in findings) else 1


def _predict(bundle: Bundle, paths: Sequence[Path], *, as_json: bool) -> int:
    failed = False
    step = bundle.config["batch_size"]
    for start in range(0, len(paths), step):
        for result in bundle.predict(paths[start : start + step]):
            failed = failed or "error" in result
            if as_json:
                _say(json.dumps(result).replace("\x7f", "\\u007f"))
                continue
            remark = result.get("error") or ("" if result["items"] else "nothing found")
            _say(f"{result['image']}: {remark}" if remark else result["image"])
            for item in result.get("items", []):
                _say(f"  {_line(item)}")
    return 1 if failed else 0


def _line(item: Item) -> str:
    """Write a prediction in one line: its class, confidence and box, and what else it holds."""
    words = [item["class_name"], f"{item['confidence']:.3f}"]
    words += [f"{side:.1f}" for side in item.get("box", [])]
    known = {"class_id", "class_name", "confidence", "box"}
    words += [f"{name} {value:g}" for name, value in item.items() if name not in known]
    return " ".join(words)


def main() -> int:
    """The command line: exit code 0 when all went well, 1 when something failed."""
    parser = argparse.ArgumentParser(description="Run this bundle's model on images.")
    parser.add_argument("images", nargs="*", type=Path)
    parser.add_argument("--json", action="store_true", help="one line of JSON an image")
    parser.add_argument(
        "--verify", action="store_true", help="check every file, then run the golden set again"
    )
    parser.add_argument(
        "--accelerate", action="store_true", help="use the accelerator that config.json names"
    )
    parser.add_argument("--confidence", type=float, help="in place of the threshold in config.json")
    arguments = parser.parse_args()
    folder = Path(__file__).resolve().parent
    if arguments.verify:
        problems = damaged_files(folder)
        for line in [f"FAIL: {problem}" for problem in problems] or [
            "pass: files are as they were packed"
        ]:
            _say(line)
        if problems:
            return 1
    elif not arguments.images:
        parser.error("name some images, or --verify")
    try:
        bundle = Bundle(folder, accelerate=arguments.accelerate)
        sys.stderr.write(f"run by {bundle.ran_by}\n")
        if arguments.verify:
            return _verify(bundle)
        if arguments.confidence is not None:
            bundle.config["confidence"] = arguments.confidence
        return _predict(bundle, arguments.images, as_json=arguments.json)
    except DamagedBundle as error:
        sys.stderr.write(printed(f"FAIL: the bundle is damaged: {error}; fetch it again") + "\n")
    except EndlessModel as error:
        sys.stderr.write(f"FAIL: {error}\n")
    return 1


if __name__ == "__main__":
    # Ctrl-C ends the process inside of a model, too
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    code = main()
    if given_up:
        leave(code)
    sys.exit(code)
