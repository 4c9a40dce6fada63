"""Real labelled data without a download: handwritten digits composed over photographs.

The digits are the UCI optical-recognition digits that scikit-learn ships (1,797 images of 8 × 8 px,
written by 43 people); the backgrounds are photographs that scikit-learn and scikit-image ship.
Every split draws from digits of its own, so nothing that a model is judged on was seen in training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from components.contracts.arrays import Floats32, Image, Ints
from components.datasets.yolo_folder import write_description
from components.errors import DatasetError
from components.files import replacing, sha256_json, write_json
from components.telemetry import import_library

Lighting = Literal["day", "night"]

CLASS_NAMES = tuple("0123456789")
SCENE_SIZES = ((320, 240), (240, 320), (256, 256), (320, 320), (384, 256))  # width, height in px
RECIPE = 2  # raise when the composition changes: it is part of the dataset's key

_SHARES = {
    "train": 0.60,
    "calibration": 0.08,
    "validation": 0.14,
    "golden": 0.04,
    "production": 0.14,
}
# split of a dataset → the digits that it draws from
_SPLITS = {
    "train": "train",
    "val": "validation",
    "calibration": "calibration",
    "golden": "golden",
    "day": "production",
    "night": "tonight",
    "next_night": "next_night",
}
# of production: a model that learns from one night is judged on another
_HALVES = {"tonight": 0, "next_night": 1}


@dataclass(frozen=True)
class SceneCounts:
    """Number of scenes of each split."""

    train: int = 1600
    calibration: int = 128
    validation: int = 300
    golden: int = 16
    day: int = 240
    night: int = 240
    next_night: int = 240


@cache
def _digits() -> tuple[Floats32, Ints]:
    name, hint = "scikit-learn, which ships the digits", "pip install scikit-learn"
    bunch = import_library("sklearn.datasets", name, hint).load_digits()
    return (bunch.images / 16.0).astype(np.float32), bunch.target.astype(np.int64)


@cache
def _photographs() -> tuple[Image, ...]:
    """The photographs inside the installed packages, BGR, in a fixed order."""
    name, hint = (
        "scikit-image and scikit-learn, which ship the photographs",
        "pip install scikit-image scikit-learn",
    )
    skimage, sklearn = (
        Path(str(import_library(one, name, hint).__file__)).parent for one in ("skimage", "sklearn")
    )
    paths = [
        skimage / "data" / name
        for name in (
            "astronaut.png",
            "coffee.png",
            "chelsea.png",
            "rocket.jpg",
            "camera.png",
            "grass.png",
            "gravel.png",
            "brick.png",
            "motorcycle_left.png",
        )
    ]
    paths += [sklearn / "datasets" / "images" / name for name in ("china.jpg", "flower.jpg")]
    images = [cv2.imread(str(path), cv2.IMREAD_COLOR) for path in paths if path.exists()]
    return tuple(image for image in images if image is not None)


def photograph_count() -> int:
    """Return the number of photographs that the scenes are composed over."""
    return len(_photographs())


def digits_of(split: str, seed: int) -> Ints:
    """Indices of the digits that belong to a split; the splits of one seed are disjoint.

    Arguments:
        split: one of train, calibration, validation, golden, production; or a half of the last,
            tonight or next_night.
        seed: the dataset's seed.
    """
    if split in _HALVES:
        production = digits_of("production", seed)
        return np.array_split(production, 2)[_HALVES[split]]
    order = np.random.default_rng(seed).permutation(len(_digits()[1]))
    start = 0
    for name, share in _SHARES.items():
        stop = start + round(share * len(order))
        if name == split:
            return order[start:stop]
        start = stop
    raise KeyError(split)


def _render(digit: Floats32, size: int, rng: np.random.Generator) -> Floats32:
    """An 8 × 8 digit as a (size, size) alpha mask in 0–1, slightly turned and sheared."""
    mask = cv2.resize(np.pad(digit, 2), (size, size), interpolation=cv2.INTER_CUBIC)
    angle, shear = np.radians(rng.uniform(-12, 12)), rng.uniform(-0.15, 0.15)
    turn = np.array([[np.cos(angle), -np.sin(angle) + shear], [np.sin(angle), np.cos(angle)]])
    centre = np.full(2, (size - 1) / 2)
    matrix = np.hstack([turn, (centre - turn @ centre)[:, None]])
    mask = cv2.warpAffine(mask, matrix, (size, size), flags=cv2.INTER_LINEAR)
    return np.asarray(np.clip((mask - 0.25) / 0.35, 0, 1), np.float32)


def _tight_box(mask: Floats32) -> tuple[int, int, int, int]:
    rows, columns = np.where((mask > 0.4).any(1))[0], np.where((mask > 0.4).any(0))[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _background(
    width: int, height: int, rng: np.random.Generator, photographs: Sequence[int] | None = None
) -> Floats32:
    choice = range(photograph_count()) if photographs is None else photographs
    photo = _photographs()[choice[int(rng.integers(len(choice)))]]
    zoom = max(width / photo.shape[1], height / photo.shape[0], rng.uniform(0.5, 1.3))
    photo = cv2.resize(photo, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    photo = cv2.copyMakeBorder(
        photo,
        0,
        max(0, height - photo.shape[0]),
        0,
        max(0, width - photo.shape[1]),
        cv2.BORDER_REFLECT_101,
    )
    x = int(rng.integers(photo.shape[1] - width + 1))
    y = int(rng.integers(photo.shape[0] - height + 1))
    crop = photo[y : y + height, x : x + width].astype(np.float32)
    contrast, brightness = np.float32(rng.uniform(0.6, 1.0)), np.float32(128 + rng.uniform(-25, 25))
    return np.asarray((crop - 128) * contrast + brightness, np.float32)


def _ink(patch: Floats32, rng: np.random.Generator) -> Floats32:
    """A colour that a person can tell from the patch it is written on."""
    luminance = float(patch.mean())
    wanted = luminance + 85 if luminance < 128 else luminance - 85
    colour = rng.uniform(0, 255, 3)
    base = np.clip(wanted * 1.25 if wanted > luminance else wanted * 0.6, 0, 255)
    return np.asarray(0.25 * colour + 0.75 * base, np.float32)


def compose_scene(
    pool: Ints,
    rng: np.random.Generator,
    mood: Lighting = "day",
    photographs: Sequence[int] | None = None,
) -> tuple[Image, Ints, Floats32]:
    """One labelled scene.

    Arguments:
        pool: indices of the digits to draw from.
        rng: source of all randomness.
        mood: ``"day"``, or ``"night"`` for a dark, noisy, partly blurred scene.
        photographs: which of the `photograph_count` photographs may lie behind the digits; all by
            default.

    Returns:
        image (height, width, 3) uint8 BGR; class ids (n,); boxes (n, 4) xyxy in pixels.
    """
    width, height = SCENE_SIZES[rng.integers(len(SCENE_SIZES))]
    scene = _background(width, height, rng, photographs)
    classes, boxes = _write_digits(scene, pool, rng)
    if boxes and rng.random() < 0.35:
        _occlude(scene, boxes[int(rng.integers(len(boxes)))], rng)
    ramp = np.linspace(rng.uniform(0.75, 1.15), rng.uniform(0.75, 1.15), width, dtype=np.float32)
    scene *= ramp[None, :, None]
    scene += rng.normal(0, 2.5, scene.shape).astype(np.float32)
    if mood == "night":
        scene = _nightfall(scene, rng)
    image = np.clip(scene, 0, 255).astype(np.uint8)
    return image, np.array(classes, np.int64), np.array(boxes, np.float32).reshape(-1, 4)


def _write_digits(
    scene: Floats32, pool: Ints, rng: np.random.Generator
) -> tuple[list[int], list[tuple[int, int, int, int]]]:
    """Write up to seven digits over a scene; none hides more than a quarter of another."""
    images, targets = _digits()
    height, width = scene.shape[:2]
    owner = np.full((height, width), -1, np.int64)  # which digit a pixel shows
    boxes: list[tuple[int, int, int, int]] = []
    classes: list[int] = []
    areas: list[int] = []
    for _ in range(int(rng.integers(1, 8))):
        index = int(pool[rng.integers(len(pool))])
        size = int(np.exp(rng.uniform(np.log(72), np.log(170))))
        mask = _render(images[index], size, rng)
        x, y = int(rng.integers(width - size + 1)), int(rng.integers(height - size + 1))
        inked = mask > 0.4
        covered = np.bincount(
            owner[y : y + size, x : x + size][inked] + 1, minlength=len(areas) + 1
        )[1:]
        if any(covered[k] > 0.1 * areas[k] for k in range(len(areas))):
            continue
        patch = scene[y : y + size, x : x + size]
        patch += mask[..., None] * (_ink(patch, rng) - patch)
        owner[y : y + size, x : x + size][inked] = len(areas)
        left, top, right, bottom = _tight_box(mask)
        boxes.append((x + left, y + top, x + right, y + bottom))
        classes.append(int(targets[index]))
        areas.append(int(inked.sum()))
    return classes, boxes


def _occlude(scene: Floats32, box: tuple[int, int, int, int], rng: np.random.Generator) -> None:
    """Cover up to a quarter of one digit with a piece of another photograph."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    if rng.random() < 0.5:
        wide, high = max(2, int(width * rng.uniform(0.1, 0.25))), height
    else:
        wide, high = width, max(2, int(height * rng.uniform(0.1, 0.25)))
    x, y = left + int(rng.integers(width - wide + 1)), top + int(rng.integers(height - high + 1))
    scene[y : y + high, x : x + wide] = _background(wide, high, rng)


def _nightfall(scene: Floats32, rng: np.random.Generator) -> Floats32:
    if rng.random() < 0.6:
        scene = cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.6, 1.6))
    scene = scene * np.float32(rng.uniform(0.14, 0.30)) * np.array([1.15, 1.0, 0.85], np.float32)
    return scene + rng.normal(0, rng.uniform(5, 11), scene.shape).astype(np.float32)


def _write_scene(
    folder: Path, split: str, number: int, pool: Ints, rng: np.random.Generator, mood: Lighting
) -> None:
    image, classes, boxes = compose_scene(pool, rng, mood)
    height, width = image.shape[:2]
    name = f"{split}_{number:05d}"
    cv2.imwrite(
        str(folder / "images" / split / f"{name}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 95]
    )
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 / (width, height)
    extent = (boxes[:, 2:] - boxes[:, :2]) / (width, height)
    rows = [
        f"{k} {cx:.6f} {cy:.6f} {w:.6f} {h:.6f}"
        for k, (cx, cy), (w, h) in zip(classes, centre, extent, strict=True)
    ]
    (folder / "labels" / split / f"{name}.txt").write_text("\n".join(rows) + ("\n" if rows else ""))


def write_detection_dataset(
    folder: Path, *, counts: SceneCounts | None = None, seed: int = 0
) -> Path:
    """Write the scenes as a YOLO dataset and return its `data.yaml`.

    Splits: train, val, calibration, golden, and the production streams day, night and next_night. A
    folder that already holds this dataset (same counts, seed and recipe) is left as it is; another
    one made here is replaced.

    Raises:
        DatasetError: the folder holds something else.
    """
    counts = counts or SceneCounts()
    key = {"kind": "detect", "seed": seed, **asdict(counts)}
    _once(folder, key, lambda aside: _fill_scenes(aside, counts, seed))
    return folder / "data.yaml"


def _once(folder: Path, key: dict[str, object], fill: Callable[[Path], None]) -> None:
    """Have `fill` make the folder, unless it already holds what `key` stands for."""
    key = {**key, "recipe": RECIPE}
    marker = folder / "digits.json"
    if folder.exists() and not marker.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DatasetError(
            "a new or empty folder",
            found=f"{folder}, which holds something else",
            hint="name another",
        )
    if not (marker.exists() and sha256_json(key) in marker.read_text()):
        with replacing(folder) as aside:
            aside.mkdir(parents=True)
            fill(aside)
            write_json(aside / "digits.json", {**key, "key": sha256_json(key)})


def _mood(split: str) -> Lighting:
    return "night" if split.endswith("night") else "day"


def _fill_scenes(folder: Path, counts: SceneCounts, seed: int) -> None:
    sizes = {**asdict(counts), "val": counts.validation}
    for position, (split, source) in enumerate(_SPLITS.items()):
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        rng = np.random.default_rng([seed, position])
        pool = digits_of(source, seed)
        for number in range(sizes[split]):
            _write_scene(folder, split, number, pool, rng, _mood(split))
    write_description(folder, CLASS_NAMES, {split: f"images/{split}" for split in _SPLITS})


def write_classification_dataset(folder: Path, *, size: int = 64, seed: int = 0) -> Path:
    """Write every digit over a photograph as an image folder `split/class/name.jpg`; return it.

    Arguments:
        folder: where to write; splits train, val, calibration, golden, day, night and next_night.
        size: side of the square images in pixels.
        seed: of the split and of the composition.

    Raises:
        DatasetError: the folder holds something else.
    """
    _once(
        folder,
        {"kind": "classify", "seed": seed, "size": size},
        lambda aside: _fill_crops(aside, size, seed),
    )
    return folder


def _fill_crops(folder: Path, size: int, seed: int) -> None:
    images, targets = _digits()
    for position, (split, source) in enumerate(_SPLITS.items()):
        rng = np.random.default_rng([seed, 100 + position])
        for index in digits_of(source, seed):
            scene = _background(size, size, rng)
            mask = _render(images[index], size, rng)
            scene += mask[..., None] * (_ink(scene, rng) - scene)
            if _mood(split) == "night":
                scene = _nightfall(scene, rng)
            target = folder / split / str(targets[index])
            target.mkdir(parents=True, exist_ok=True)
            picture = np.clip(scene, 0, 255).astype(np.uint8)
            cv2.imwrite(
                str(target / f"{split}_{index:04d}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 95]
            )
