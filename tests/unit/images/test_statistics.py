"""Image statistics against values worked out by hand, and against what they are to notice."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from components.images.statistics import IMAGE_COLUMNS, image_statistics


def scene(height: int = 480, width: int = 640) -> np.ndarray:
    """Draw a textured colour scene, structured at every scale, less so the finer, as photos are."""
    rng = np.random.default_rng(0)
    image = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((4, 90), (16, 45), (64, 22), (256, 11)):
        image += (
            cv2.resize(rng.uniform(-1, 1, (cells, cells, 3)).astype(np.float32), (width, height))
            * strength
        )
    return np.clip(image + 110, 0, 255).astype(np.uint8)


def test_a_plain_image_has_the_numbers_of_its_colour() -> None:
    found = image_statistics(np.full((300, 600, 3), (0, 110, 200), np.uint8))
    grey = round(0.587 * 110 + 0.299 * 200)
    opponents = 0.3 * np.hypot(200 - 110, 0.5 * (200 + 110) - 0)
    wanted = {
        "width": 600,
        "height": 300,
        "aspect": 2,
        "megapixels": 0.18,
        "brightness": grey,
        "contrast": 0,
    }
    wanted |= {
        "blue": 0,
        "green": 110,
        "red": 200,
        "saturation": 1,
        "colourfulness": opponents,
        "entropy": 0,
    }
    wanted |= {"sharpness": 0, "edge_density": 0, "blockiness": 1}
    assert found == pytest.approx(wanted, abs=0.01)


def test_columns_come_in_their_order_as_floats() -> None:
    found = image_statistics(scene())
    assert tuple(found) == IMAGE_COLUMNS
    assert {type(value) for value in found.values()} == {float}


def test_tone_agrees_with_the_definition_on_the_full_image() -> None:
    image = scene(256, 200)
    found = image_statistics(image)
    blue, green, red = (image[..., channel].astype(float) for channel in range(3))
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    shares = np.bincount(grey.ravel(), minlength=256) / grey.size
    opponents = red - green, (red + green) / 2 - blue
    wanted = {
        "brightness": grey.mean(),
        "contrast": grey.std(),
        "blue": blue.mean(),
        "entropy": -sum(share * np.log2(share) for share in shares if share),
        "saturation": (
            (image.max(-1) - image.min(-1).astype(float)) / np.maximum(image.max(-1), 1)
        ).mean(),
        "colourfulness": np.hypot(*(axis.std() for axis in opponents))
        + 0.3 * np.hypot(*(axis.mean() for axis in opponents)),
    }
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, rel=0.01)


def test_two_halves_of_black_and_white_have_one_bit_and_one_edge() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    image[:, 100:] = 255
    found = image_statistics(image)
    assert found["entropy"] == pytest.approx(1)
    assert found["contrast"] == pytest.approx(127.5)
    assert found["edge_density"] == pytest.approx(1 / 200, rel=0.02)
    assert found["sharpness"] == pytest.approx(2 * 255**2 / 200)


@pytest.mark.parametrize("size", [(480, 640), (1080, 1920), (1081, 1923), (511, 513), (3000, 500)])
def test_tone_is_that_of_the_image_reduced_to_256_pixels(size: tuple[int, int]) -> None:
    height, width = size
    scale = 256 / max(size)
    image = scene(height, width)
    small = cv2.resize(
        image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA
    )
    found, wanted = image_statistics(image), image_statistics(small)
    for name in (
        "brightness",
        "contrast",
        "blue",
        "green",
        "red",
        "saturation",
        "colourfulness",
        "entropy",
    ):
        assert found[name] == pytest.approx(wanted[name], rel=0.03)


def test_blur_noise_and_darkness_are_noticed_at_full_hd() -> None:
    grain = np.random.default_rng(1).normal(0, 1, (1080, 1920, 3))
    image = np.clip(scene(1080, 1920) + 3 * grain, 0, 255).astype(np.uint8)
    plain = image_statistics(image)
    blurred = image_statistics(cv2.GaussianBlur(image, (0, 0), 1))
    noisy = image_statistics(np.clip(image + 12 * grain, 0, 255).astype(np.uint8))
    dark = image_statistics((image * 0.3).astype(np.uint8))
    assert blurred["sharpness"] < 0.2 * plain["sharpness"]
    assert noisy["sharpness"] > 3 * plain["sharpness"]
    assert dark["brightness"] < 0.35 * plain["brightness"]


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 2), (2, 1), (1, 5000), (5000, 1), (3, 1025), (255, 257)]
)
def test_the_smallest_and_thinnest_images_have_finite_numbers(size: tuple[int, int]) -> None:
    image = np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8)
    found = image_statistics(image)
    assert np.isfinite(list(found.values())).all()
    assert found["width"] == size[1]
    assert found["height"] == size[0]


def test_the_image_is_left_as_it_was() -> None:
    image = scene()
    before = image.copy()
    image.setflags(write=False)
    image_statistics(image)
    assert np.array_equal(image, before)


def test_recompression_leaves_a_grid_wherever_the_crop_begins() -> None:
    image = scene(400, 330)
    again = cv2.imdecode(
        cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 15])[1], cv2.IMREAD_COLOR
    )
    before, after, moved = (
        image_statistics(x)["blockiness"] for x in (image, again, again[3:, 5:])
    )
    assert before < 1.2 < 1.5 < min(after, moved)
