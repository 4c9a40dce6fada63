"""Headers that would busy Pillow are refused before it sees them; odd ones of cameras are not."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from components.errors import ImageError
from components.images.reading import image_geometry, read_image


def encoded(kind, **options):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (10, 200, 30)).save(buffer, kind, **options)
    return buffer.getvalue()


JPEG, PNG = encoded("JPEG"), encoded("PNG")


def segment(marker, body):
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def chunk(size):
    body = b"prVt" + bytes(size)
    return struct.pack(">I", size) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"\xff\xd8\xff" + bytes(50_000_000), "64 KB of filler"),
        (b"\xff\xd8\xff\xd9" + bytes(50_000_000), "64 KB of filler"),
        (b"\xff\xd8" + b"\xff" * 1_000_000, "64 KB of filler"),
        (b"\xff\xd8\xff" + b"\x00\xff" * 1_000_000, "64 KB of filler"),
        (b"\xff\xd8" + (b"\xff\xd0" + bytes(9_000)) * 1_000, "64 KB of filler"),
        (b"\xff\xd8" + segment(0xE5, b"") * 20_000 + JPEG[2:], "more than 10,000 segments"),
        (PNG[:33] + chunk(20_000_000) + PNG[33:], "a chunk b'prVt' of 20,000,000 bytes"),
        (PNG[:33] + chunk(0) * 20_000 + PNG[33:], "more than 10,000 chunks"),
    ],
)
def test_headers_that_keep_a_decoder_busy_are_refused(data, found, tmp_path):
    (tmp_path / "a.jpg").write_bytes(data)
    for read, source in (
        (read_image, data),
        (image_geometry, data),
        (image_geometry, tmp_path / "a.jpg"),
    ):
        with pytest.raises(ImageError, match=found):
            read(source)


@pytest.mark.parametrize(
    "data",
    [
        JPEG[:20] + bytes(30_000) + JPEG[20:],
        JPEG[:2] + b"\xff" * 30_000 + JPEG[2:],
        JPEG[:2] + segment(0xE2, bytes(65_000)) * 100 + JPEG[2:],
        JPEG + bytes(10_000_000),
        encoded("JPEG", progressive=True),
        encoded("JPEG", restart_marker_blocks=1),
        encoded("JPEG", icc_profile=bytes(200_000), comment="a camera"),
        PNG[:33] + chunk(3_000_000) + PNG[33:],
    ],
)
def test_headers_that_are_merely_odd_are_read(data):
    assert image_geometry(data).stored == (8, 6)
    assert np.abs(read_image(data).astype(int) - (30, 200, 10)).max() < 5
