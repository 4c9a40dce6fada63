"""Headers of a JPEG or PNG, looked over before Pillow reads them: it holds the GIL while it does.

Pillow looks for a JPEG's next marker byte by byte, a minute for half a gigabyte of zeros, and reads
each ancillary chunk of a PNG whole.
"""

from __future__ import annotations

import os
from typing import IO

from components.errors import ImageError

_FILLER = 65_536  # bytes beside the segments of a JPEG that are passed over, as decoders do
_ANCILLARY = 16_000_000  # bytes of a PNG's chunk that holds no pixels, such as a colour profile
_HEADERS = 10_000  # segments or chunks before the pixels
_SCAN = 0xFFDA


def check_segments(file: IO[bytes]) -> None:
    """Refuse a JPEG or PNG whose headers would keep a decoder busy; leaves the file at its start.

    Arguments:
        file: at its start; of any format, of which others are not looked at.

    Raises:
        ImageError: its segments do not follow each other, are too many, or one is too large.
    """
    head = file.read(8)
    if head.startswith(b"\xff\xd8\xff"):
        file.seek(2)
        _check_jpeg(file)
    elif head == b"\x89PNG\r\n\x1a\n":
        _check_png(file)
    file.seek(0)


def _check_jpeg(file: IO[bytes]) -> None:
    """Walk the segments as Pillow does: it takes a length from those that it has a handler for."""
    from PIL.JpegImagePlugin import MARKER

    filler = 0
    for _ in range(_HEADERS):
        start = file.tell()
        marker = _next_marker(file, _FILLER - filler)
        if marker is None or marker == _SCAN or marker not in MARKER:  # Pillow ends here, too
            return
        filler += file.tell() - start - 2
        if MARKER[marker][2] is not None:
            length = int.from_bytes(file.read(2), "big")
            file.seek(max(length - 2, 0), os.SEEK_CUR)
    raise _odd("a JPEG", f"more than {_HEADERS:,} segments before the pixels")


def _next_marker(file: IO[bytes], room: int) -> int | None:
    """Read the next marker, after at most `room` bytes of filler; None at the end of the file."""
    start = file.tell()
    block = file.read(2)
    if len(block) < 2 or (block[0] == 0xFF and block[1] not in (0, 0xFF)):
        return int.from_bytes(block, "big") if len(block) == 2 else None
    block += file.read(room)
    at = block.find(b"\xff")
    while 0 <= at < len(block) - 1 and block[at + 1] in (0, 0xFF):
        # a stuffed byte, or one that fills
        at = block.find(b"\xff", at + 1)
    if 0 <= at < len(block) - 1:
        file.seek(start + at + 2)
        return 0xFF00 | block[at + 1]
    if len(block) < room + 2:
        return None
    raise _odd("a JPEG", f"{_FILLER // 1024} KB of filler up to byte {start + room:,}")


def _check_png(file: IO[bytes]) -> None:
    for _ in range(_HEADERS):
        header = file.read(8)
        size, kind = int.from_bytes(header[:4], "big"), header[4:]
        if len(header) < 8 or kind in (b"IDAT", b"IEND"):
            return
        if size > _ANCILLARY:
            raise _odd("a PNG", f"a chunk {kind!r} of {size:,} bytes")
        file.seek(size + 4, os.SEEK_CUR)
    raise _odd("a PNG", f"more than {_HEADERS:,} chunks before the pixels")


def _odd(kind: str, found: str) -> ImageError:
    return ImageError(
        f"{kind} whose segments follow each other", found=found, hint="export or copy it again"
    )
