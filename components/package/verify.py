"""Prove a bundle: every checksum, then the golden set again, on this machine; and run it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.backends import Session, get_backend
from components.backends.onnx_file import read_onnx
from components.backends.onnx_graph import precision_of
from components.contracts import Check, Verdict
from components.errors import BundleError, ImageError, UnavailableError
from components.images.reading import read_image
from components.package.archive import unpack
from components.package.golden import RULE, reproduce, to_items
from components.package.manifest import MANIFEST, Manifest, list_files, read_manifest
from components.package.run_template import SUMS, DamagedBundle, Finding, Json, Rules, damaged_files
from components.vision import VisionTask, task_for

FALLBACK = "onnxruntime"  # runs every bundle


@dataclass(frozen=True)
class Verification:
    """Result of verifying a bundle.

    Arguments:
        ok: no check failed.
        checks: of the files, and of the golden set within the tolerances of the model's precision.
        max_abs_difference: largest of any output value, in the units of the output.
        images: how many golden images were run, those for the rules of reading aside.
    """

    ok: bool
    checks: tuple[Check, ...]
    max_abs_difference: float
    images: int

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.verdict is Verdict.FAIL)


def verify_bundle(path: Path) -> Verification:
    """Check every file of a bundle, then run its golden set again.

    It is run on the backend that the bundle was measured on, or on onnxruntime where that is
    missing, which the reasons then say. A bundle that is whole but gives other outputs is not an
    error: `ok` is false.

    Arguments:
        path: a bundle's folder or zip.

    Raises:
        BundleError: it is damaged; the message names the file.
        UnavailableError: neither backend is on this machine.
    """
    with _opened(Path(path)) as folder:
        return verify_folder(folder)


def verify_folder(folder: Path) -> Verification:
    """`verify_bundle` of an unpacked bundle."""
    manifest = require_whole(folder)
    session, remark = _open_model(folder, manifest)
    with session:
        findings, worst = _reproduce(folder, session, manifest)
    files = Check("files", float(len(manifest.files)), None, Verdict.PASS, "as they were packed")
    golden = tuple(
        Check(
            finding.name,
            finding.value,
            finding.limit,
            Verdict.PASS if finding.ok else Verdict.FAIL,
            f"{finding.text}; {remark}",
        )
        for finding in findings
    )
    images = sum(file.path.endswith(".npz") and RULE not in file.path for file in manifest.files)
    return Verification(all(finding.ok for finding in findings), (files, *golden), worst, images)


def run_bundle(path: Path, images: Sequence[Path]) -> list[Json]:
    """Predict images with a bundle, after checking its files.

    Arguments:
        path: a bundle's folder or zip.
        images: encoded images.

    Returns:
        For each image ``{"image": path, "items": [...]}`` as the bundle's own runner gives it, or
        ``{"image": path, "error": why}`` for one that cannot be read.

    Raises:
        BundleError: the bundle is damaged.
        UnavailableError: no backend on this machine runs it.
    """
    with _opened(Path(path)) as folder:
        manifest = require_whole(folder)
        task = _task(manifest)
        session, _ = _open_model(folder, manifest)
        results: list[Json] = []
        with session:
            for image in images:
                try:
                    fitted, frame = task.preprocess(read_image(image))
                except ImageError as error:
                    results.append({"image": str(image), "error": str(error)})
                    continue
                (prediction,) = task.postprocess(session.run(fitted[None]), [frame])
                results.append(
                    {"image": str(image), "items": to_items(prediction, task.spec.class_names)}
                )
        return results


@contextmanager
def _opened(path: Path) -> Iterator[Path]:
    """The bundle as a folder; a zip is unpacked for as long as it is needed."""
    if path.is_dir():
        yield path
    elif path.is_file():
        with tempfile.TemporaryDirectory(prefix="foveal-bundle-") as scratch:
            yield unpack(path, Path(scratch) / "bundle")
    else:
        raise BundleError(
            "a bundle's folder or zip", found=f"nothing at {path}", hint="check the path"
        )


def require_whole(folder: Path) -> Manifest:
    """The manifest of an unpacked bundle whose files are all there, unchanged, and no others.

    Raises:
        BundleError: it is damaged; the message names the file.
    """
    problems = damaged_files(folder)
    if problems:
        raise BundleError(
            f"the files that {SUMS} lists",
            found="; ".join(problems[:5]),
            hint="fetch the bundle again",
        )
    manifest = read_manifest(folder)
    listed = {file.path: file for file in manifest.files}
    for file in list_files(folder):
        if file.path not in (SUMS, MANIFEST) and listed.pop(file.path, None) != file:
            raise BundleError(
                f"{file.path} as {MANIFEST} describes it",
                found="another",
                hint="fetch the bundle again",
            )
    if listed:
        raise BundleError(
            f"the files that {MANIFEST} lists",
            found=f"no {min(listed)}",
            hint="fetch the bundle again",
        )
    return manifest


def _reproduce(folder: Path, session: Session, manifest: Manifest) -> tuple[list[Finding], float]:
    """The findings on the golden set, by the precision that the model's own graph shows."""
    precision = precision_of(read_onnx(folder / manifest.model.path))
    batch = manifest.benchmark.chosen.batch
    rules = Rules(manifest.model.spec.head, precision.value, manifest.thresholds.confidence, batch)
    try:
        return reproduce(folder, session, _task(manifest), rules)
    except DamagedBundle as error:
        raise BundleError(
            "a readable golden set", found=str(error), hint="fetch the bundle again"
        ) from error


def _task(manifest: Manifest) -> VisionTask:
    thresholds = manifest.thresholds
    return task_for(manifest.model.spec, confidence=thresholds.confidence, iou=thresholds.iou)


def _open_model(folder: Path, manifest: Manifest) -> tuple[Session, str]:
    """Return a session on the recorded backend, else on onnxruntime, and what to say about it."""
    artifact, target = manifest.artifact(folder), manifest.target
    try:
        session = get_backend(manifest.backend).open(
            artifact, device=target.device, threads=target.threads
        )
        return session, f"on {manifest.backend}"
    except UnavailableError:
        session = get_backend(FALLBACK).open(artifact, threads=target.threads)
        return (
            session,
            f"on {FALLBACK}, as {manifest.backend} on {target.device} is not on this machine",
        )
