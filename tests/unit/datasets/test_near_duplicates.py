"""Pictures that show the same are found, and those that only look alike are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from components.datasets.near_duplicates import Fingerprints, look_at
from components.datasets.scenes import compose_scene, digits_of

COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "saved again": lambda image: jpeg(image, 60),
    "smaller": lambda image: cv2.resize(image, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA),
    "larger": lambda image: cv2.resize(image, None, fx=1.25, fy=1.25),
    "brighter": lambda image: np.clip(image * 1.1, 0, 255).astype(np.uint8),
    "darker": lambda image: (image * 0.85).astype(np.uint8),
    "all at once": lambda image: jpeg(cv2.resize(relit(image), None, fx=0.8, fy=0.8), 60),
}


def relit(image: np.ndarray) -> np.ndarray:
    return np.clip(image * 1.08 + 4, 0, 255).astype(np.uint8)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    return cv2.imdecode(
        cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR
    )


def write(folder: Path, images: list[np.ndarray], name: str) -> list[Path]:
    paths = [folder / f"{name}-{k:04d}.bmp" for k in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        cv2.imwrite(str(path), image)
    return paths


def scenes(mood, count: int) -> list[np.ndarray]:
    rng, pool = np.random.default_rng(7), digits_of("production", 0)
    return [jpeg(compose_scene(pool, rng, mood)[0], 95) for _ in range(count)]


def earlier_matches(looks: Fingerprints) -> list[int | None]:
    rows = np.arange(len(looks.hashes))
    return [looks.same_as(row, rows < row) for row in rows.tolist()]


@pytest.mark.slow
@pytest.mark.parametrize("mood", ["day", "night"])
def test_copies_are_found_and_other_scenes_over_the_same_photographs_are_not(tmp_path, mood):
    originals, count = scenes(mood, 70), 14
    copies = [change(image) for change in COPIES.values() for image in originals[:count]]
    looks = look_at(write(tmp_path, originals + copies, "scene"))
    there = np.arange(len(originals) + len(copies)) < len(originals)
    assert [looks.same_as(row, there) for row in range(len(originals))] == [None] * len(originals)
    found = [looks.same_as(len(originals) + row, there) for row in range(len(copies))]
    assert found == list(range(count)) * len(COPIES)


@pytest.mark.parametrize("light", [1.0, 0.2])
def test_a_camera_that_stands_still_shows_the_same_until_something_comes(tmp_path, light):
    rng = np.random.default_rng(1)
    background = (
        cv2.GaussianBlur(rng.uniform(0, 255, (240, 320, 3)).astype(np.float32), (0, 0), 12) * 4
        - 380
    )

    def frame(place: tuple[int, int] | None) -> np.ndarray:
        scene = background.copy()
        if place:
            cv2.circle(scene, place, 14, (20, 30, 30), -1)
        return jpeg(
            np.clip(scene * light + rng.normal(0, 3, scene.shape), 0, 255).astype(np.uint8), 90
        )

    empty = [frame(None) for _ in range(6)]
    passing = [frame((40 + 40 * k, 120)) for k in range(6)]
    looks = look_at(write(tmp_path, empty + passing, "frame"))
    assert [match is not None for match in earlier_matches(looks)] == [False] + 5 * [True] + 6 * [
        False
    ]


@pytest.mark.parametrize(("radius", "light"), [(14, 1.0), (14, 0.2), (5, 1.0), (5, 0.2), (3, 1.0)])
def test_lamps_of_equal_grey_and_another_colour_are_other_pictures(tmp_path, radius, light):
    """A camera that stands still sees a lamp that is red or green."""
    rng = np.random.default_rng(1)
    background = (
        cv2.GaussianBlur(rng.uniform(0, 255, (240, 320, 3)).astype(np.float32), (0, 0), 12) * 4
        - 380
    )
    red, green = (0.0, 0.0, 170.0), (0.0, 86.6, 0.0)  # BGR; 50.8 in grey each

    def frame(colour: tuple[float, float, float]) -> np.ndarray:
        scene = background.copy()
        cv2.circle(scene, (100, 120), radius, colour, -1)
        return jpeg(
            np.clip(scene * light + rng.normal(0, 3, scene.shape), 0, 255).astype(np.uint8), 90
        )

    looks = look_at(write(tmp_path, [frame(colour) for colour in (red, green, red, green)], "lamp"))
    assert earlier_matches(looks) == [None, None, 0, 1]


def test_black_frames_are_one_picture_and_a_dark_scene_is_another(tmp_path):
    black = [np.full((120, 160, 3), level, np.uint8) for level in (0, 1, 0)]
    looks = look_at(write(tmp_path, [*black, *scenes("night", 1)], "black"))
    assert [match is not None for match in earlier_matches(looks)] == [False, True, True, False]


def test_a_picture_of_another_shape_or_in_another_light_is_another_one(tmp_path):
    image = scenes("day", 1)[0]
    changed = [
        image,
        cv2.resize(image, (image.shape[1], image.shape[0] * 2)),
        (image * 0.3).astype(np.uint8),
    ]
    assert earlier_matches(look_at(write(tmp_path, changed, "changed"))) == [None, None, None]


def test_one_among_a_hundred_thousand_is_found():
    rng = np.random.default_rng(0)
    count = 100_000
    looks = Fingerprints(
        rng.integers(0, 2**63, count).astype(np.uint64),
        np.broadcast_to(rng.integers(0, 255, (1, 32, 32, 3)).astype(np.uint8), (count, 32, 32, 3)),
        np.ones(count, np.float32),
    )
    looks.hashes[[5, 70_000]] = 12345
    everybody = np.ones(count, np.bool_)
    assert (looks.same_as(5, everybody), looks.same_as(70_000, everybody)) == (70_000, 5)
