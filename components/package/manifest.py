"""Manifest of a bundle: the model, how it was measured, and the hash of every file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from zipfile import is_zipfile

from components.contracts import (
    BenchmarkReport,
    Check,
    Latency,
    Measurement,
    ModelArtifact,
    Precision,
    Target,
    load,
)
from components.errors import BundleError, ModelError
from components.files import sha256_file
from components.regular import read_regular_text
from components.vision import require_known

SCHEMA = 1
MANIFEST = "manifest.json"
MODEL = "model.onnx"
RUNNER = "run.py"


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of what counts as a detection."""

    confidence: float
    iou: float
    max_detections: int


@dataclass(frozen=True)
class BundledFile:
    """One file of the bundle; `path` is relative, with forward slashes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Measured:
    """One variant's row of the benchmark, without its file."""

    variant: str
    precision: Precision
    backend: str
    sha256: str
    size_mb: float
    latency: Latency
    throughput_per_s: float | None
    batch: int
    peak_rss_mb: float | None
    accuracy: Mapping[str, float]
    images: int
    speedup: tuple[float, float, float] | None
    checks: tuple[Check, ...]
    error: str

    @classmethod
    def of(cls, measurement: Measurement) -> Measured:
        """The row of a measurement."""
        artifact, own = measurement.artifact, ("precision", "sha256")
        shared = {
            one.name: getattr(measurement, one.name) for one in fields(cls) if one.name not in own
        }
        return cls(precision=artifact.precision, sha256=artifact.sha256, **shared)


@dataclass(frozen=True)
class Benchmark:
    """The benchmark as a bundle keeps it: why this variant ships, and what was measured where."""

    variant: str
    baseline: str
    metric: str
    reasons: tuple[str, ...]
    noise_floor: float | None
    environment: Mapping[str, str]
    measured: tuple[Measured, ...]

    @classmethod
    def of(cls, report: BenchmarkReport, variant: str) -> Benchmark:
        """The report as the bundle of `variant` keeps it."""
        return cls(
            variant=variant,
            baseline=report.baseline,
            metric=report.metric,
            reasons=report.reasons,
            noise_floor=report.noise_floor,
            environment=report.environment,
            measured=tuple(Measured.of(measurement) for measurement in report.measurements),
        )

    @property
    def chosen(self) -> Measured:
        """The row of the variant that ships."""
        return next(row for row in self.measured if row.variant == self.variant)


@dataclass(frozen=True)
class Manifest:
    """A bundle's `manifest.json`.

    Arguments:
        schema: of this file.
        name: of the model.
        model: its path is relative to the bundle.
        backend: what it was measured on and is to be run by.
        target: where it is to run.
        thresholds: of the predictions.
        benchmark: numbers and reasons.
        details: what the caller wanted kept, such as hashes of the datasets.
        files: every file but this one and SHA256SUMS.
    """

    schema: int
    name: str
    model: ModelArtifact
    backend: str
    target: Target
    thresholds: Thresholds
    benchmark: Benchmark
    details: Mapping[str, object]
    files: tuple[BundledFile, ...]

    def artifact(self, folder: Path) -> ModelArtifact:
        """The model as a file of the bundle in `folder`."""
        return replace(self.model, path=folder / self.model.path)


def list_files(folder: Path) -> tuple[BundledFile, ...]:
    """All files below a folder, sorted by name."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return tuple(
        BundledFile(p.relative_to(folder).as_posix(), sha256_file(p), p.stat().st_size)
        for p in paths
    )


def is_bundle(path: Path) -> bool:
    """Tell a bundle, whole or not, from other paths: it is a folder with a manifest, or a zip."""
    return (path / MANIFEST).is_file() if path.is_dir() else path.is_file() and is_zipfile(path)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an unpacked bundle; its files are not checked, see `verify_bundle`.

    Raises:
        BundleError: it is missing, malformed, of another schema, or of a model with an unknown task
            or head.
    """
    path = folder / MANIFEST
    try:
        values = json.loads(read_regular_text(path))
        schema = values["schema"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(
            "a bundle's manifest", found=f"{path}: {error}", hint="pass a bundle's folder"
        ) from error
    if schema != SCHEMA:
        raise BundleError(
            f"a bundle of schema {SCHEMA}",
            found=f"{schema} in {path}",
            hint="use the matching Foveal",
        )
    try:
        manifest = load(Manifest, values)
    except (ValueError, RecursionError) as error:
        raise BundleError(
            "a bundle's manifest", found=f"{path}: {error}", hint="package it again"
        ) from error
    try:
        require_known(manifest.model.spec, str(path))
    except ModelError as error:
        raise BundleError(error.expected, found=error.found, hint=error.hint) from error
    if manifest.model.path != Path(MODEL):
        raise BundleError(f"the model as {MODEL}", found=f"{manifest.model.path} in {path}")
    return manifest
