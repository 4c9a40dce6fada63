"""One rule of reading: Foveal, the runner with Pillow and the runner with OpenCV alone see the same pixels."""

from __future__ import annotations

import io
import runpy
import sys
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
COLOURS = cv2.GaussianBlur(np.random.default_rng(5).integers(0, 256, (40, 60, 3), np.uint8), (0, 0), 3)
DEEP = (COLOURS.astype(np.uint16) << 8) | 201
VEIL = np.tile(np.linspace(0, 255, 60).astype(np.uint8), (40, 1))
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
    **{f"{kind} turned {turn}": saved(plain(), kind, turn) for kind in ("JPEG", "PNG", "TIFF") for turn in range(1, 9)},
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
def test_runner_reads_as_foveal_does(alone: Callable[[Path], Any], tmp_path: Path, name: str) -> None:
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
def test_runner_refuses_what_foveal_refuses(alone: Callable[[Path], Any], tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "picture"
    path.write_bytes(content)
    with pytest.raises(ImageError):
        read_image(path)
    with pytest.raises(Exception):  # noqa: B017 - whatever a library raises costs this image alone
        alone(path)


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
    assert disagreement(expected["items"], found["items"], {"confidence": 0.02, "iou": 0.9}, 0.25) == ""


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
        image = wrong(np.fromfile(path, np.uint8)) if f"rule-{rule}" in path.name else read_image(path)
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
    wrong = {"transparency": shown_hidden, "exif": lying, "grey": red_alone, "16-bit": low_bytes}[rule](data)
    right = read_image(data.tobytes())
    assert wrong.shape != right.shape or np.abs(wrong.astype(int) - right).mean() > 5
