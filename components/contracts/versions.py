"""Released objects: bundles, registered versions, datasets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.contracts.models import VisionSpec


@dataclass(frozen=True)
class Bundle:
    """A deployable folder and its reproducible zip; `sha256` is the zip's."""

    folder: Path
    archive: Path
    sha256: str


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model."""

    name: str
    version: int
    run_id: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoadedModel:
    """A registered version with its files at hand.

    Arguments:
        version: in the registry.
        bundle: a copy of its bundle.
        reference: what drift of its images is measured against; None where it was released without.
        spec: what its input and output mean.
    """

    version: ModelVersion
    bundle: Path
    reference: Path | None
    spec: VisionSpec

    @property
    def label(self) -> str:
        """NAME/VERSION."""
        return f"{self.version.name}/{self.version.version}"


@dataclass(frozen=True)
class TrainedModel:
    """A finished training run.

    Arguments:
        checkpoint: the one that was taken.
        metrics: its own on the validation split.
        curve: CSV with one row an epoch.
        blend: share of the way from the weights that it started with to those that were trained.
    """

    checkpoint: Path
    metrics: Mapping[str, float]
    curve: Path
    blend: float = 1.0


@dataclass(frozen=True)
class DatasetVersion:
    """A labelled dataset as it was trained on: named by what it holds.

    Arguments:
        data: its YOLO `data.yaml`, or the folder `split/class/*.jpg` of a classifier.
        sha256: of images and labels of all splits.
        images: split → number of images.
        sources: where the images of all splits came from, e.g. ``{"original": 400, "replay": 0,
            "new": 180}``.
        dropped: reason → number of images left out, e.g. ``{"near_duplicate": 3, "in_golden_set":
            1}``.
    """

    data: Path
    sha256: str
    images: Mapping[str, int]
    sources: Mapping[str, int]
    dropped: Mapping[str, int]
