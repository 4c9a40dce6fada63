"""Tiny image folders to learn from."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture
def image_folder(tmp_path) -> Callable[..., Path]:
    """Write split/class/*.png: each class has a colour, each image its own noise and size."""

    def write(
        classes: tuple[str, ...] = ("blue", "red"), each: int = 8, name: str = "data"
    ) -> Path:
        colours = {"blue": (200, 60, 60), "green": (60, 200, 60), "red": (60, 60, 200)}
        rng = np.random.default_rng(0)
        for split in ("train", "val"):
            for label in classes:
                folder = tmp_path / name / split / label
                folder.mkdir(parents=True)
                for k in range(each):
                    size = rng.integers(24, 48, 2)
                    picture = (
                        rng.normal(colours[label], 25, (*size, 3)).clip(0, 255).astype(np.uint8)
                    )
                    cv2.imwrite(str(folder / f"{k}.png"), picture)
        return tmp_path / name

    return write
