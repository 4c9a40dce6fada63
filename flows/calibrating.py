"""Measure a model's drift alarm on its own reference and, damaged, on its own images."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from components.contracts import InferenceRun
from components.images.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from components.images.reading import read_image
from components.images.sources import ImageSource, list_images
from components.monitoring.calibration import AlarmPower, AlarmRate, draw_from, measure_power, split_false_alarms
from components.monitoring.tables import DriftTable, read_reference, read_window
from flows.predicting import read_bundle, split_reference
from flows.progress import advance
from flows.settings import Settings
from flows.summary import Calibration
from model_registry import Registry

SIZES = (50, 100, 200, 500, 1000)
CONTAMINATIONS = (1.0, 0.3, 0.1)
MOST_IMAGES = 150  # that are damaged in each of 30 ways
POWER_IMAGES = 200

Predict = Callable[[list[ImageSource], Path], InferenceRun]


def calibrate(model: str, images: str | None, *, windows: int) -> Calibration:
    """Measure false alarms and, where images are given, power.

    Arguments:
        model: `NAME`, `NAME@alias` or `NAME/version`.
        images: ordinary images that the reference does not hold, or None.
        windows: to draw for each share of false alarms; a tenth of it for each of the 90 figures of power.

    Raises:
        FovealError: no such version, no reference, too small a reference, or no images.
    """
    settings = Settings.from_environment()
    registry = Registry(settings.tracking_uri, settings.artifact_root)
    version = registry.get(*split_reference(model))
    label = f"{version.name}/{version.version}"
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        from flows.tasks import require_reference

        folder = Path(scratch)
        reference = read_reference(require_reference(registry.download_reference(version, folder), version))
        rates = _false_alarms(reference, windows)
        power: tuple[AlarmPower, ...] = ()
        if images:
            served = read_bundle(registry.download_bundle(version, folder / "bundle"), label)
            power = power_table(reference, list_images(images), served.run, folder, windows=windows // 10)
    return Calibration(label, rates, power, POWER_IMAGES)


def _false_alarms(reference: DriftTable, windows: int) -> tuple[AlarmRate, ...]:
    sizes = [size for size in SIZES if 2 * size <= reference.samples] or [SIZES[0]]
    return tuple(
        split_false_alarms(
            reference,
            images=size,
            windows=windows,
            progress=lambda done, total, size=size: advance(f"windows of {size}", done, total),  # type: ignore[misc]
        )
        for size in sizes
    )


def power_table(
    reference: DriftTable,
    sources: tuple[ImageSource, ...],
    predict: Predict,
    folder: Path,
    *,
    windows: int,
    contaminations: tuple[float, ...] = CONTAMINATIONS,
) -> tuple[AlarmPower, ...]:
    """Power for every kind and severity of damage.

    Arguments:
        reference: what windows are compared with.
        sources: ordinary images; at most 150 are damaged, evenly spread.
        predict: runs the model over images and writes the run to a folder.
        folder: scratch space.
        windows: to draw for each figure.
        contaminations: shares of damaged images in a window.
    """
    step = max(1, -(-len(sources) // MOST_IMAGES))
    chosen = list(sources[::step])
    clean = read_window(predict(chosen, folder / "clean"))
    found: list[AlarmPower] = []
    for number, kind in enumerate(CORRUPTIONS):
        for severity in SEVERITIES:
            advance("damaging images", number * len(SEVERITIES) + severity, len(CORRUPTIONS) * len(SEVERITIES))
            damaged = _damaged(chosen, kind, severity, folder / f"{kind}-{severity}")
            table = read_window(predict(damaged, folder / f"{kind}-{severity}-run"))
            found += [
                measure_power(
                    reference,
                    draw_from(clean),
                    draw_from(table),
                    kind=kind,
                    severity=severity,
                    contamination=share,
                    images=POWER_IMAGES,
                    windows=windows,
                )
                for share in contaminations
            ]
    return tuple(found)


def _damaged(sources: list[ImageSource], kind: str, severity: int, folder: Path) -> list[ImageSource]:
    """Damaged copies, without further loss."""
    folder.mkdir(parents=True)
    made = []
    for number, source in enumerate(sources):
        path = folder / f"{number:05d}.png"
        image = corrupt(read_image(source.uri), kind, severity, np.random.default_rng([number, severity]))
        cv2.imwrite(str(path), image)
        made.append(ImageSource(path.name, str(path)))
    return made
