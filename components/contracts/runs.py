"""Inference runs over many images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

EMBEDDING = "embedding"  # the name of a model's output and of a batch run's column


@dataclass(frozen=True)
class FailedImage:
    """An image that could not be read or predicted, and why."""

    image_id: str
    error: str


@dataclass(frozen=True)
class InferenceRun:
    """A finished batch: one Parquet row per image, one per detection.

    Arguments:
        folder: holds the two tables and `run.json`.
        model: name and version of the model, e.g. ``"digits/3"``.
        processed: images with a prediction.
        failures: the others.
        seconds: wall time.
        statistics_recipe: version of the image statistics.
        unreachable: hosts and mounts that did not answer, each with how many of the failures are
            theirs.
        summary: one line on what was predicted, in the words of its task; empty where nobody asked.
        parts: files of each table, in the folders `images` and `detections`; 0 is a single file of
            each, `images.parquet` and `detections.parquet`.
    """

    folder: Path
    model: str
    processed: int
    failures: tuple[FailedImage, ...]
    seconds: float
    statistics_recipe: int
    unreachable: tuple[tuple[str, int], ...] = ()
    summary: str = ""
    parts: int = 0

    @property
    def images(self) -> Path:
        """Table of images: a Parquet file, or a folder of them."""
        return self._table("images")

    @property
    def detections(self) -> Path:
        """Table of detections, likewise."""
        return self._table("detections")

    def _table(self, name: str) -> Path:
        return self.folder / (name if self.parts else f"{name}.parquet")
