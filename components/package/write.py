"""Write a bundle: the benchmarked file byte for byte, how to run it, what it gave, and a runner."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from components.backends import get_backend
from components.contracts import BenchmarkReport, Bundle, Fit, Format, Measurement, dump
from components.errors import BundleError, ConfigError
from components.files import replacing, sha256_file, write_json, write_text
from components.package import run_template
from components.package.archive import write_zip
from components.package.golden import write_golden
from components.package.manifest import (
    MANIFEST,
    MODEL,
    RUNNER,
    SCHEMA,
    Benchmark,
    Manifest,
    Thresholds,
    list_files,
)
from components.package.readme import describe_bundle, list_requirements
from components.package.run_template import DECODER, SUMS
from components.package.verify import verify_folder
from components.targets.accelerators import execution_providers
from components.vision import task_for
from components.vision.fit import PADDING
from components.vision.heads import head_of

MAX_DETECTIONS = 300


def write_bundle(
    report: BenchmarkReport,
    output: Path,
    *,
    name: str,
    golden: Sequence[Path],
    details: Mapping[str, object],
) -> Bundle:
    """Pack the chosen variant as the folder `output`/`name` and the zip `output`/`name`.zip.

    Both are written aside, verified, and take their places together. The same arguments give the
    same bytes.

    Arguments:
        report: names the chosen variant; what was measured ships, nothing else.
        output: folder to write into.
        name: of the model, and so of the bundle's folder and zip.
        golden: encoded images for the golden set.
        details: whatever else to keep, as JSON values; `confidence` and `iou` in it are the
            thresholds of the predictions, 0.25 and 0.7 by default.

    Raises:
        BundleError: nothing was chosen, it is not ONNX, its file is not the measured one any more,
            or it does not reproduce its own golden set.
        ConfigError: no golden images, a bad name, thresholds out of range, details that JSON does
            not know, or a folder in the way that is no bundle.
        ImageError: a golden image cannot be read.
    """
    measurement = _chosen(report)
    folder, archive = _places(output, name)
    details = _plain(details)
    thresholds = Thresholds(
        _threshold(details, "confidence", 0.25), _threshold(details, "iou", 0.7), MAX_DETECTIONS
    )
    with replacing(folder) as aside, replacing(archive) as zipped:
        aside.mkdir()
        manifest = Manifest(
            schema=SCHEMA,
            name=name,
            model=replace(measurement.artifact, path=Path(MODEL)),
            backend=measurement.backend,
            target=report.target,
            thresholds=thresholds,
            benchmark=Benchmark.of(report, measurement.variant),
            details=details,
            files=(),
        )
        _copy_model(measurement, aside / MODEL)
        _write_golden(aside, manifest, golden)
        _write_configuration(aside, manifest)
        _write_sums(aside, manifest)
        _require_sound(aside)
        write_zip(aside, zipped)
        sha256 = sha256_file(zipped)
    return Bundle(folder, archive, sha256)


def _chosen(report: BenchmarkReport) -> Measurement:
    if report.chosen is None:
        raise BundleError(
            "a report with a chosen variant", found="; ".join(report.reasons) or "none"
        )
    measurement = report.of(report.chosen)
    if measurement.artifact.format is not Format.ONNX:
        raise BundleError(
            "an ONNX file, which the runner can run", found=f"{measurement.artifact.format} chosen"
        )
    return measurement


def _places(output: Path, name: str) -> tuple[Path, Path]:
    if Path(name).name != name or name in {"", ".", ".."}:
        raise ConfigError("a name that can be a file's", found=repr(name), hint="leave out slashes")
    folder, archive = Path(output) / name, Path(output) / f"{name}.zip"
    if (
        folder.exists()
        and not (folder / MANIFEST).is_file()
        and not (folder.is_dir() and not any(folder.iterdir()))
    ):
        raise ConfigError(
            f"a bundle or nothing at {folder}", found="something else", hint="choose another place"
        )
    return folder, archive


def _plain(details: Mapping[str, object]) -> dict[str, object]:
    try:
        return dict(json.loads(json.dumps(dict(details), allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise ConfigError("details of JSON values", found=str(error)) from error


def _threshold(details: Mapping[str, object], key: str, default: float) -> float:
    value = details.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigError(f"{key} between 0 and 1 in the details", found=repr(value))
    return float(value)


def _copy_model(measurement: Measurement, target: Path) -> None:
    """The file that was measured, or none."""
    source, wanted = measurement.artifact.path, measurement.artifact.sha256
    if not source.is_file():
        raise BundleError(
            f"the file measured as {measurement.variant}", found=f"nothing at {source}"
        )
    shutil.copyfile(source, target)
    if (found := sha256_file(target)) != wanted:
        raise BundleError(
            f"the file measured as {measurement.variant}, sha256 {wanted}",
            found=f"{found} at {source}",
            hint="it has changed since: run the benchmark again",
        )


def _write_golden(folder: Path, manifest: Manifest, images: Sequence[Path]) -> None:
    thresholds = manifest.thresholds
    task = task_for(manifest.model.spec, confidence=thresholds.confidence, iou=thresholds.iou)
    backend = get_backend(manifest.backend)
    device, threads = manifest.target.device, manifest.target.threads
    with backend.open(manifest.artifact(folder), device=device, threads=threads) as session:
        write_golden(folder, images, session, task)


def _write_configuration(folder: Path, manifest: Manifest) -> None:
    spec, target = manifest.model.spec, manifest.target
    config = {
        "model": MODEL,
        "backend": manifest.backend,
        "device": target.device,
        "threads": target.threads,
        "batch_size": manifest.benchmark.chosen.batch,
        "accelerators": list(target.accelerators),
        "execution_providers": list(execution_providers(target.accelerators)),
        **dump(manifest.thresholds),
    }
    preprocessing = {
        "orientation": "EXIF applied",
        "fit": spec.fit.value,
        "resize": list(spec.resize) if isinstance(spec.resize, tuple) else spec.resize,
        "interpolation": "bilinear"
        if spec.fit is Fit.LETTERBOX
        else f"{spec.interpolation}, antialiased",
        "padding": PADDING[0],
        "input": dump(manifest.model.inputs[0]),
        "layout": "batch, height, width, channel",
        "colour": "BGR, 0-255",
        "in_the_model": "channel order, scaling and normalisation",
    }
    if decoder := head_of(spec.head).decoder:
        shutil.copyfile(decoder, folder / DECODER)
        config["decoder"] = DECODER
    write_json(folder / "config.json", config)
    write_json(folder / "preprocessing.json", preprocessing)
    write_text(folder / "README.md", describe_bundle(manifest))
    write_text(folder / "requirements.txt", list_requirements(manifest))
    shutil.copyfile(run_template.__file__, folder / RUNNER)


def _write_sums(folder: Path, manifest: Manifest) -> None:
    """Write the manifest with all other files' hashes, then SHA256SUMS with the manifest's, too."""
    write_json(folder / MANIFEST, dump(replace(manifest, files=list_files(folder))))
    write_text(
        folder / SUMS, "".join(f"{file.sha256}  {file.path}\n" for file in list_files(folder))
    )


def _require_sound(folder: Path) -> None:
    verification = verify_folder(folder)
    if not verification.ok:
        failed = "; ".join(
            f"{check.name} {check.value} ({check.reason})" for check in verification.failed
        )
        raise BundleError("a model that reproduces its own golden set at once", found=failed)
