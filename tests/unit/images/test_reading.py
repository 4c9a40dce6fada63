"""`read_image` over real files of every format and mode, whole and damaged."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, features

from components.errors import ImageError
from components.images.reading import _open, _pixels, decoding, image_size, read_image
from components.limits import Limits

HEIGHT, WIDTH = 40, 64
FORMATS = [
    "JPEG",
    "PNG",
    "TIFF",
    "WEBP",
    "BMP",
    "GIF",
    *(["AVIF"] if features.check("avif") else []),
]
EXACT = (
    {"format": "WEBP", "lossless": True},
    {"format": "PNG"},
    {"format": "TIFF"},
    {"format": "BMP"},
)
ORIENTED = [
    {"format": "JPEG", "quality": 95, "subsampling": 0},
    {"format": "PNG"},
    {"format": "TIFF"},
    {"format": "TIFF", "compression": "tiff_lzw"},
    {"format": "WEBP", "lossless": True},
]
# what a camera stores for an upright picture, from EXIF 2.32's table of which side row 0 and column
# 0 are
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright.swapaxes(0, 1)[::-1, ::-1],
    8: lambda upright: np.rot90(upright, -1),
}


def picture() -> np.ndarray:
    """A smooth RGB picture without any symmetry."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    rgb = np.stack(
        [x * 255 // WIDTH, y * 255 // HEIGHT, (x * 2 + y * 3) * 255 // (2 * WIDTH + 3 * HEIGHT)], -1
    )
    rgb[:12, :20] = (250, 20, 30)
    return rgb.astype(np.uint8)


def encode(image: Any, **options: Any) -> bytes:
    if not isinstance(image, Image.Image):
        image = Image.fromarray(np.ascontiguousarray(image))
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def rgb_of(encoded: bytes) -> np.ndarray:
    return read_image(encoded)[..., ::-1]


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def worst(found: np.ndarray, wanted: np.ndarray) -> int:
    assert found.shape == wanted.shape
    return int(np.abs(found.astype(int) - wanted.astype(int)).max())


@pytest.mark.parametrize("options", EXACT, ids=lambda options: options["format"])
def test_lossless_formats_give_back_every_pixel(options: dict[str, Any]) -> None:
    assert worst(rgb_of(encode(picture(), **options)), picture()) == 0


def test_a_jpeg_gives_the_pixels_that_opencv_gives() -> None:
    encoded = encode(picture(), format="JPEG", quality=90)
    assert np.array_equal(
        read_image(encoded), cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    )


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow cannot write AVIF")
def test_avif_is_read() -> None:
    assert (
        np.abs(rgb_of(encode(picture(), format="AVIF", quality=95)).astype(int) - picture()).mean()
        < 3
    )


def test_the_array_is_contiguous_writable_and_of_three_channels(tmp_path: Path) -> None:
    for number, mode in enumerate(("RGB", "L", "1", "P", "RGBA")):
        path = tmp_path / f"{number}.png"
        Image.fromarray(picture()).convert(mode).save(path)
        image = read_image(path)
        assert image.shape == (HEIGHT, WIDTH, 3)
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        assert image.flags.writeable


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "options", ORIENTED, ids=lambda options: "-".join(map(str, options.values()))
)
def test_images_are_turned_upright(
    tmp_path: Path, options: dict[str, Any], orientation: int
) -> None:
    path = tmp_path / "turned"
    path.write_bytes(encode(STORED[orientation](picture()), exif=exif(orientation), **options))
    assert np.abs(read_image(path)[..., ::-1].astype(int) - picture()).mean() < 2
    assert image_size(path) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("orientation", [0, 9, 700])
def test_an_orientation_that_does_not_exist_is_taken_as_upright(orientation: int) -> None:
    assert worst(rgb_of(encode(picture(), format="PNG", exif=exif(orientation))), picture()) == 0


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_damaged_metadata_does_not_spoil_the_picture(format_: str) -> None:
    # a camera's name that lies behind the end of the file, then the orientation
    entries = struct.pack(">HHIIHHIHH", 0x010F, 2, 5000, 90000, 0x0112, 3, 1, 6, 0)
    broken = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + entries + bytes(4)
    with pytest.warns(UserWarning):
        Image.open(io.BytesIO(encode(picture(), format="JPEG", exif=broken))).getexif().get(0x010F)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(encode(picture(), format=format_, exif=broken)).shape == (
            WIDTH,
            HEIGHT,
            3,
        )
        assert read_image(encode(picture(), format=format_, exif=b"Exif\0\0nonsense")).shape == (
            HEIGHT,
            WIDTH,
            3,
        )


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_grey_becomes_colour(format_: str) -> None:
    grey = np.asarray(Image.fromarray(picture()).convert("L"))
    found = read_image(encode(grey, format=format_, lossless=True))
    assert np.array_equal(found[..., 0], found[..., 1])
    assert np.array_equal(found[..., 0], found[..., 2])
    assert np.abs(found[..., 0].astype(int) - grey).mean() < 3


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "BMP"])
def test_black_and_white_becomes_colour(format_: str) -> None:
    mask = picture()[..., 0] > 100
    assert np.array_equal(read_image(encode(mask, format=format_))[..., 1] > 0, mask)


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "BMP", "GIF"])
def test_a_palette_becomes_its_colours(format_: str) -> None:
    indexed = Image.fromarray(picture()).quantize(64)
    assert worst(rgb_of(encode(indexed, format=format_)), np.asarray(indexed.convert("RGB"))) == 0


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "WEBP"])
def test_transparent_parts_show_white(format_: str) -> None:
    alpha = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    alpha[:, 20:] = 255
    alpha[:, 40:] = 128
    options = {"lossless": True} if format_ == "WEBP" else {}
    found = rgb_of(encode(np.concatenate([picture(), alpha], -1), format=format_, **options))
    assert (found[:, :20] == 255).all()
    assert worst(found[:, 20:40], picture()[:, 20:40]) == 0
    half = picture()[:, 40:] * (128 / 255) + 255 * (127 / 255)
    assert worst(found[:, 40:], half) <= 1


def test_a_transparent_palette_entry_shows_white() -> None:
    indexed = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "L").convert("P")
    indexed.putpalette([200, 10, 10, 10, 10, 200])
    for format_ in ("PNG", "GIF"):
        found = rgb_of(encode(indexed, format=format_, transparency=1))
        assert found.tolist() == [
            [[200, 10, 10], [255, 255, 255]],
            [[255, 255, 255], [200, 10, 10]],
        ]


def test_a_transparent_colour_and_grey_with_alpha_show_white() -> None:
    keyed = rgb_of(encode(picture(), format="PNG", transparency=(250, 20, 30)))
    assert (keyed[:12, :20] == 255).all()
    assert worst(keyed[12:], picture()[12:]) == 0
    grey = np.dstack([np.full((2, 2), 40, np.uint8), np.array([[0, 255], [255, 0]], np.uint8)])
    assert rgb_of(encode(Image.fromarray(grey, "LA"), format="PNG"))[..., 0].tolist() == [
        [255, 40],
        [40, 255],
    ]


@pytest.mark.parametrize(
    "options", [{"format": "JPEG", "quality": 95}, {"format": "TIFF"}], ids=["JPEG", "TIFF"]
)
def test_cmyk_shows_its_colours(options: dict[str, Any]) -> None:
    inks = {
        (0, 0, 0, 0): (255, 255, 255),
        (255, 0, 0, 0): (0, 255, 255),
        (0, 255, 255, 0): (255, 0, 0),
    }
    inks |= {(0, 0, 0, 255): (0, 0, 0), (0, 0, 255, 128): (127, 127, 0)}
    for ink, colour in inks.items():
        found = rgb_of(encode(Image.new("CMYK", (16, 16), ink), **options))
        assert worst(found, np.broadcast_to(np.array(colour), (16, 16, 3))) <= 4


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_are_scaled_by_the_range_of_the_type(suffix: str, channels: int) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH, channels), dtype=np.uint16)
    deep[..., 3:] = 65535
    found = read_image(cv2.imencode(suffix, deep)[1].tobytes())
    wanted = np.broadcast_to(deep[..., :3] / 257, (HEIGHT, WIDTH, 3))
    assert np.abs(found - wanted).max() <= 1


def test_twelve_bits_are_scaled_by_twelve_bits() -> None:
    values = [0, 4095, 2048, 1024]  # two values in three bytes, most significant bits first
    packed = b"".join(
        ((a << 12) | b).to_bytes(3, "big") for a, b in zip(values[::2], values[1::2], strict=True)
    )
    tags = {256: 4, 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: len(packed)}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = 8 + len(packed)
    tiff = (
        b"II*\0"
        + struct.pack("<I", start)
        + packed
        + struct.pack("<H", len(tags))
        + directory
        + bytes(4)
    )
    assert read_image(tiff)[0, :, 0].tolist() == [0, 255, 128, 64]


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_thirty_two_bits_a_channel_are_refused(dtype: Any) -> None:
    encoded = encode(Image.fromarray(np.ones((4, 4), dtype)), format="TIFF")
    with pytest.raises(ImageError, match="8 or 16 bits a channel"):
        read_image(encoded)


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "TIFF"])
def test_the_first_frame_is_read(format_: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    encoded = encode(frames[0], format=format_, save_all=True, append_images=frames[1:])
    assert worst(rgb_of(encoded), np.broadcast_to((255, 0, 0), (8, 8, 3))) <= 4


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_an_error(
    capfd: pytest.CaptureFixture[str], format_: str, share: float
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (100, 150, 3), dtype=np.uint8)
    encoded = encode(noise, format=format_)
    with pytest.raises(ImageError):
        read_image(encoded[: int(share * len(encoded))])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_a_jpeg_without_its_last_bytes_is_an_error(options: dict[str, Any]) -> None:
    encoded = encode(picture(), format="JPEG", **options)
    for missing in (1, 2, 20):
        with pytest.raises(ImageError, match="truncated"):
            read_image(encoded[:-missing])


def test_damage_inside_a_file_writes_nothing_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(2)
    for format_ in FORMATS:
        whole = np.frombuffer(encode(picture(), format=format_), np.uint8)
        for _ in range(20):
            damaged = whole.copy()
            damaged[rng.integers(len(whole) // 4, len(whole), 5)] = rng.integers(0, 256, 5)
            try:
                assert read_image(damaged.tobytes()).ndim == 3
            except ImageError as error:
                assert "\n" not in str(error)
    assert capfd.readouterr().err == ""


def test_a_png_with_a_wrong_checksum_is_an_error() -> None:
    encoded = bytearray(encode(picture(), format="PNG"))
    encoded[len(encoded) // 2] ^= 1
    with pytest.raises(ImageError, match="checksum"):
        read_image(bytes(encoded))


@pytest.mark.parametrize(
    "content", [b"", b"hello, this is text", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM"]
)
def test_what_is_no_image_is_an_error_of_one_line_with_its_name(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "shot.jpg"
    path.write_bytes(content)
    for read in (read_image, image_size):
        with pytest.raises(ImageError, match=r"shot\.jpg") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_what_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.jpg", tmp_path):
        for read in (read_image, image_size):
            with pytest.raises(ImageError, match=path.name):
                read(path)
    with pytest.raises(ImageError, match="null byte"):
        read_image("a\0.jpg")


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    most = Limits.from_environment().pixels
    side = int(most**0.5) + 1
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    body = zlib.compress(bytes((side // 8 + 2) * side), 9)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    for read in (read_image, image_size):
        with pytest.raises(ImageError, match=f"at most {most:,} pixels"):
            read(path)


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        *[(mode, {"format": "PNG"}) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")],
        *[
            (mode, {"format": "TIFF", "compression": "tiff_lzw"})
            for mode in ("RGB", "RGBA", "CMYK", "L")
        ],
        *[(mode, {"format": "JPEG"}) for mode in ("RGB", "CMYK", "L")],
        *[(mode, {"format": "WEBP", "lossless": True}) for mode in ("RGB", "RGBA")],
        ("RGB", {"format": "BMP"}),
        ("P", {"format": "GIF"}),
    ],
)
def test_a_large_image_is_converted_band_by_band_to_the_same_pixels(
    mode: str, options: dict[str, Any]
) -> None:
    stored = np.dstack(
        [picture(), np.linspace(0, 255, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH)]
    ).astype(np.uint8)
    if mode == "I;16":
        image = Image.fromarray(stored[..., 0].astype(np.uint16) * 256)
    else:
        image = Image.fromarray(stored if mode in ("RGBA", "LA") else stored[..., :3]).convert(mode)
    for orientation in (1, 6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        encoded = (
            encode(image, exif=exif, **options)
            if options["format"] in ("PNG", "TIFF", "JPEG")
            else encode(image, **options)
        )
        whole = _pixels(_open(io.BytesIO(encoded)))
        banded = _pixels(_open(io.BytesIO(encoded)), band=100)
        np.testing.assert_array_equal(whole, banded)
        assert banded.flags.c_contiguous and banded.flags.writeable


def test_decoders_that_hold_more_than_the_picture_take_smaller_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FOVEAL_MAX_MEGAPIXELS", str(2.4 * WIDTH * HEIGHT / 1e6))
    assert read_image(encode(picture(), format="JPEG")).shape == (HEIGHT, WIDTH, 3)
    for options, kind in (
        ({"format": "WEBP"}, "WEBP"),
        ({"format": "JPEG", "progressive": True}, "progressive JPEG"),
    ):
        with pytest.raises(ImageError, match=f"in a {kind}.*FOVEAL_MAX_MEGAPIXELS"):
            read_image(encode(picture(), **options))


def test_images_that_are_large_together_are_decoded_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FOVEAL_MAX_MEGAPIXELS", str(1.5 * WIDTH * HEIGHT / 1e6))
    encoded, held = encode(picture(), format="PNG"), threading.Event()

    def second() -> None:
        with decoding(encoded):
            held.set()

    with decoding(encoded):
        other = threading.Thread(target=second)
        other.start()
        assert not held.wait(0.3)
    assert held.wait(30)
    other.join()


def test_threads_read_side_by_side() -> None:
    encoded = {
        colour: encode(Image.new("RGB", (50, 50), (colour,) * 3), format="PNG")
        for colour in range(0, 250, 25)
    }
    found: dict[int, bool] = {}

    def read(colour: int) -> None:
        found[colour] = all((read_image(encoded[colour]) == colour).all() for _ in range(20))

    threads = [threading.Thread(target=read, args=(colour,)) for colour in encoded]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(encoded, True)
