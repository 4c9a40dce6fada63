"""Cost of image statistics, beside a naive version at 1080p and the inference they accompany."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.figure import Figure, conclude
from benchmarks.subject import Image, Subject, scratch
from components.contracts import Variant
from components.images.reading import read_image
from components.images.sources import list_images
from components.images.statistics import image_statistics
from components.inference import BatchSettings, run_batch

ROUNDS, CALLS, BAR, SHARE_BAR = 15, 4, 10, 0.10
PHOTOS = ("astronaut", "coffee", "chelsea", "rocket", "china.jpg", "flower.jpg")


def photograph(name: str, height: int = 1080, width: int = 1920) -> Image:
    """Return a photograph that scikit-image or scikit-learn ships, as BGR.

    It is enlarged to cover the size, and cropped.
    """
    from skimage import data
    from sklearn.datasets import load_sample_image

    picture = load_sample_image(name) if name.endswith(".jpg") else getattr(data, name)()
    image = cv2.cvtColor(np.asarray(picture, np.uint8), cv2.COLOR_RGB2BGR)
    scale = max(height / image.shape[0], width / image.shape[1])
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(large[-height:, :width], np.uint8)


def naive_statistics(image: Image) -> dict[str, float]:
    """The same quantities at full size, in the plain OpenCV and NumPy that most would write."""
    height, width = image.shape[:2]
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    blue, green, red = (image[..., k].astype(np.float32) for k in range(3))
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    counts, _ = np.histogram(grey, bins=256, range=(0, 256))
    shares = counts[counts > 0] / grey.size
    return {
        "width": float(width),
        "height": float(height),
        "aspect": width / height,
        "megapixels": width * height / 1e6,
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "blue": float(blue.mean()),
        "green": float(green.mean()),
        "red": float(red.mean()),
        "saturation": float(hsv[..., 1].mean() / 255),
        "colourfulness": float(
            np.hypot(red_green.std(), yellow_blue.std())
            + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean())
        ),
        "entropy": float(-(shares * np.log2(shares)).sum()),
        "sharpness": float(cv2.Laplacian(grey, cv2.CV_64F).var()),
        "edge_density": float((cv2.Canny(grey, 100, 200) > 0).mean()),
        "blockiness": _naive_blockiness(grey.astype(np.float32)),
    }


def _naive_blockiness(grey: npt.NDArray[np.float32]) -> float:
    ratios = []
    for axis in (0, 1):
        steps = np.abs(np.diff(grey, axis=axis)).mean(axis=1 - axis)
        means = np.array([steps[phase::8].mean() for phase in range(8)])
        strongest = means.max()
        ratios.append((strongest + 0.1) / ((means.sum() - strongest) / 7 + 0.1))
    return float(np.mean(ratios))


def interleaved(
    contenders: Mapping[str, Callable[[int], int]], rounds: int
) -> dict[str, list[float]]:
    """Measure CPU milliseconds an image, one value a round.

    Every round runs all contenders, in an order by chance.

    Each is called with the number of the round and says how many images it did. CPU time is what
    one core would take, whatever else the machine does.
    """
    order = random.Random(0)  # noqa: S311 - an order, not a secret
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(-1, rounds):  # round −1 warms up
        for name in order.sample(list(contenders), len(contenders)):
            started = time.process_time()
            images = contenders[name](number)
            if number >= 0:
                times[name].append(1e3 * (time.process_time() - started) / images)
    return times


def over(function: Callable[[Image], object], images: list[Image]) -> Callable[[int], int]:
    """A contender that takes a few of the images each round."""

    def run(number: int) -> int:
        for k in range(CALLS):
            function(images[(number * CALLS + k) % len(images)])
        return CALLS

    return run


def share_of_inference(
    folder: Path, subject: Subject, images: list[Path]
) -> dict[str, list[float]]:
    """Measure CPU milliseconds an image: whole batch runs with statistics, and statistics alone.

    Arguments:
        folder: for the results.
        subject: whose FP32 export is run.
        images: all files of one folder.
    """
    sources = list_images(str(images[0].parent))
    decoded = [read_image(image) for image in images]

    def infer(number: int) -> int:
        run_batch(
            sources,
            Variant("digits/1", subject.source, "onnxruntime"),
            folder / f"run{number}",
            settings=BatchSettings(threads=1, decode_threads=1),
        )
        return len(sources)

    return interleaved(
        {"inference": infer, "statistics": over(image_statistics, decoded)}, ROUNDS // 3
    )


def spread(values: list[float]) -> str:
    """The median, and the range without the extremes."""
    ordered = sorted(values)
    return f"{statistics.median(ordered):.2f} [{ordered[1]:.2f}, {ordered[-2]:.2f}]"


def measure() -> Figure:
    """Measure both implementations on the same photographs, then whole batch runs.

    The batch runs are over the demo's scenes and over the photographs.
    """
    cv2.setNumThreads(1)
    photos = [photograph(name) for name in PHOTOS]
    times = interleaved(
        {"naive": over(naive_statistics, photos), "ours": over(image_statistics, photos)},
        rounds=ROUNDS,
    )
    ratios = [naive / ours for naive, ours in zip(times["naive"], times["ours"], strict=True)]
    details = [f"{name} at 1080p, one core: {spread(values)} ms" for name, values in times.items()]
    details.append(f"ratio: {spread(ratios)}")
    with scratch() as name:
        folder = Path(name)
        subject = Subject(folder)
        scenes = sorted((subject.data.parent / "images" / "day").iterdir())
        (folder / "photos").mkdir()
        for k, photo in enumerate(photos * 4):
            cv2.imwrite(str(folder / "photos" / f"{k:02d}.jpg"), photo)
        shares = []
        for kind, images in {
            "scenes": scenes,
            "1080p": sorted((folder / "photos").iterdir()),
        }.items():
            cost = share_of_inference(folder / kind, subject, images)
            parts = [
                one / all_ for one, all_ in zip(cost["statistics"], cost["inference"], strict=True)
            ]
            shares.append(statistics.median(parts))
            details.append(
                f"{kind}: {spread(cost['statistics'])} of {spread(cost['inference'])} ms, "
                f"{spread(parts)}"
            )
    text = (
        f"{statistics.median(ratios):.0f}× naive, "
        f"{', '.join(f'{100 * share:.1f} %' for share in shares)} of inference"
    )
    ok = statistics.median(ratios) >= BAR and max(shares) < SHARE_BAR
    return Figure("statistics", text, f"≥ {BAR}×, < {100 * SHARE_BAR:.0f} %", ok, tuple(details))


if __name__ == "__main__":
    conclude(measure)
