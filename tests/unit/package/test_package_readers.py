"""One rule of reading: Foveal and the runner, with Pillow or OpenCV alone, see the same pixels."""

from __future__ import annotations

import io
import os
import re
import runpy
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from components.backends import get_backend
from components.contracts import Bundle
from components.errors import ImageError
from components.images.reading import read_image
from components.package import read_manifest, run_bundle, run_template
from components.package.rule_images import RULES, draw_base
from components.package.run_template import Rules, check_golden, disagreement
from components.vision import task_for
from tests.unit.package.test_package_runner import predictions, run

RUNNER = Path(run_template.__file__)
COLOURS = cv2.GaussianBlur(
    np.random.default_rng(5).integers(0, 256, (40, 60, 3), np.uint8), (0, 0), 3
)
DEEP = (COLOURS.astype(np.uint16) << 8) | 201
VEIL = np.tile(np.linspace(0, 255, 60).astype(np.uint8), (40, 1))
SIDE = 13_200  # pixels: above our limit, and below Pillow's own
PALETTE = Image.fromarray(COLOURS[..., ::-1].copy()).quantize(16)


def saved(picture: Image.Image, kind: str, orientation: int = 1, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    sink = io.BytesIO()
    picture.save(sink, kind, exif=exif, **options)
    return sink.getvalue()


def encoded(pixels: Any, suffix: str) -> bytes:
    return bytes(cv2.imencode(suffix, pixels)[1])


def veiled(mode: str) -> Image.Image:
    picture = Image.fromarray(COLOURS[..., ::-1].copy())
    picture.putalpha(Image.fromarray(VEIL))
    return picture.convert(mode)


def plain(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(COLOURS[..., ::-1].copy()).convert(mode)


PICTURES: dict[str, bytes] = {
    **{
        f"{kind} turned {turn}": saved(plain(), kind, turn)
        for kind in ("JPEG", "PNG", "TIFF")
        for turn in range(1, 9)
    },
    **{f"veiled and turned {turn}": saved(veiled("RGBA"), "PNG", turn) for turn in (3, 6)},
    "webp turned": saved(plain(), "WEBP", 6, lossless=True),
    "webp veiled": saved(veiled("RGBA"), "WEBP", lossless=True),
    "veiled": saved(veiled("RGBA"), "PNG"),
    "grey veiled": saved(veiled("LA"), "PNG"),
    "tiff veiled": saved(veiled("RGBA"), "TIFF"),
    "grey": saved(plain("L"), "PNG"),
    "grey jpeg": saved(plain("L"), "JPEG"),
    "black and white": saved(plain("1"), "PNG"),
    "one grey hidden": saved(plain("L"), "PNG", transparency=int(COLOURS[0, 0].mean())),
    "palette": saved(PALETTE, "PNG"),
    "one colour hidden": saved(PALETTE, "PNG", transparency=3),
    "many colours veiled": saved(PALETTE, "PNG", transparency=bytes(range(0, 160, 10))),
    "16 bits": encoded(DEEP, ".png"),
    "16 bits grey": encoded(DEEP[..., 0], ".png"),
    "16 bits tiff": encoded(DEEP, ".tiff"),
    "16 bits veiled": encoded(np.dstack([DEEP, (VEIL.astype(np.uint16) << 8) | 9]), ".png"),
    "cmyk": saved(plain("CMYK"), "JPEG"),
    "bmp": encoded(COLOURS, ".bmp"),
}


def reader(*without: str) -> Callable[[Path], Any]:
    """`read_image` of the runner where these packages are not installed."""
    with pytest.MonkeyPatch.context() as patch:
        for name in without:
            patch.setitem(sys.modules, name, None)
        return runpy.run_path(str(RUNNER), run_name="runner")["read_image"]  # type: ignore[no-any-return]


@pytest.fixture(scope="module", params=["PIL", "cv2"])
def alone(request: pytest.FixtureRequest) -> Callable[[Path], Any]:
    return reader(request.param)


@pytest.mark.parametrize("name", PICTURES)
def test_runner_reads_as_foveal_does(
    alone: Callable[[Path], Any], tmp_path: Path, name: str
) -> None:
    path = tmp_path / "picture"
    path.write_bytes(PICTURES[name])
    expected, found = read_image(path), alone(path)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    "content",
    [
        saved(plain(), "PNG")[:700],
        saved(plain(), "JPEG", 6)[:500],
        saved(plain(), "PNG").replace(b"IDAT", b"IDAT\1", 1),
        saved(Image.fromarray(VEIL.astype(np.float32)), "TIFF"),
        b"",
        b"words",
    ],
)
def test_runner_refuses_what_foveal_refuses(
    alone: Callable[[Path], Any], tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "picture"
    path.write_bytes(content)
    with pytest.raises(ImageError):
        read_image(path)
    with pytest.raises(Exception):  # noqa: B017 - whatever a library raises costs this image alone
        alone(path)


def forged(name: str) -> bytes:
    """An image of 60 by 40 pixels whose header says `SIDE` by `SIDE`."""
    data = bytearray(saved(plain("1" if name == "TIFF" else "RGB"), name))
    match name:
        case "PNG":
            data[16:24] = struct.pack(">II", SIDE, SIDE)
            data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        case "JPEG":
            at = data.index(b"\xff\xc0") + 5
            data[at : at + 4] = struct.pack(">HH", SIDE, SIDE)
        case "GIF":
            data[6:10] = struct.pack("<HH", SIDE, SIDE)
        case "BMP":
            data[18:26] = struct.pack("<ii", SIDE, SIDE)
        case "TIFF":
            for tag in (256, 257):
                at = next(
                    found.start()
                    for found in re.finditer(struct.pack("<H", tag) + b"[\3\4]\0\1\0\0\0", data)
                )
                data[at + 2 : at + 12] = struct.pack("<HII", 4, 1, SIDE)
    return bytes(data)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", ["PNG", "JPEG", "GIF", "BMP", "TIFF"])
def test_runner_decodes_no_image_of_too_many_pixels(
    alone: Callable[[Path], Any], tmp_path: Path, name: str
) -> None:
    path = tmp_path / "picture"
    path.write_bytes(forged(name))
    with pytest.raises(
        ValueError, match=r"13200 × 13200 pixels, where [\d,]+ are the most that is decoded"
    ):
        alone(path)


@pytest.mark.parametrize("name", PICTURES)
def test_runner_reads_the_size_from_the_header_as_pillow_does(name: str) -> None:
    with Image.open(io.BytesIO(PICTURES[name])) as picture:
        tags: Any = getattr(picture, "tag_v2", None)
        stored = (tags[256], tags[257]) if tags else picture.size
        kind, width, height, channel_bytes = run_template._header(PICTURES[name])
        assert (kind.removeprefix("progressive "), (width, height)) == (picture.format, stored)
        assert channel_bytes == (2 if name.startswith("16 bits") else 1)


def test_a_marker_without_content_does_not_hide_the_size_of_a_jpeg() -> None:
    real, other = forged("JPEG"), saved(plain(), "JPEG")
    hidden = struct.pack(">H", len(real)) + real[2:]
    with pytest.raises(ValueError, match="JPEG"):
        # a decoder passes over the marker and comes to what is no segment
        run_template._header(b"\xff\xd8\xff\xd0" + hidden + other[2:])
    assert run_template._header(b"\xff\xd8\xff\xd0" + real[2:])[1:3] == (SIDE, SIDE)


def test_runner_starts_no_program_for_an_image(
    alone: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, started = tmp_path / "gs", tmp_path / "started"
    program.write_text(f"#!/bin/sh\ntouch {started}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    path = tmp_path / "x.jpg"
    path.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 40\n%%EndComments\nshowpage\n%%EOF\n"
    )
    with pytest.raises((ValueError, OSError)):
        alone(path)
    assert not started.exists()


PEAK = """
import runpy, sys
from pathlib import Path
from components.benchmark.worker import peak_rss_mb
sys.modules.update(dict.fromkeys(sys.argv[3:]))
read_image = runpy.run_path(sys.argv[1], run_name="runner")["read_image"]
print(read_image(Path(sys.argv[2])).shape, int(peak_rss_mb()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("without", ["PIL", "cv2"])
def test_runner_holds_a_large_image_about_once(tmp_path: Path, without: str) -> None:
    packer, row, side = zlib.compressobj(1), b"\0" + bytes((200, 10, 20, 128)) * 13_000, 13_000
    pixels = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    parts = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    path = tmp_path / "large.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(RUNNER), str(path), without],
        capture_output=True,
        text=True,
        check=True,
    )
    shape, _, peak_mb = done.stdout.strip().rpartition(" ")
    assert shape == f"({side}, {side}, 3)" and int(peak_mb) < 1500


def test_runner_with_opencv_alone_does_not_see_hidden_pixels(
    detector_bundle: Bundle, photos: tuple[Path, ...], tmp_path: Path
) -> None:
    picture = np.dstack([cv2.imread(str(photos[0])), np.full((120, 160), 255, np.uint8)])
    picture[60:, 80:, 3] = 0  # the blue patch
    path = tmp_path / "hidden.png"
    cv2.imwrite(str(path), picture)
    (expected,) = run_bundle(detector_bundle.folder, [path])
    (shown,) = run_bundle(detector_bundle.folder, photos[:1])
    (found,) = predictions(run(detector_bundle.folder, "--json", path, without=("PIL",)))
    assert len(found["items"]) == len(expected["items"]) < len(shown["items"])
    assert (
        disagreement(expected["items"], found["items"], {"confidence": 0.02, "iou": 0.9}, 0.25)
        == ""
    )


def shown_hidden(data: Any) -> Any:
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def lying(data: Any) -> Any:
    return cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)


def red_alone(data: Any) -> Any:
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    return np.dstack([np.zeros_like(image)] * 2 + [image]) if image.ndim == 2 else image[..., :3]


def low_bytes(data: Any) -> Any:
    return np.dstack([(cv2.imdecode(data, cv2.IMREAD_UNCHANGED) & 255).astype(np.uint8)] * 3)


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [("transparency", shown_hidden), ("exif", lying), ("grey", red_alone), ("16-bit", low_bytes)],
)
def test_golden_set_shows_a_reader_with_another_rule(
    detector_bundle: Bundle, rule: str, wrong: Callable[[Any], Any]
) -> None:
    manifest = read_manifest(detector_bundle.folder)
    task = task_for(manifest.model.spec)

    def predict(path: Path) -> Any:
        image = (
            wrong(np.fromfile(path, np.uint8)) if f"rule-{rule}" in path.name else read_image(path)
        )
        return task.preprocess(image)[0], []

    with get_backend("onnxruntime").open(manifest.artifact(detector_bundle.folder)) as session:
        rules = Rules("yolo", "fp32", 2.0)
        findings, _ = check_golden(detector_bundle.folder, rules, session.run, predict)
    assert [finding.name for finding in findings if not finding.ok] == ["golden_inputs"]


@pytest.mark.parametrize("colour", [0, 114, 255])
@pytest.mark.parametrize("rule", RULES)
def test_a_picture_shows_its_rule_whatever_it_is_made_of(rule: str, colour: int) -> None:
    _, encode = RULES[rule]
    data = np.frombuffer(encode(draw_base(np.full((50, 70, 3), colour, np.uint8))), np.uint8)
    wrong = {"transparency": shown_hidden, "exif": lying, "grey": red_alone, "16-bit": low_bytes}[
        rule
    ](data)
    right = read_image(data.tobytes())
    assert wrong.shape != right.shape or np.abs(wrong.astype(int) - right).mean() > 5
