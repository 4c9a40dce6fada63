"""Parameters of the batch inference flow."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from components.inference.batch.settings import RANGES, RunOptions
from components.settings import Parameters
from flows.config.base import check_address


class BatchConfig(Parameters):
    """Which model, over which images, to where."""

    model: str = Field(
        min_length=1,
        description="A registered model, NAME (its champion), NAME@alias or NAME/version; or a "
        "bundle's folder or zip.",
    )
    images: str = Field(
        min_length=1, description="A folder, a glob, a manifest, a URL or one image."
    )
    column: str = Field(
        "",
        description="Of a list (.csv, .parquet): the column that names the image of each row; "
        "unset: path, uri or image. Its other columns appear in the results.",
    )
    output: Path | None = Field(
        None,
        description="Folder for the Parquet files; unset: one below the storage root, named by "
        "model and images. "
        "A run that was stopped resumes in it.",
    )
    confidence: float | None = Field(
        None, ge=0, le=1, description="Detections below are dropped; unset: as released."
    )
    iou: float | None = Field(
        None, ge=0, le=1, description="Overlap above which NMS keeps one box; unset: as released."
    )

    device: str | None = Field(
        None, min_length=1, description="As the backend calls it, such as cpu; unset: as released."
    )
    threads: int | None = Field(
        None,
        ge=RANGES["threads"][0],
        le=RANGES["threads"][1],
        description="Threads of the engine; 0 is all cores; unset: as released.",
    )
    batch: int | None = Field(
        None,
        ge=RANGES["batch"][0],
        le=RANGES["batch"][1],
        description="Images per call of the engine; unset: 8.",
    )
    decode_threads: int | None = Field(
        None,
        ge=RANGES["decode_threads"][0],
        le=RANGES["decode_threads"][1],
        description="Threads that read and fit images; unset: one per core, at most 8.",
    )
    parts: bool | None = Field(
        None,
        description="Results as folders of Parquet parts, or as single files; unset: parts for "
        "more than 50,000 images.",
    )

    cache_mb: int | None = Field(
        None,
        ge=RANGES["cache_mb"][0],
        le=RANGES["cache_mb"][1],
        description="Keep pre-processed images below the storage root for the next run over them, "
        "so many MB at most; unset: none.",
    )

    def options(self) -> RunOptions:
        """Return how the batch is to be run."""
        return RunOptions(
            self.device,
            self.threads,
            self.batch,
            self.decode_threads,
            parts=self.parts,
            cache_mb=self.cache_mb,
        )

    _images = field_validator("images")(lambda value: check_address(value))
