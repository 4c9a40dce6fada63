"""Run a registered version or a bundle over images, without a flow: `foveal predict`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.contracts import InferenceRun, ModelArtifact, Target
from components.images.sources import list_images
from flows.progress import advance
from flows.settings import Settings


@dataclass(frozen=True)
class Served:
    """A model as its bundle says it is to be run; `label` is what the tables call it."""

    artifact: ModelArtifact
    backend: str
    target: Target
    label: str


def read_bundle(folder: Path, label: str = "") -> Served:
    """How an unpacked, verified bundle is to be run.

    Raises:
        BundleError: its manifest is damaged.
    """
    from components.package import read_manifest

    manifest = read_manifest(folder)
    return Served(manifest.artifact(folder), manifest.backend, manifest.target, label or manifest.name)


def split_reference(text: str) -> tuple[str, str]:
    """`NAME`, `NAME@alias` or `NAME/version` as (name, alias or version); the champion by default."""
    for mark in "@/":
        name, found, version = text.partition(mark)
        if found:
            return name, version
    return text, "champion"


def predict_images(
    model: str, images: str, output: Path, *, confidence: float = 0.25, iou: float = 0.7
) -> InferenceRun:
    """Run a model over images and write Parquet to a folder; a killed run resumes.

    Arguments:
        model: a bundle's folder or zip, or a registered `NAME`, `NAME@alias`, `NAME/version`.
        images: a folder, a glob, a manifest, a URL or one image.
        output: folder for `images.parquet`, `detections.parquet` and `run.json`.
        confidence: detections below are dropped.
        iou: overlap above which NMS keeps one box.

    Raises:
        FovealError: no such model, a damaged bundle, or no images.
    """
    from components.inference.batch import run_batch

    sources = list_images(images)
    with _serving(model) as served:
        return run_batch(
            sources,
            artifact=served.artifact,
            backend=served.backend,
            device=served.target.device,
            threads=served.target.threads,
            model=served.label,
            output=output,
            confidence=confidence,
            iou=iou,
            progress=lambda done, total: advance("batch inference", done, total),
        )


@contextmanager
def _serving(model: str) -> Iterator[Served]:
    """The model unpacked in a place of its own, for as long as it runs."""
    from components.package import unpack
    from model_registry import Registry

    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        folder = Path(scratch) / "bundle"
        if (path := Path(model)).is_dir():
            yield read_bundle(path)
        elif path.is_file():
            yield read_bundle(unpack(path, folder))
        else:
            settings = Settings.from_environment()
            registry = Registry(settings.tracking_uri, settings.artifact_root)
            version = registry.get(*split_reference(model))
            yield read_bundle(registry.download_bundle(version, folder), f"{version.name}/{version.version}")
