"""A folder of images as an attacker, a full disk or a strange camera leaves it.

It comes with what must become of each file.
"""

from __future__ import annotations

import gzip
import io
import os
import socket
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from components.images.names import printable

HUGE = 14_100  # pixels a side: just under 200 million in all
SPARSE_BYTES = 30_000_000_000
_WIDTH, _HEIGHT = 64, 48


@dataclass(frozen=True)
class HostileFile:
    """One file of the folder.

    Arguments:
        name: its path in the folder.
        ok: an image that gets a prediction.
        words: part of the reason, where it is none.
    """

    name: bytes
    ok: bool
    words: str = ""

    @property
    def image_id(self) -> str:
        """Name that a listing calls it by."""
        return printable(os.fsdecode(self.name))


def write_hostile_folder(folder: Path, *, huge: Iterable[str] = ()) -> tuple[HostileFile, ...]:
    """Write the folder.

    Arguments:
        folder: new or empty; a socket in it needs a path of under a hundred characters.
        huge: formats of additional images of 199 megapixels each, ``"png"`` with transparency or
            ``"jpeg"``.

    Returns:
        What a listing has to find, in no order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = [
        *_formats(folder),
        *_modes(folder),
        *_names(folder),
        *_damaged(folder),
        *_foreign(folder),
    ]
    known += [*_too_large(folder), *_special(folder)]
    for number, kind in enumerate(huge):
        known.append(_huge(folder, f"huge-{number}.{kind}", kind))
    return tuple(known)


def _picture(mode: str = "RGB", width: int = _WIDTH, height: int = _HEIGHT) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    planes = [
        x * 255 // max(width, 1),
        y * 255 // max(height, 1),
        (x + y + 40) % 256,
        (x * y) % 256,
    ]
    image = Image.fromarray(np.stack(planes, -1).astype(np.uint8))
    return image.convert(mode) if mode in ("RGBA", "LA") else image.convert("RGB").convert(mode)


def _encoded(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def _write(
    folder: Path, name: str | bytes, content: bytes, words: str | None = None
) -> HostileFile:
    """One file; `words` say why it is no image."""
    raw = os.fsencode(name)
    path = Path(os.fsdecode(os.path.join(os.fsencode(folder), raw)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return HostileFile(raw, words is None, words or "")


def _all_formats() -> list[str]:
    return [
        "JPEG",
        "PNG",
        "TIFF",
        "WEBP",
        "BMP",
        "GIF",
        *(["AVIF"] if features.check("avif") else []),
    ]


def _formats(folder: Path) -> Iterator[HostileFile]:
    suffixes = {"JPEG": "jpg", "TIFF": "tif"}
    for kind in _all_formats():
        yield _write(
            folder, f"plain.{suffixes.get(kind, kind.lower())}", _encoded(_picture(), format=kind)
        )
    yield _write(folder, "upper.JPG", _encoded(_picture(), format="JPEG"))
    yield _write(folder, "png-inside.jpg", _encoded(_picture(), format="PNG"))
    yield _write(folder, "progressive.jpg", _encoded(_picture(), format="JPEG", progressive=True))
    frames = {"save_all": True, "append_images": [_picture().rotate(180)] * 3}
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        yield _write(
            folder, f"animated.{kind.lower()}", _encoded(_picture(), format=kind, **frames)
        )
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield _write(
            folder, f"exif-{orientation}.jpg", _encoded(_picture(), format="JPEG", exif=exif)
        )
    exif = Image.Exif()
    exif[0x0112] = 99
    yield _write(folder, "exif-99.jpg", _encoded(_picture(), format="JPEG", exif=exif))


def _modes(folder: Path) -> Iterator[HostileFile]:
    for mode in ("L", "LA", "RGBA", "P", "1"):
        yield _write(folder, f"mode-{mode}.png", _encoded(_picture(mode), format="PNG"))
    sixteen = Image.fromarray(
        np.arange(_WIDTH * _HEIGHT, dtype=np.uint16).reshape(_HEIGHT, _WIDTH) * 20
    )
    for kind in ("PNG", "TIFF"):
        yield _write(folder, f"16-bit.{kind.lower()}", _encoded(sixteen, format=kind))
    for kind in ("JPEG", "TIFF"):
        yield _write(folder, f"cmyk.{kind.lower()}", _encoded(_picture("CMYK"), format=kind))
    yield _write(folder, "grey.jpg", _encoded(_picture("L"), format="JPEG"))
    for width, height in ((1, 1), (1, 3000), (3000, 1)):
        yield _write(
            folder, f"{width}x{height}.png", _encoded(_picture("RGB", width, height), format="PNG")
        )
    floats = Image.fromarray(
        np.linspace(0, 1, _WIDTH * _HEIGHT, dtype=np.float32).reshape(_HEIGHT, _WIDTH)
    )
    yield _write(folder, "floats.tif", _encoded(floats, format="TIFF"), "floats")
    yield _write(
        folder,
        "32-bit.tif",
        _encoded(floats.convert("I"), format="TIFF"),
        "wide or signed integers",
    )


def _names(folder: Path) -> Iterator[HostileFile]:
    content = _encoded(_picture(), format="JPEG")
    told: list[str] = [
        " leading.jpg", "leading.jpg", "trailing .jpg", "\u00a0nbsp.jpg", "nbsp.jpg",
        "line\u2028end.jpg", "right\u202egpj.jpg", "wide\u3000space.jpg", "caf\u00e9.jpg",
        "\U0001f468\u200d\U0001f469.jpg",
        "esc\x1b[31m.jpg", "new\nline.jpg", "tab\t.jpg", "return\r.jpg", "bell\x07.jpg",
        "back\\slash.jpg", "\\xff.jpg", "per%20cent.jpg",
        "quote'\".jpg", "comma,;.jpg", "<script>alert(1)<\u2215script>.jpg", "$(touch x).jpg",
        "-rf.jpg", "[a]*?.jpg", "hash#query?.jpg", "pipe|`tick`.jpg",
        "a" * 251 + ".jpg", "x.jpg/inside.jpg",
        "/".join(["deep"] * 40) + "/end.jpg",
    ]  # fmt: skip
    for name in told:
        yield _write(folder, name, content)
    for raw in (b"\xff.jpg", b"\xe9t\xe9.jpg", b"half\xc3.jpg"):
        yield _write(folder, raw, content)


def _damaged(folder: Path) -> Iterator[HostileFile]:
    noise = Image.fromarray(
        np.random.default_rng(1).integers(0, 256, (_HEIGHT, _WIDTH, 3), np.uint8)
    )
    for kind in _all_formats():
        whole = _encoded(noise, format=kind)
        yield _write(folder, f"truncated.{kind.lower()}", whole[: len(whole) // 2], "")
    damaged = bytearray(_encoded(_picture(), format="PNG"))
    damaged[len(damaged) // 2] ^= 1
    yield _write(folder, "checksum.png", bytes(damaged), "checksum")
    yield _write(folder, "start-only.jpg", b"\xff\xd8\xff", "")
    yield _write(folder, "empty.jpg", b"", "an empty file")
    yield _write(folder, "no-pixels.png", _png(0, 0, b""), "")


def _foreign(folder: Path) -> Iterator[HostileFile]:
    kind = "another kind of file"
    yield _write(folder, "text.jpg", b"not an image\n", kind)
    yield _write(folder, "page.png", b"<!doctype html><script>alert(1)</script>", kind)
    yield _write(folder, "drawing.jpg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", kind)
    yield _write(folder, "pickle.jpg", b"\x80\x04cos\nsystem\n(S'true'\ntR.", kind)
    yield _write(folder, "bomb.jpg", gzip.compress(bytes(200_000_000), 1), kind)
    yield _write(folder, "zeros.jpg", bytes(1_000_000), kind)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(
    width: int, height: int, pixels: bytes, *, colour: int = 0, bits: int = 1, extra: bytes = b""
) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _too_large(folder: Path) -> Iterator[HostileFile]:
    pixels = "pixels"
    side = 60_000
    yield _write(
        folder,
        "pixels.png",
        _png(side, side, zlib.compress(bytes((side // 8 + 1) * side), 9)),
        pixels,
    )
    jpeg = bytearray(_encoded(_picture(), format="JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65_500, 65_500)
    yield _write(folder, "pixels.jpg", bytes(jpeg), pixels)
    gif = bytearray(_encoded(_picture(), format="GIF"))
    gif[6:10] = struct.pack("<HH", 65_535, 65_535)
    yield _write(folder, "pixels.gif", bytes(gif), pixels)
    packed = _chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(300_000_000), 9))
    whole = _encoded(_picture(), format="PNG")
    yield _write(folder, "profile-bomb.png", whole[:33] + packed + whole[33:], "")
    yield _write(
        folder,
        "large-chunk.png",
        whole[:33] + _chunk(b"prVt", bytes(100_000_000)) + whole[33:],
        "a chunk",
    )
    found = _write(folder, "sparse-filler.jpg", b"\xff\xd8\xff", "filler")
    os.truncate(folder / "sparse-filler.jpg", 400_000_000)
    yield found
    for name, head, words in (
        ("sparse.jpg", b"", "more than"),
        ("sparse-head.jpg", b"\xff\xd8\xff", "more than"),
    ):
        found = _write(folder, name, head, words)
        os.truncate(folder / name, SPARSE_BYTES)
        yield found
    found = _write(folder, "sparse-under-limit.jpg", b"", "another kind of file")
    os.truncate(folder / "sparse-under-limit.jpg", 400_000_000)
    yield found


def _special(folder: Path) -> Iterator[HostileFile]:
    def linked(name: str, target: str, words: str | None = None) -> HostileFile:
        (folder / name).symlink_to(target)
        return HostileFile(name.encode(), words is None, words or "")

    os.mkfifo(folder / "pipe.jpg")
    yield HostileFile(b"pipe.jpg", False, "a FIFO")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / "socket.jpg"))
    yield HostileFile(b"socket.jpg", False, "a socket")
    yield linked("zero.jpg", "/dev/zero", "a device")
    yield linked("random.png", "/dev/urandom", "a device")
    yield linked("broken.jpg", "nowhere.jpg", "No such file")
    yield linked("loop.jpg", "loop.jpg", "symbolic links")
    yield linked("linked.jpg", "plain.jpg")
    (folder / "round").symlink_to(".")
    yield _write(
        folder,
        "closed.jpg",
        _encoded(_picture(), format="JPEG"),
        None if os.geteuid() == 0 else "Permission",
    )
    (folder / "closed.jpg").chmod(0)


def _huge(folder: Path, name: str, kind: str) -> HostileFile:
    writers: dict[str, Callable[[], bytes]] = {
        "png": _huge_png,
        "jpeg": lambda: _encoded(
            Image.new("RGB", (HUGE, HUGE), (200, 10, 20)), format="JPEG", quality=30
        ),
    }
    return _write(folder, name, writers[kind]())


def _huge_png() -> bytes:
    """Half transparent, written row by row."""
    packer, row = zlib.compressobj(1), b"\0" + bytes((200, 10, 20, 128)) * HUGE
    pixels = b"".join([*(packer.compress(row) for _ in range(HUGE)), packer.flush()])
    return _png(HUGE, HUGE, pixels, colour=6, bits=8)
